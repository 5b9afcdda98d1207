package s3store

// This file implements links. The presigner of the SDK runs all middleware of a
// request for each URL. This code resolves the endpoint once and only computes
// the signature.

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyauth "github.com/aws/smithy-go/auth"
	"github.com/aws/smithy-go/encoding/httpbinding"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
)

const unsignedPayload = "UNSIGNED-PAYLOAD"

// linkSigner signs links to one bucket. It is safe for concurrent use.
type linkSigner struct {
	signer  *v4.Signer
	creds   aws.CredentialsProvider
	bucket  string
	base    *url.URL // of the bucket, without a slash at the end
	region  string
	service string
	headers http.Header // required for every upload
	reason  string      // why it cannot sign; empty if it can
}

func newLinkSigner(ctx context.Context, client *s3.Client, o *Options) (*linkSigner, error) {
	co := client.Options()
	endpoint := o.PublicEndpoint
	if endpoint == "" {
		endpoint = aws.ToString(co.BaseEndpoint)
	}
	params := s3.EndpointParameters{
		Bucket: &o.Bucket, Region: &co.Region, Endpoint: optional(endpoint),
		ForcePathStyle: &co.UsePathStyle, Accelerate: &co.UseAccelerate,
		UseFIPS:      aws.Bool(co.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(co.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	}
	ep, err := co.EndpointResolverV2.ResolveEndpoint(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("no endpoint for links: %w", err)
	}
	s := &linkSigner{
		creds: co.Credentials, bucket: o.Bucket, base: &ep.URI, region: co.Region, service: "s3", headers: http.Header{},
		signer: v4.NewSigner(func(so *v4.SignerOptions) {
			so.DisableURIPathEscaping = true
			so.DisableHeaderHoisting = true // a header in the query would not bind the client
		}),
	}
	if len(s.base.Path) > 0 && s.base.Path[len(s.base.Path)-1] == '/' {
		s.base.Path = s.base.Path[:len(s.base.Path)-1]
	}
	if co.EndpointOptions.DisableHTTPS && endpoint == "" {
		s.base.Scheme = "http"
	}
	if schemes, ok := smithyauth.GetAuthOptions(&ep.Properties); ok && len(schemes) > 0 {
		s.use(schemes[0])
	}
	if _, anonymous := s.creds.(aws.AnonymousCredentials); s.creds == nil || anonymous || aws.IsCredentialsProvider(s.creds, aws.AnonymousCredentials{}) {
		s.reason = "anonymous access cannot sign links"
	}
	if sse, err := encryption(o.Encryption, o.KMSKeyID); err == nil && sse != "" {
		s.headers.Set("X-Amz-Server-Side-Encryption", string(sse))
		if o.KMSKeyID != "" {
			s.headers.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", o.KMSKeyID)
		}
	}
	return s, nil
}

// use applies the signing properties of the endpoint.
func (s *linkSigner) use(scheme *smithyauth.Option) {
	if scheme.SchemeID != "sigv4" && scheme.SchemeID != smithyauth.SchemeIDSigV4 { // the endpoint rules use short names
		s.reason = "links to this kind of bucket cannot be signed"
		return
	}
	if name, ok := smithyhttp.GetSigV4SigningName(&scheme.SignerProperties); ok && name != "" {
		s.service = name
	}
	if region, ok := smithyhttp.GetSigV4SigningRegion(&scheme.SignerProperties); ok && region != "" {
		s.region = region
	}
}

func (s *linkSigner) links() driver.LinkCapabilities {
	if s.reason != "" {
		return driver.LinkCapabilities{}
	}
	return driver.LinkCapabilities{
		Methods:   []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete},
		MaxExpiry: cloud.MaxExpiry, Size: driver.ByService, MaxSize: driver.ByService,
		ContentType: driver.ByService, SHA256: driver.ByService, IfNotExist: driver.ByService,
	}
}

// Sign implements [driver.Bucket].
func (b *bucket) Sign(ctx context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	if o.IfNotExist && b.exact.Load() == ignored {
		return nil, fmt.Errorf("%w: the service ignores the create-only condition", errors.ErrUnsupported)
	}
	return b.signer.sign(ctx, key, o, time.Now())
}

func (s *linkSigner) sign(ctx context.Context, key string, o *driver.SignOptions, now time.Time) (*driver.SignedURL, error) {
	now = now.UTC().Truncate(time.Second)
	seconds := o.Expires.Unix() - now.Unix()
	switch {
	case s.reason != "":
		return nil, fmt.Errorf("%w: %s", errors.ErrUnsupported, s.reason)
	case seconds <= 0:
		return nil, errors.New("the link's expiry is in the past")
	case seconds > int64(cloud.MaxExpiry/time.Second):
		return nil, fmt.Errorf("%w: an expiry in %v: S3 allows at most %v", errors.ErrUnsupported, time.Duration(seconds)*time.Second, cloud.MaxExpiry)
	}
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("no credentials to sign with: %w", err)
	}
	upload := o.Method == http.MethodPut
	if upload && o.MaxSize > 0 {
		if o.Size == nil {
			return s.form(creds, key, o, now)
		}
		if *o.Size > o.MaxSize {
			return nil, fmt.Errorf("%w: a length of %d bytes: want at most %d", driver.ErrTooLarge, *o.Size, o.MaxSize)
		}
	}
	req := &http.Request{Method: o.Method, URL: s.url(key), Host: s.base.Host, Header: http.Header{}}
	q := url.Values{"X-Amz-Expires": {strconv.FormatInt(seconds, 10)}}
	if o.GrantID != "" {
		q.Set(cloud.GrantParam, o.GrantID)
	}
	switch o.Method {
	case http.MethodGet, http.MethodHead:
		setParam(q, "response-content-disposition", o.ContentDisposition)
		setParam(q, "response-content-type", o.ResponseType)
	case http.MethodPut:
		if err := s.constrain(req, o); err != nil {
			return nil, err
		}
	case http.MethodDelete:
	default:
		return nil, fmt.Errorf("%w: %.20q links", errors.ErrUnsupported, o.Method)
	}
	req.URL.RawQuery = q.Encode()
	signed, header, err := s.signer.PresignHTTP(ctx, creds, req, unsignedPayload, s.service, s.region, now)
	if err != nil {
		return nil, fmt.Errorf("signing the link: %w", err)
	}
	header.Del("Host") // the client takes it from the URL
	return &driver.SignedURL{URL: signed, Method: o.Method, Header: header}, nil
}

