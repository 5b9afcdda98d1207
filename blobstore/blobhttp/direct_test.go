package blobhttp_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

// directHost is an application with direct uploads, to itself or to a cloud
// service.
type directHost struct {
	*host
	put func(t *testing.T, ticket blobhttp.DirectTicket, content string) // sends the content like a browser
}

// uploadCloud is a cloud service that enforces no constraint.
type uploadCloud struct{ driver.Bucket }

func (b uploadCloud) Info() driver.Info {
	info := b.Bucket.Info()
	info.Backend, info.Capabilities.Links = "cloud", driver.LinkCapabilities{
		Methods: []string{"GET", "PUT"}, Size: driver.OnCompletion, MaxSize: driver.OnCompletion,
		ContentType: driver.OnCompletion, SHA256: driver.OnCompletion,
	}
	return info
}

func (uploadCloud) Sign(_ context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	return &driver.SignedURL{
		URL: "https://cloud.example/" + key, Method: o.Method,
		Header: http.Header{"X-Cloud": {"1"}, "Content-Length": {"10"}},
	}, nil
}

func newDirectHost(t *testing.T, cloud bool, in blobhttp.Intake) *directHost {
	t.Helper()
	h := &directHost{host: newHost(t, setup{store: "local://" + t.TempDir(), wrap: asUser})}
	h.put = func(t *testing.T, ticket blobhttp.DirectTicket, content string) {
		t.Helper()
		var header []string
		for k, v := range ticket.Headers {
			header = append(header, k, v)
		}
		a := h.do(ticket.Method, ticket.URL, content, header...)
		require.Contains(t, []int{201, 415}, a.status, a.body)
	}
	if cloud {
		bucket := uploadCloud{memstore.New()}
		store, err := blobstore.New(bucket, h.log, nil)
		require.NoError(t, err)
		require.NoError(t, h.store.Close(context.Background()))
		h.store = store // closed instead of the original store
		h.put = func(t *testing.T, ticket blobhttp.DirectTicket, content string) {
			t.Helper()
			require.Equal(t, "1", ticket.Headers["X-Cloud"])
			require.NotContains(t, ticket.Headers, "Content-Length", "which no page may set")
			contentType := ticket.Headers["Content-Type"]
			if contentType == "" {
				contentType = "binary/octet-stream"
			}
			err := bucket.Write(t.Context(), strings.TrimPrefix(ticket.URL, "https://cloud.example/"), strings.NewReader(content),
				&driver.WriteOptions{ContentType: contentType})
			require.NoError(t, err)
		}
	}
	in.Store = h.store
	h.mux.Handle("/uploads/", in.Direct())
	return h
}

func (h *directHost) post(step string, v any, header ...string) answer {
	h.t.Helper()
	body, err := json.Marshal(v)
	require.NoError(h.t, err)
	return h.do("POST", h.url+"/uploads/"+step, string(body), append([]string{"Content-Type", "application/json"}, header...)...)
}

func (h *directHost) begin(t *testing.T, in blobhttp.DirectBegin) (ticket blobhttp.DirectTicket) {
	t.Helper()
	a := h.post("begin", in)
	require.Equal(t, 201, a.status, a.body)
	require.Equal(t, "private, no-store", a.header.Get("Cache-Control"))
	require.NoError(t, json.Unmarshal([]byte(a.body), &ticket))
	require.Positive(t, ticket.ExpiresInSeconds)
	return ticket
}

func eachBackend(t *testing.T, test func(t *testing.T, cloud bool)) {
	t.Run("local", func(t *testing.T) { test(t, false) })
	t.Run("cloud", func(t *testing.T) { test(t, true) })
}

