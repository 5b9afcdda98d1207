package gcsstore

// This file implements links. They are V4 signatures with the key of a service
// account, or by IAM without a key.

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2/google"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const iamAddress = "https://iamcredentials.googleapis.com"

// linkSigner signs links to one bucket. It is safe for concurrent use.
type linkSigner struct {
	bucket   string
	accessID string
	project  string // project of the credentials
	host     string // "" means Google's
	insecure bool
	key      *rsa.PrivateKey // nil if IAM signs
	iam      string
	client   *http.Client // with credentials
	reason   string       // why it cannot sign; empty if it can
}

func newLinkSigner(ctx context.Context, o *Options, creds *google.Credentials, client *http.Client) (*linkSigner, error) {
	s := &linkSigner{bucket: o.Bucket, accessID: o.AccessID, iam: o.IAMEndpoint, client: client}
	if s.iam == "" {
		s.iam = iamAddress
	}
	if err := s.setHost(o); err != nil {
		return nil, err
	}
	var file keyFile
	if creds != nil {
		file = parseKeyFile(creds.JSON)
		s.project = creds.ProjectID
	}
	keyPEM := file.PrivateKey
	if o.AccessID != "" && o.AccessID != file.ClientEmail {
		keyPEM = "" // it belongs to another account
	}
	if o.PrivateKeyFile != "" {
		data, err := os.ReadFile(o.PrivateKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the private key: %w", err)
		}
		keyPEM = string(data)
		if f := parseKeyFile(data); f.PrivateKey != "" {
			keyPEM, file.ClientEmail = f.PrivateKey, f.ClientEmail
		}
	}
	if s.accessID == "" {
		s.accessID = file.ClientEmail
	}
	if s.accessID == "" && creds != nil && creds.JSON == nil && o.TokenSource == nil {
		s.accessID = machineAccount(ctx)
	}
	switch {
	case keyPEM != "":
		key, err := parseKey([]byte(keyPEM))
		if err != nil {
			return nil, err
		}
		if s.key = key; s.accessID == "" {
			return nil, errors.New("a private key is set without its account: set access_id")
		}
	case creds == nil:
		s.reason = "anonymous access cannot sign links"
	case s.accessID == "":
		s.reason = "no service account for signing links: set access_id"
	}
	return s, nil
}

// setHost sets the host of links.
func (s *linkSigner) setHost(o *Options) error {
	endpoint := cmp.Or(o.PublicEndpoint, o.Endpoint)
	switch {
	case endpoint != "":
		u, err := url.Parse(endpoint)
		if err != nil {
			return errors.New("invalid endpoint: want an address")
		}
		s.host, s.insecure = u.Host, u.Scheme == "http"
	case o.UniverseDomain != "":
		s.host = "storage." + o.UniverseDomain
	}
	return nil
}

// parseKey returns the key of a PEM block. Its errors contain no part of the
// key.
func parseKey(data []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("invalid private key: want PEM or a service account's key file")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if key, ok := parsed.(*rsa.PrivateKey); ok {
			return key, nil
		}
	}
	return nil, errors.New("invalid private key: want an RSA key")
}

func (s *linkSigner) links() driver.LinkCapabilities {
	if s.reason != "" {
		return driver.LinkCapabilities{}
	}
	return driver.LinkCapabilities{
		Methods:   []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete},
		MaxExpiry: cloud.MaxExpiry, Size: driver.ByService, MaxSize: driver.ByService,
		ContentType: driver.ByService, SHA256: driver.OnCompletion, IfNotExist: driver.ByService,
	}
}

// Sign implements [driver.Bucket].
func (b *bucket) Sign(ctx context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	signed, err := b.signer.sign(ctx, key, o)
	return signed, b.mapError(err)
}

