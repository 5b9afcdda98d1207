package integration

// This file tests links signed without an account key: by a user-delegation
// key, by IAM, or with temporary credentials. It also tests links with a public
// address.

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/gcsstore"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/secret"
)

// identity is a token credential in the form that Azurite checks.
type identity struct{ audience string }

func (i identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	claims, err := json.Marshal(map[string]any{
		"aud": i.audience, "iss": "https://sts.windows.net/" + rand.Text() + "/", "oid": "identity", "tid": "tenant",
		"nbf": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	})
	token := rawURL.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + rawURL.EncodeToString(claims) + "." + rawURL.EncodeToString([]byte("signature"))
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, err
}

// delegated is Azure used by a program with an identity but without a key.
var delegated = backend{name: "azure/delegated", open: func(t testing.TB) driver.Bucket {
	a := AzuriteTLS(t)
	return openAzure(t, &azurestore.Options{
		Container: bucketName(), AccountURL: a.Endpoint, Transport: a.Transport, Create: true,
		Credential: identity{"https://storage.azure.com"},
	})
}}

// delegationKey requests a user-delegation key. Azurite returns the same key
// for the same times and identity.
func (a *Azure) delegationKey(t *testing.T, start, expiry, oid, tid string) []byte {
	t.Helper()
	token, err := identity{"https://storage.azure.com"}.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.Endpoint+"?restype=service&comp=userdelegationkey",
		strings.NewReader("<KeyInfo><Start>"+start+"</Start><Expiry>"+expiry+"</Expiry></KeyInfo>"))
	require.NoError(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + token.Token}, "X-Ms-Version": {"2024-11-04"}, "Content-Type": {"application/xml"}}
	resp, err := (&http.Client{Transport: a.Transport}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var key struct {
		SignedOid, SignedTid string
		Value                []byte
	}
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &key), "%s", text)
	require.Equal(t, [2]string{oid, tid}, [2]string{key.SignedOid, key.SignedTid})
	value, err := base64.StdEncoding.DecodeString(string(key.Value))
	require.NoError(t, err)
	return value
}

func TestAzureIdentity(t *testing.T) {
	b := delegated.open(t)
	require.NoError(t, write(t.Context(), b, "k", []byte("content"), -1, true))
	link := signed(t, b, "k", driver.SignOptions{Method: http.MethodGet})
	status, _ := use(t, link, nil)
	require.Equal(t, 200, status)

	// Azurite does not support the correlation ID, which identifies the grant
	// in the service's logs. The test therefore verifies the signature itself.
	a := AzuriteTLS(t)
	link = signed(t, b, "k", driver.SignOptions{Method: http.MethodGet, GrantID: "GRANT0123456789ABCDEF", ResponseType: "text/x"})
	u, err := url.Parse(link.URL)
	require.NoError(t, err)
	q := u.Query()
	assert.Equal(t, "4752414e-5430-3132-3334-353637383941", q.Get("scid"))
	assert.Equal(t, "https", q.Get("spr"))
	mac := hmac.New(sha256.New, a.delegationKey(t, q.Get("skt"), q.Get("ske"), q.Get("skoid"), q.Get("sktid")))
	_, _ = io.WriteString(mac, strings.Join([]string{
		q.Get("sp"), q.Get("st"), q.Get("se"), "/blob/" + a.Account + "/" + bucketOf(b) + "/k",
		q.Get("skoid"), q.Get("sktid"), q.Get("skt"), q.Get("ske"), q.Get("sks"), q.Get("skv"),
		"", "", q.Get("scid"), "", "", "", q.Get("spr"), q.Get("sv"), q.Get("sr"), "", "", "", "", "", "", "", "", q.Get("rsct"),
	}, "\n"))
	assert.Equal(t, base64.StdEncoding.EncodeToString(mac.Sum(nil)), q.Get("sig"))

	// A key also signs long links, up to the service's limit.
	link = signed(t, b, "k", driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(6 * 24 * time.Hour)})
	status, _ = use(t, link, nil)
	require.Equal(t, 200, status)
	_, err = b.Sign(t.Context(), "k", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(8 * 24 * time.Hour)})
	require.ErrorIs(t, err, errors.ErrUnsupported)

	_, err = azurestore.Open(t.Context(), &azurestore.Options{
		Container: bucketOf(b), AccountURL: a.Endpoint, Transport: a.Transport, Credential: identity{"https://vault.azure.net"},
	})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "rejected the credentials")
}