func TestDirectUpload(t *testing.T) {
	eachBackend(t, func(t *testing.T, cloud bool) {
		const content = "%PDF-1.7 direct"
		sum := sha256.Sum256([]byte(content))
		saved, saveErr := 0, errors.New("the database is down")
		h := newDirectHost(t, cloud, blobhttp.Intake{
			Prefix: "in", MaxSize: 100, AllowedTypes: []string{"application/pdf"}, Link: &blobstore.LinkOptions{},
			Prepare: func(_ context.Context, f *blobhttp.File) error {
				f.Options.Resource = audit.Resource{Type: "invoice", ID: f.Fields.Get("invoice")}
				return nil
			},
			Save: func(_ context.Context, files []blobhttp.Stored) error {
				assert.Nil(t, files[0].Staged, "it is stored for good")
				if saved++; saved == 1 {
					return saveErr
				}
				return nil
			},
		})
		ticket := h.begin(t, blobhttp.DirectBegin{
			Filename: "März.pdf", ContentType: "application/pdf", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
			Fields: map[string]string{"invoice": "42"},
		})
		assert.True(t, strings.HasPrefix(ticket.Key, "in/") && strings.HasSuffix(ticket.Key, ".pdf"), ticket.Key)
		end := ticket.DirectEnd
		a := h.post("complete", end)
		require.Equal(t, 404, a.status)
		assert.Equal(t, "not_found", a.problem(t).Code)

		h.put(t, ticket, content)
		assert.Equal(t, 500, h.post("complete", end).status, "the host could not save its row")
		a = h.post("complete", end)
		require.Equal(t, 200, a.status, a.body)
		var got blobhttp.UploadedFile
		require.NoError(t, json.Unmarshal([]byte(a.body), &got))
		assert.Equal(t, ticket.Key, got.Key)
		assert.Equal(t, "März.pdf", got.Filename)
		assert.Equal(t, "application/pdf", got.ContentType)
		assert.EqualValues(t, len(content), got.Size)
		assert.Equal(t, hex.EncodeToString(sum[:]), got.SHA256)
		assert.NotEmpty(t, got.DownloadURL)

		uploads := h.trail(audit.ActionUpload)
		require.Len(t, uploads, 1)
		assert.Equal(t, audit.Resource{Type: "invoice", ID: "42"}, uploads[0].Resource)
		assert.Equal(t, "alice", uploads[0].Actor.UserID)
		assert.Zero(t, h.log.OpenIntents())
	})
}

func TestDirectUploadAborted(t *testing.T) {
	eachBackend(t, func(t *testing.T, cloud bool) {
		h := newDirectHost(t, cloud, blobhttp.Intake{})
		ticket := h.begin(t, blobhttp.DirectBegin{})
		end := ticket.DirectEnd
		assert.Equal(t, 404, h.post("abort", blobhttp.DirectEnd{ID: ticket.ID, Key: "another"}).status)
		a := h.post("abort", end)
		require.Equal(t, 204, a.status, a.body)
		assert.Zero(t, h.log.OpenIntents())
		assert.Equal(t, 404, h.post("abort", end).status)
		assert.Equal(t, 404, h.post("complete", end).status)

		ticket = h.begin(t, blobhttp.DirectBegin{})
		h.put(t, ticket, digits)
		end = ticket.DirectEnd
		require.Equal(t, 200, h.post("complete", end).status)
		assert.Equal(t, 409, h.post("abort", end).status, "it is complete")
		assert.Len(t, h.keys(), 1)
	})
}

// TestDirectUploadUsedTwice checks that a second use of an upload link is
// refused and recorded as refused.
func TestDirectUploadUsedTwice(t *testing.T) {
	h := newDirectHost(t, false, blobhttp.Intake{})
	ticket := h.begin(t, blobhttp.DirectBegin{})
	h.put(t, ticket, digits)
	before := len(h.trail())
	a := h.do(ticket.Method, ticket.URL, "something else")
	require.Equal(t, 410, a.status, a.body)
	assert.Equal(t, "revoked", a.problem(t).Code)
	entries := h.trail()[before:]
	require.Len(t, entries, 2)
	assert.Equal(t, audit.ActionRedeem, entries[0].Action)
	assert.Equal(t, audit.ActionUpload, entries[1].Action)
	assert.Equal(t, audit.OutcomeFailed, entries[1].Outcome)
	assert.Equal(t, "revoked", entries[1].ErrorCode)
	assert.Equal(t, ticket.ID, entries[1].RefOpID)
	assert.Contains(t, entries[1].GrantID, ticket.ID)
	require.Equal(t, 200, h.post("complete", ticket.DirectEnd).status)
	assert.Len(t, h.keys(), 1)
	assert.Zero(t, h.log.OpenIntents())
}