func (s *linkSigner) sign(ctx context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	left := time.Until(o.Expires)
	switch {
	case s.reason != "":
		return nil, fmt.Errorf("%w: %s", errors.ErrUnsupported, s.reason)
	case left < time.Second:
		return nil, errors.New("the link's expiry is in the past")
	case left > cloud.MaxExpiry:
		return nil, fmt.Errorf("%w: an expiry in %v: Google allows at most %v", errors.ErrUnsupported, left.Round(time.Second), cloud.MaxExpiry)
	}
	opts := &storage.SignedURLOptions{
		GoogleAccessID: s.accessID, Scheme: storage.SigningSchemeV4, Style: storage.PathStyle(),
		Hostname: s.host, Insecure: s.insecure, Method: o.Method, Expires: o.Expires, QueryParameters: url.Values{},
		SignBytes: func(p []byte) ([]byte, error) { return s.signBytes(ctx, p) },
	}
	if o.GrantID != "" {
		opts.QueryParameters.Set(cloud.GrantParam, o.GrantID)
	}
	out := &driver.SignedURL{Method: o.Method, Header: http.Header{}}
	switch o.Method {
	case http.MethodGet, http.MethodHead:
		if o.ContentDisposition != "" {
			opts.QueryParameters.Set("response-content-disposition", o.ContentDisposition)
		}
		if o.ResponseType != "" {
			opts.QueryParameters.Set("response-content-type", o.ResponseType)
		}
	case http.MethodPut:
		if err := constrain(out.Header, o); err != nil {
			return nil, err
		}
		opts.ContentType = o.ContentType
		for k := range out.Header {
			if k != "Content-Type" {
				opts.Headers = append(opts.Headers, strings.ToLower(k)+":"+out.Header.Get(k))
			}
		}
	case http.MethodDelete:
	default:
		return nil, fmt.Errorf("%w: %.20q links", errors.ErrUnsupported, o.Method)
	}
	var err error
	if out.URL, err = storage.SignedURL(s.bucket, key, opts); err != nil {
		return nil, fmt.Errorf("signing the link: %w", err)
	}
	return out, nil
}

// constrain sets the headers that the signature requires of an upload.
func constrain(h http.Header, o *driver.SignOptions) error {
	if o.SHA256 != nil {
		return fmt.Errorf("%w: a Google Cloud Storage link cannot enforce a SHA-256", errors.ErrUnsupported)
	}
	if o.ContentType != "" {
		h.Set("Content-Type", o.ContentType)
	}
	switch n := o.Size; {
	case n != nil && *n < 0:
		return fmt.Errorf("invalid length of %d bytes: want 0 or more", *n)
	case n != nil && o.MaxSize > 0 && *n > o.MaxSize:
		return fmt.Errorf("%w: a length of %d bytes: want at most %d", driver.ErrTooLarge, *n, o.MaxSize)
	case n != nil:
		h.Set("X-Goog-Content-Length-Range", fmt.Sprintf("%d,%d", *n, *n))
	case o.MaxSize > 0:
		h.Set("X-Goog-Content-Length-Range", fmt.Sprintf("0,%d", o.MaxSize))
	}
	if o.IfNotExist {
		h.Set("X-Goog-If-Generation-Match", "0")
	}
	for k, v := range o.Metadata {
		if strings.ContainsFunc(k+v, func(r rune) bool { return r < ' ' || r > '~' }) {
			// A header supports only ASCII, and Google defines no escapes.
			return fmt.Errorf("%w: metadata %.100q of a signed upload is not printable ASCII", errors.ErrUnsupported, k)
		}
		h.Set("X-Goog-Meta-"+k, v)
	}
	return nil
}

func (s *linkSigner) signBytes(ctx context.Context, p []byte) ([]byte, error) {
	if s.key == nil {
		return s.signByIAM(ctx, p)
	}
	sum := sha256.Sum256(p)
	return rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
}

// signByIAM signs p with a key stored by the service.
func (s *linkSigner) signByIAM(ctx context.Context, p []byte) ([]byte, error) {
	in, err := json.Marshal(map[string][]byte{"payload": p})
	if err != nil {
		return nil, err
	}
	address := s.iam + "/v1/projects/-/serviceAccounts/" + url.PathEscape(s.accessID) + ":signBlob"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("IAM did not respond: %w", err)
	}
	defer resp.Body.Close()
	var out struct{ SignedBlob []byte }
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusNotFound:
		return nil, provider.As(fs.ErrPermission, fmt.Errorf("IAM refused to sign for %s: the credentials need iam.serviceAccounts.signBlob on it (role Service Account Token Creator)", s.accessID))
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("IAM responded %s", resp.Status)
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(answer, &out); err != nil || len(out.SignedBlob) == 0 {
		return nil, errors.New("the response of IAM has no signature")
	}
	return out.SignedBlob, nil
}
