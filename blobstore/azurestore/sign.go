package azurestore

// Links: shared access signatures, by the account's key or by a key that the
// service delegates to an identity.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

const (
	maxDelegation = 7 * 24 * time.Hour
	// A link begins that long ago, so that it holds at once on a server whose
	// clock is behind ours.
	skew = 5 * time.Minute
)

// linkSigner signs links to one container. It is safe for concurrent use.
type linkSigner struct {
	https      bool
	prefix     string // of the addresses of objects, with a slash at its end
	container  string
	shared     *sas.SharedKeyCredential
	delegation *delegation
	reason     string // why it can't sign; empty: it can
}

func (s *linkSigner) links() driver.LinkCapabilities {
	if s.reason != "" {
		return driver.LinkCapabilities{}
	}
	l := driver.LinkCapabilities{
		Methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete},
		Size:    driver.OnCompletion, MaxSize: driver.OnCompletion, ContentType: driver.OnCompletion,
		SHA256: driver.OnCompletion, IfNotExist: driver.ByService,
	}
	if s.delegation != nil {
		l.MaxExpiry = maxDelegation
	}
	return l
}

// Sign implements [driver.Bucket].
func (b *bucket) Sign(ctx context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	signed, err := b.signer.sign(ctx, key, o)
	return signed, b.mapError(err)
}

func (s *linkSigner) sign(ctx context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	now := time.Now()
	switch {
	case s.reason != "":
		return nil, fmt.Errorf("%w: %s", errors.ErrUnsupported, s.reason)
	case !o.Expires.After(now):
		return nil, errors.New("the link would have expired already")
	}
	name := escapeKey(key)
	v := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPS, StartTime: now.Add(-skew).UTC(), ExpiryTime: o.Expires.UTC(),
		ContainerName: s.container, BlobName: name,
	}
	if !s.https { // an emulator: nothing else would use the link
		v.Protocol = sas.ProtocolHTTPSandHTTP
	}
	out := &driver.SignedURL{Method: o.Method}
	switch o.Method {
	case http.MethodGet:
		v.Permissions = (&sas.BlobPermissions{Read: true}).String()
		v.ContentDisposition, v.ContentType = o.ContentDisposition, o.ResponseType
	case http.MethodPut:
		if o.ContentType != "" || o.Size != nil || o.MaxSize > 0 || o.SHA256 != nil {
			return nil, fmt.Errorf("%w: an Azure link can't hold the content's type, length or SHA-256", errors.ErrUnsupported)
		}
		v.Permissions = (&sas.BlobPermissions{Create: true, Write: !o.IfNotExist}).String()
		out.Header = http.Header{"X-Ms-Blob-Type": {"BlockBlob"}}
		for k, v := range encodeMetadata(o.Metadata) {
			out.Header.Set("X-Ms-Meta-"+k, *v)
		}
	case http.MethodDelete:
		v.Permissions = (&sas.BlobPermissions{Delete: true}).String()
	default:
		return nil, fmt.Errorf("%w: %.20q links", errors.ErrUnsupported, o.Method)
	}
	q, err := s.signature(ctx, v, o, now)
	if err != nil {
		return nil, err
	}
	// Slashes stay slashes in the path, though the SDK's clients escape them.
	path := strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
	out.URL = s.prefix + path + "?" + query(&q)
	return out, nil
}

// query is q.Encode for what an account's key has signed, in a quarter of the
// time.
func query(q *sas.QueryParameters) string {
	if q.SignedOID() != "" {
		return q.Encode()
	}
	b := make([]byte, 0, 256)
	for _, p := range [...]struct{ name, value string }{
		{"rscd", q.ContentDisposition()}, {"rsct", q.ContentType()}, {"se", q.ExpiryTime().Format(sas.TimeFormat)},
		{"sig", q.Signature()}, {"sp", q.Permissions()}, {"spr", string(q.Protocol())}, {"sr", q.Resource()},
		{"st", q.StartTime().Format(sas.TimeFormat)}, {"sv", q.Version()},
	} {
		if p.value == "" {
			continue
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.name...), '='), url.QueryEscape(p.value)...)
	}
	return string(b)
}

func (s *linkSigner) signature(ctx context.Context, v sas.BlobSignatureValues, o *driver.SignOptions, now time.Time) (sas.QueryParameters, error) {
	if s.shared != nil {
		q, err := v.SignWithSharedKey(s.shared)
		if err != nil {
			return q, errors.New("the account key can't sign")
		}
		return q, nil
	}
	if o.Expires.Sub(now) > maxDelegation {
		return sas.QueryParameters{}, fmt.Errorf("%w: an expiry in %v: without an account key Azure allows at most %v", errors.ErrUnsupported, o.Expires.Sub(now), maxDelegation)
	}
	cred, err := s.delegation.credential(ctx, now, o.Expires)
	if err != nil {
		return sas.QueryParameters{}, fmt.Errorf("no user-delegation key (role Storage Blob Delegator): %w", err)
	}
	v.CorrelationID = correlationID(o.GrantID)
	return v.SignWithUserDelegation(cred)
}

// correlationID writes a grant id as the GUID that Azure wants: its first 16
// bytes in hexadecimal. Ids that don't fit are left out.
func correlationID(grant string) string {
	if len(grant) < 16 {
		return ""
	}
	h := fmt.Sprintf("%x", grant[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// detour sends requests to the address of the account, whatever host they name.
type detour struct {
	next http.RoundTripper
	to   *url.URL
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = d.to.Scheme, d.to.Host, d.to.Host
	r.URL.Path, r.URL.RawPath = strings.TrimSuffix(d.to.Path, "/")+r.URL.Path, ""
	return d.next.RoundTrip(r)
}

// delegation keeps a user-delegation key for as long as it is of use.
type delegation struct {
	client *service.Client
	mu     sync.Mutex
	cred   *service.UserDelegationCredential
	until  time.Time
}

// credential returns a key that holds until the link expires. The service
// delegates for seven days at most, and a day is asked for unless more is needed.
func (d *delegation) credential(ctx context.Context, now, expires time.Time) (*service.UserDelegationCredential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cred != nil && !expires.After(d.until) {
		return d.cred, nil
	}
	start, until := now.Add(-skew).UTC(), now.Add(24*time.Hour).UTC()
	if expires.Add(time.Minute).After(until) {
		until = now.Add(maxDelegation).UTC()
	}
	from, to := start.Format(sas.TimeFormat), until.Format(sas.TimeFormat)
	cred, err := d.client.GetUserDelegationCredential(ctx, service.KeyInfo{Start: &from, Expiry: &to}, nil)
	if err != nil {
		return nil, err
	}
	d.cred, d.until = cred, until
	return cred, nil
}