// TestDirectUploadWithFalseClaims checks that content is removed before anyone
// can read it, if it differs from the announced content.
func TestDirectUploadWithFalseClaims(t *testing.T) {
	eachBackend(t, func(t *testing.T, cloud bool) {
		h := newDirectHost(t, cloud, blobhttp.Intake{AllowedTypes: []string{"image/*"}})
		ticket := h.begin(t, blobhttp.DirectBegin{Filename: "a.png", ContentType: "image/png"})
		h.put(t, ticket, html)
		a := h.post("complete", ticket.DirectEnd)
		if cloud {
			assert.Equal(t, 415, a.status, a.body)
		} else {
			assert.Equal(t, 404, a.status, "the handler of the links took none of it")
		}
		assert.Empty(t, h.keys())
	})
}

func TestDirectUploadRefused(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	for name, c := range map[string]struct {
		method, step, body string
		header             []string
		status             int
		code               string
	}{
		"GET":                     {"GET", "begin", "", nil, 405, "method"},
		"no step":                 {"POST", "", "{}", json, 404, "not_found"},
		"a step that is none":     {"POST", "finish", "{}", json, 404, "not_found"},
		"nobody":                  {"POST", "begin", "{}", append(json, "User", "nobody"), 401, "unauthenticated"},
		"a form":                  {"POST", "begin", "{}", []string{"Content-Type", "text/plain"}, 415, "type"},
		"no type":                 {"POST", "begin", "{}", nil, 415, "type"},
		"another origin":          {"POST", "begin", "{}", append(json, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), 403, "denied"},
		"no JSON":                 {"POST", "begin", "{", json, 400, "bad_request"},
		"two values":              {"POST", "begin", "{}{}", json, 400, "bad_request"},
		"other types":             {"POST", "begin", `{"size":"1"}`, json, 400, "bad_request"},
		"a negative size":         {"POST", "begin", `{"size":-1}`, json, 400, "bad_request"},
		"a digest that is none":   {"POST", "begin", `{"sha256":"00"}`, json, 400, "bad_request"},
		"a type that is none":     {"POST", "begin", `{"content_type":"a\r\nb: c"}`, json, 400, "bad_request"},
		"a type that is too long": {"POST", "begin", `{"content_type":"image/` + strings.Repeat("a", 250) + `"}`, json, 400, "bad_request"},
		"too large":               {"POST", "begin", `{"size":101}`, json, 413, "too_large"},
		"too much JSON":           {"POST", "begin", `{"filename":"` + strings.Repeat("a", 70_000) + `"}`, json, 413, "too_large"},
		"a type not allowed":      {"POST", "begin", `{"content_type":"text/html"}`, json, 415, "type"},
		"refused by the host":     {"POST", "begin", `{"filename":"secret"}`, json, 403, "denied"},
		"a ticket that is none":   {"POST", "complete", `{"id":"a","key":"b"}`, json, 404, "not_found"},
		"a key that climbs out":   {"POST", "complete", `{"id":"a","key":"../b"}`, json, 400, "bad_key"},
		"no ticket":               {"POST", "abort", `{}`, json, 400, "bad_key"},
		"an abort of what is not": {"POST", "abort", `{"id":"a","key":"b"}`, json, 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newDirectHost(t, false, blobhttp.Intake{
				MaxSize: 100, AllowedTypes: []string{"image/*"},
				Prepare: func(_ context.Context, f *blobhttp.File) error {
					if f.Filename == "secret" {
						return blobstore.ErrDenied
					}
					return nil
				},
			})
			a := h.do(c.method, h.url+"/uploads/"+c.step, c.body, c.header...)
			require.Equal(t, c.status, a.status, a.body)
			assert.Equal(t, c.code, a.problem(t).Code)
			if c.status == 405 {
				assert.Equal(t, "POST", a.header.Get("Allow"))
			}
			assert.Empty(t, h.trail())
			assert.Zero(t, h.log.OpenIntents())
		})
	}
	assert.Panics(t, func() { new(blobhttp.Intake).Direct() })
}
