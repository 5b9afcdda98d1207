package integration

// This file tests attacks on signed links. Each attack is paired with the same
// request without the manipulation, which must be accepted.

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func signed(t *testing.T, b driver.Bucket, key string, o driver.SignOptions) *driver.SignedURL {
	t.Helper()
	if o.Expires.IsZero() {
		o.Expires = time.Now().Add(time.Hour)
	}
	if o.GrantID == "" && b.Info().Backend != "azure" { // see TestAzureIdentity
		o.GrantID = "GRANT" + strings.ToUpper(bucketName()[2:])
	}
	s, err := b.Sign(t.Context(), key, &o)
	require.NoError(t, err)
	return s
}

// change is an attacker's change of a request.
type change func(r *http.Request)

// use sends the request of a link with the attacker's changes, and returns the
// response.
func use(t *testing.T, s *driver.SignedURL, content []byte, changes ...change) (int, *http.Response) {
	t.Helper()
	var r *http.Request
	var err error
	if s.Form != nil {
		var buf bytes.Buffer
		form := multipart.NewWriter(&buf)
		for k, v := range s.Form {
			require.NoError(t, form.WriteField(k, v))
		}
		w, err := form.CreateFormFile("file", "name")
		require.NoError(t, err)
		_, err = w.Write(content)
		require.NoError(t, err)
		require.NoError(t, form.Close())
		r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, &buf)
		require.NoError(t, err)
		r.Header.Set("Content-Type", form.FormDataContentType())
	} else {
		r, err = http.NewRequestWithContext(t.Context(), s.Method, s.URL, nil)
		require.NoError(t, err)
		setBody(r, content)
		for k, v := range s.Header {
			if k != "Content-Length" {
				r.Header[k] = v
			}
		}
	}
	for _, c := range changes {
		c(r)
	}
	// A server may have a self-signed certificate.
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp.StatusCode, resp
}

func setBody(r *http.Request, content []byte) {
	if content == nil {
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(content)), int64(len(content))
	if len(content) == 0 {
		r.Body = http.NoBody
	}
}

func body(content string) change { return func(r *http.Request) { setBody(r, []byte(content)) } }

func method(m string) change { return func(r *http.Request) { r.Method = m } }

func header(k, v string) change {
	return func(r *http.Request) {
		if v == "" {
			r.Header.Del(k)
		} else {
			r.Header.Set(k, v)
		}
	}
}

// query changes the first of the named parameters in the URL.
func query(to func(string) string, names ...string) change {
	return func(r *http.Request) {
		q := r.URL.Query()
		for _, name := range names {
			if q.Has(name) {
				q.Set(name, to(q.Get(name)))
				r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
				return
			}
		}
		panic("the link has none of these parameters")
	}
}

func otherKey(from, to string) change {
	return func(r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, from, to, 1)
		r.URL.RawPath = ""
	}
}

var (
	laterExpiry = query(func(v string) string {
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t.Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
		}
		return "604000"
	}, "X-Amz-Expires", "X-Goog-Expires", "se")
	otherSignature = query(func(v string) string {
		if v[3] == 'a' {
			return v[:3] + "b" + v[4:]
		}
		return v[:3] + "a" + v[4:]
	}, "X-Amz-Signature", "X-Goog-Signature", "sig")
	otherGrant = query(func(v string) string { return v + "X" }, "x-blobtrail-grant", "scid")
	otherHost  = func(r *http.Request) { r.Host = "files.example:443" }
)