// Temporary credentials have a token, which links need too.
func TestS3SessionToken(t *testing.T) {
	s := MinIO(t)
	o := s.options()
	_ = openS3(t, o)
	creds := s.assumed(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)
	o.AccessKey, o.SecretKey, o.SessionToken = secret.New(creds.AccessKeyID), secret.New(creds.SecretAccessKey), secret.New(creds.SessionToken)
	b := openS3(t, o)
	require.NoError(t, write(t.Context(), b, "k", []byte("content"), -1, true))
	for name, so := range map[string]driver.SignOptions{
		"get": {Method: http.MethodGet}, "head": {Method: http.MethodHead}, "put": {Method: http.MethodPut, ContentType: "text/plain"},
		"form": {Method: http.MethodPut, MaxSize: 10}, "delete": {Method: http.MethodDelete},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, write(t.Context(), b, name, []byte("x"), -1, true))
			var body []byte
			if so.Method == http.MethodPut {
				body = []byte("new")
			}
			link := signed(t, b, name, so)
			if link.Form != nil {
				token := link.Form["x-amz-security-token"]
				delete(link.Form, "x-amz-security-token")
				status, _ := use(t, link, body)
				require.Equal(t, 403, status, "without the token")
				link.Form["x-amz-security-token"] = token
			} else {
				status, _ := use(t, link, body, query(func(string) string { return "" }, "X-Amz-Security-Token"))
				require.Equal(t, 403, status, "without the token")
			}
			status, _ := use(t, link, body)
			require.Less(t, status, 300)
		})
	}
	o.SessionToken = secret.Text{}
	_, err := s3store.Open(t.Context(), o)
	require.ErrorIs(t, err, fs.ErrPermission)
}

// The bucket is part of the host name, as at Amazon.
func TestS3VirtualHost(t *testing.T) {
	s := VersityGW(t)
	u, err := url.Parse(s.Endpoint)
	require.NoError(t, err)
	dial := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, "."+s.Domain+":"+u.Port()) {
			addr = u.Host
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer dial.CloseIdleConnections()
	o := s.options()
	o.Endpoint, o.UsePathStyle, o.Transport = "http://"+s.Domain+":"+u.Port(), false, dial
	b := openS3(t, o)
	const key = "Ordner/ä +%?#&=~'()*!/datei.txt"
	require.NoError(t, write(t.Context(), b, key, content(9<<20), -1, true))
	link := signed(t, b, key, driver.SignOptions{Method: http.MethodGet})
	require.True(t, strings.HasPrefix(link.URL, "http://"+o.Bucket+"."+s.Domain+":"), link.URL)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL, nil)
	require.NoError(t, err)
	resp, err := dial.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.EqualValues(t, 9<<20, resp.ContentLength)
	require.NoError(t, b.Copy(t.Context(), "copy", key, &driver.CopyOptions{IfNotExist: true}))
	require.NoError(t, b.Delete(t.Context(), key, &driver.DeleteOptions{}))
}

// If clients reach the service by another address than the program, links
// contain that address, and the program never uses it.
func TestPublicEndpoint(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (b driver.Bucket, internal, public string){
		"s3/versitygw": func(t *testing.T) (driver.Bucket, string, string) {
			s := VersityGW(t)
			o := s.options()
			f := newFaulty(t, s.Endpoint)
			o.Endpoint, o.PublicEndpoint = f.URL, s.Endpoint
			return openS3(t, o), f.URL, s.Endpoint
		},
		"azure/azurite": func(t *testing.T) (driver.Bucket, string, string) {
			a := Azurite(t)
			o := a.options()
			u, err := url.Parse(a.Endpoint)
			require.NoError(t, err)
			f := newFaulty(t, "http://"+u.Host)
			o.ConnectionString = secret.New(strings.Replace(o.ConnectionString.Reveal(), "http://"+u.Host, f.URL, 1))
			o.PublicEndpoint = a.Endpoint
			return openAzure(t, o), f.URL, a.Endpoint
		},
		"gcs/fake+gate, signed by IAM": func(t *testing.T) (driver.Bucket, string, string) {
			g := FakeGCS(t)
			f := newFaulty(t, g.Endpoint)
			o := &gcsstore.Options{
				Bucket: bucketName(), ProjectID: g.Project, Endpoint: f.URL, PublicEndpoint: g.Endpoint, IAMEndpoint: f.URL,
				AccessID: g.AccessID, TokenSource: g.Gate.Tokens(), Create: true,
			}
			return openGCS(t, o), f.URL, g.Endpoint
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, internal, public := open(t)
			require.NoError(t, write(t.Context(), b, "k", []byte("content"), -1, true))
			for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				link := signed(t, b, "k", driver.SignOptions{Method: m})
				require.True(t, strings.HasPrefix(link.URL, public), "%s: %s", m, link.URL)
				require.NotContains(t, link.URL, strings.TrimPrefix(internal, "http://"))
				var body []byte
				if m == http.MethodPut {
					body = []byte("new")
				}
				status, _ := use(t, link, body)
				require.Less(t, status, 300, m)
			}
		})
	}
}