func setParam(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// url returns the address of an object.
func (s *linkSigner) url(key string) *url.URL {
	u := *s.base
	u.RawPath = u.EscapedPath() + "/" + httpbinding.EscapePath(key, false)
	u.Path += "/" + key
	return &u
}

// constrain sets the headers that the signature requires of an upload.
func (s *linkSigner) constrain(req *http.Request, o *driver.SignOptions) error {
	for k, v := range s.headers {
		req.Header[k] = v
	}
	sum := o.SHA256
	if o.Size != nil {
		req.ContentLength = *o.Size
		if *o.Size < 0 {
			return fmt.Errorf("invalid length of %d bytes: want 0 or more", *o.Size)
		}
		if *o.Size == 0 && sum == nil {
			// A length of zero cannot be signed. The digest of empty content
			// can.
			nothing := sha256.Sum256(nil)
			sum = nothing[:]
		}
	}
	if sum != nil {
		req.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum))
	}
	if o.ContentType != "" {
		req.Header.Set("Content-Type", o.ContentType)
	}
	if o.IfNotExist {
		req.Header.Set("If-None-Match", "*")
	}
	meta, err := encodeMetadata(o.Metadata)
	if err != nil {
		return err
	}
	for k, v := range meta {
		req.Header.Set("X-Amz-Meta-"+k, v)
	}
	return nil
}

// form creates an upload by POST. On S3, only the policy of a form can limit
// the length.
func (s *linkSigner) form(creds aws.Credentials, key string, o *driver.SignOptions, now time.Time) (*driver.SignedURL, error) {
	if o.IfNotExist || o.SHA256 != nil {
		return nil, fmt.Errorf("%w: on S3, a maximum length excludes create-only and SHA-256: set the exact length instead", errors.ErrUnsupported)
	}
	day := now.Format("20060102")
	scope := day + "/" + s.region + "/" + s.service + "/aws4_request"
	fields := map[string]string{
		"key":                   key,
		"x-amz-algorithm":       "AWS4-HMAC-SHA256",
		"x-amz-credential":      creds.AccessKeyID + "/" + scope,
		"x-amz-date":            now.Format("20060102T150405Z"),
		"success_action_status": "201",
	}
	if creds.SessionToken != "" {
		fields["x-amz-security-token"] = creds.SessionToken
	}
	if o.ContentType != "" {
		fields["Content-Type"] = o.ContentType
	}
	for k := range s.headers {
		fields[k] = s.headers.Get(k)
	}
	meta, err := encodeMetadata(o.Metadata)
	if err != nil {
		return nil, err
	}
	for k, v := range meta {
		fields["x-amz-meta-"+k] = v
	}
	conditions := []any{map[string]string{"bucket": s.bucket}, []any{"content-length-range", 0, o.MaxSize}}
	for k, v := range fields {
		conditions = append(conditions, []any{"eq", "$" + k, v})
	}
	policy, err := json.Marshal(map[string]any{"expiration": o.Expires.UTC().Format("2006-01-02T15:04:05.000Z"), "conditions": conditions})
	if err != nil {
		return nil, err
	}
	fields["policy"] = base64.StdEncoding.EncodeToString(policy)
	mac := []byte("AWS4" + creds.SecretAccessKey)
	for _, part := range []string{day, s.region, s.service, "aws4_request", fields["policy"]} {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	fields["x-amz-signature"] = hex.EncodeToString(mac)
	u := *s.base
	if u.Path == "" {
		u.Path = "/"
	}
	return &driver.SignedURL{URL: u.String(), Method: http.MethodPost, Header: http.Header{}, Form: fields}, nil
}