func TestLinkAttacks(t *testing.T) {
	table := newTable("link attacks", "refused; its honest twin accepted")
	for _, be := range append([]backend{delegated}, backends...) {
		t.Run(be.name, func(t *testing.T) {
			b := be.open(t)
			links := b.Info().Capabilities.Links
			_, hostSigned := signed(t, b, "probe", driver.SignOptions{Method: http.MethodGet}), b.Info().Backend != "azure"
			const key = "Ordner/ä +%?#&=~'()*!/datei.txt"
			old := []byte("0123456789")
			ctx := t.Context()
			reset := func() { require.NoError(t, write(ctx, b, key, old, -1, false)) }
			reset()
			require.NoError(t, write(ctx, b, strings.Replace(key, "datei", "other", 1), []byte("secret"), -1, false))

			// attack sends an honest request and then one with the changes.
			attack := func(name string, o driver.SignOptions, content []byte, honest bool, changes ...change) {
				t.Run(name, func(t *testing.T) {
					defer table.result(name, be.name, t)
					k := key
					if o.IfNotExist || o.Method == http.MethodPut && !honest {
						k = strings.Replace(key, "datei", bucketName(), 1)
					}
					link := signed(t, b, k, o)
					status, resp := use(t, link, content, changes...)
					assert.GreaterOrEqual(t, status, 400, "the attack passed")
					assert.Less(t, status, 500)
					if o.Method == http.MethodPut && k != key {
						_, err := b.Read(ctx, k, 0, -1)
						assert.ErrorIs(t, err, fs.ErrNotExist, "the attack left an object")
					}
					answer, _ := io.ReadAll(resp.Body)
					assert.NotContains(t, string(answer), "secret")
					status, resp = use(t, link, content)
					answer, _ = io.ReadAll(resp.Body)
					assert.Less(t, status, 300, "the honest twin was refused: %s", answer)
					reset()
				})
			}
			get := driver.SignOptions{Method: http.MethodGet}
			put := driver.SignOptions{Method: http.MethodPut}
			del := driver.SignOptions{Method: http.MethodDelete}
			attack("PUT by a GET link", get, nil, true, method(http.MethodPut), body("evil"))
			attack("DELETE by a GET link", get, nil, true, method(http.MethodDelete))
			attack("GET by a PUT link", put, []byte("new"), true, method(http.MethodGet), func(r *http.Request) { r.Body, r.ContentLength = nil, 0 })
			attack("DELETE by a PUT link", put, []byte("new"), true, method(http.MethodDelete), func(r *http.Request) { r.Body, r.ContentLength = nil, 0 })
			attack("GET by a DELETE link", del, nil, true, method(http.MethodGet))
			if slices.Contains(links.Methods, http.MethodHead) {
				attack("GET by a HEAD link", driver.SignOptions{Method: http.MethodHead}, nil, true, method(http.MethodGet))
			}
			for name, o := range map[string]driver.SignOptions{"GET": get, "PUT": put, "DELETE": del} {
				var content []byte
				if name == "PUT" {
					content = []byte("new")
				}
				attack(name+" of another key", o, content, true, otherKey("datei", "other"))
				attack(name+" with a later expiry", o, content, true, laterExpiry)
				attack(name+" with another signature", o, content, true, otherSignature)
				if hostSigned {
					attack(name+" by another host", o, content, true, otherHost)
					attack(name+" with another grant id", o, content, true, otherGrant)
				}
				t.Run(name+" after its expiry", func(t *testing.T) {
					defer table.result(name+" after its expiry", be.name, t)
					var link *driver.SignedURL
					for expiry := 2 * time.Second; ; expiry *= 2 {
						reset()
						o.Expires = time.Now().Add(expiry)
						link = signed(t, b, key, o)
						if status, _ := use(t, link, content); status < 300 {
							break
						}
						require.False(t, time.Now().Before(o.Expires.Truncate(time.Second)), "refused in time")
					}
					require.Eventually(t, func() bool {
						reset()
						status, _ := use(t, link, content)
						return status >= 400 && status != 404
					}, time.Minute, 100*time.Millisecond)
					reset()
				})
			}
			length, sum := int64(3), sha256.Sum256([]byte("new"))
			if links.ContentType == driver.ByService {
				o := put
				o.ContentType = "text/plain"
				attack("PUT of another content type", o, []byte("new"), false, header("Content-Type", "text/html"))
				attack("PUT without the content type", o, []byte("new"), false, header("Content-Type", ""))
			}
			if links.Size == driver.ByService {
				o := put
				o.Size = &length
				attack("PUT of a longer body", o, []byte("new"), false, body("newer"))
				attack("PUT of a shorter body", o, []byte("new"), false, body("ne"))
				none, nothing := put, int64(0)
				none.Size = &nothing
				attack("PUT of something instead of nothing", none, []byte{}, false, body("x"))
			}
			if links.MaxSize == driver.ByService {
				o := put
				o.MaxSize = 5
				t.Run("upload over the limit", func(t *testing.T) {
					defer table.result("upload over the limit", be.name, t)
					k := strings.Replace(key, "datei", "limited", 1)
					link := signed(t, b, k, o)
					status, _ := use(t, link, []byte("123456"))
					require.GreaterOrEqual(t, status, 400)
					_, err := b.Read(ctx, k, 0, -1)
					require.ErrorIs(t, err, fs.ErrNotExist)
					status, resp := use(t, link, []byte("12345"))
					answer, _ := io.ReadAll(resp.Body)
					require.Less(t, status, 300, "%s", answer)
					got, _ := readAll(t, b, k, 0, -1)
					require.Equal(t, "12345", string(got))
				})
			}
			if links.SHA256 == driver.ByService {
				o := put
				o.SHA256 = sum[:]
				attack("PUT of other content than the SHA-256", o, []byte("new"), false, body("bad"))
				attack("PUT without the SHA-256", o, []byte("new"), false, header("X-Amz-Checksum-Sha256", ""))
			}
			o := put
			o.IfNotExist = true
			if links.IfNotExist == driver.ByService {
				for _, name := range []string{"replay of a create-only PUT", "replay without the condition"} {
					t.Run(name, func(t *testing.T) {
						defer table.result(name, be.name, t)
						k := strings.Replace(key, "datei", bucketName(), 1)
						link := signed(t, b, k, o)
						status, resp := use(t, link, []byte("new"))
						answer, _ := io.ReadAll(resp.Body)
						require.Less(t, status, 300, "%s", answer)
						var drop []change
						if strings.Contains(name, "without") {
							drop = []change{header("If-None-Match", ""), header("X-Goog-If-Generation-Match", "")}
						}
						status, _ = use(t, link, []byte("evil"), drop...)
						require.GreaterOrEqual(t, status, 400)
						got, _ := readAll(t, b, k, 0, -1)
						require.Equal(t, "new", string(got))
					})
				}
			}
		})
	}
	table.print(t)
}

func TestLinkResults(t *testing.T) {
	for _, be := range backends {
		t.Run(be.name, func(t *testing.T) {
			b := be.open(t)
			ctx := t.Context()
			const key = "Ordner/ä +%?#&=~'()*!/datei.txt"
			require.NoError(t, write(ctx, b, key, []byte("0123456789"), -1, false))
			link := signed(t, b, key, driver.SignOptions{
				Method: http.MethodGet, ContentDisposition: `attachment; filename="Rechnung 7.pdf"`, ResponseType: "application/pdf",
			})
			status, resp := use(t, link, nil)
			require.Equal(t, 200, status)
			got, _ := io.ReadAll(resp.Body)
			require.Equal(t, "0123456789", string(got))
			require.Equal(t, `attachment; filename="Rechnung 7.pdf"`, resp.Header.Get("Content-Disposition"))
			require.Equal(t, "application/pdf", resp.Header.Get("Content-Type"))

			status, resp = use(t, link, nil, header("Range", "bytes=2-4"))
			require.Equal(t, 206, status)
			got, _ = io.ReadAll(resp.Body)
			require.Equal(t, "234", string(got))

			// An upload contains its metadata, so that the store can recognize
			// it.
			length := int64(3)
			meta := map[string]string{provider.MetaOp: "op-9", provider.MetaFilename: "Bild “1”.png"}
			if b.Info().Backend == "gcs" { // it accepts only ASCII in a header
				_, err := b.Sign(ctx, "up/load", &driver.SignOptions{Method: http.MethodPut, Expires: time.Now().Add(time.Hour), Metadata: meta})
				require.ErrorIs(t, err, errors.ErrUnsupported)
				meta[provider.MetaFilename] = "Bild 1.png"
			}
			links := b.Info().Capabilities.Links
			o := driver.SignOptions{Method: http.MethodPut, IfNotExist: true, Metadata: meta}
			if links.ContentType == driver.ByService {
				o.ContentType = "image/png"
			}
			if links.Size == driver.ByService {
				o.Size = &length
			}
			put := signed(t, b, "up/load", o)
			status, resp = use(t, put, []byte("new"), header("Content-Type", "image/png"))
			answer, _ := io.ReadAll(resp.Body)
			require.Less(t, status, 300, "%s", answer)
			attrs, err := b.Blob().Attributes(ctx, "up/load")
			require.NoError(t, err)
			require.Equal(t, "image/png", attrs.ContentType)
			require.Equal(t, meta, attrs.Metadata)

			del := signed(t, b, "up/load", driver.SignOptions{Method: http.MethodDelete})
			status, _ = use(t, del, nil)
			require.Less(t, status, 300)
			_, err = b.Read(ctx, "up/load", 0, -1)
			require.ErrorIs(t, err, fs.ErrNotExist)

			// Options that cannot be signed are refused, not weakened.
			for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPost} {
				_, err := b.Sign(ctx, "k", &driver.SignOptions{Method: m, Expires: time.Now().Add(time.Minute)})
				if slices.Contains(links.Methods, m) {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, errors.ErrUnsupported)
				}
			}
			_, err = b.Sign(ctx, "k", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(-time.Minute)})
			require.Error(t, err)
			if links.MaxExpiry > 0 {
				_, err = b.Sign(ctx, "k", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(links.MaxExpiry + time.Hour)})
				require.Error(t, err)
			}
			u, err := url.Parse(link.URL)
			require.NoError(t, err)
			require.NotEmpty(t, u.Host)
		})
	}
}
