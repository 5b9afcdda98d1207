package blobhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// captureLog collects what is logged with slog.Default, a line for each record.
func captureLog(t *testing.T) *bytes.Buffer {
	var buf bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&buf, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &buf
}

// plainHandlers are the handlers that don't verify links.
func plainHandlers(store *blobstore.Store, onError func(*http.Request, error)) map[string]http.Handler {
	handlers := map[string]http.Handler{
		"Form":   (&blobhttp.Intake{Store: store}).Form(nil),
		"Direct": (&blobhttp.Intake{Store: store}).Direct(),
	}
	for mode, name := range map[blobhttp.DeliverMode]string{blobhttp.DeliverAuto: "Deliver", blobhttp.DeliverBytes: "Deliver bytes", blobhttp.DeliverJSON: "Deliver JSON", blobhttp.DeliverRedirect: "Deliver a redirect"} {
		handlers[name] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			blobhttp.Deliver(w, r, store, "a", &blobhttp.DeliverOptions{Mode: mode, AllowAnonymous: true})
		})
	}
	if onError != nil {
		for name, h := range handlers {
			handlers[name] = blobhttp.Heard(onError, h)
		}
	}
	return handlers
}

// TestHandlersThatVerifyNoLinksRefuseThem checks that the wrong handler refuses
// a link, because the link may be revoked, expired or forged.
func TestHandlersThatVerifyNoLinksRefuseThem(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", digits, nil)
	good := h.link("a", nil)
	links := map[string]string{
		"good": good, "forged": tamper(t, good, "bt-sig", strings.Repeat("A", 43)), "expired": tamper(t, good, "bt-exp", "1"),
		"one parameter": h.url + "/files/a?x=1&bt-sig", "in capitals": h.url + "/files/a?BT-Sig=x", "encoded": h.url + "/files/a?%62%74-exp=1",
	}
	for name, handler := range plainHandlers(h.store, h.errs.add) {
		for what, link := range links {
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
				before, heard := len(h.trail()), len(h.errs.all())
				a := record(handler, newRequest(method, link, "x"))
				assert.Equal(t, 403, a.status, "%s: %s %s", name, method, what)
				if method != "HEAD" {
					assert.Equal(t, "bad_link", a.problem(t).Code)
				}
				assert.Len(t, h.trail(), before, "%s: %s %s", name, method, what)
				errs := h.errs.all()[heard:]
				require.Len(t, errs, 1)
				assert.ErrorIs(t, errs[0], blobhttp.ErrMisconfigured)
				assert.NotContains(t, errs[0].Error(), "bt-")
			}
		}
	}
	deliver := plainHandlers(h.store, h.errs.add)["Deliver bytes"]
	assert.Equal(t, digits, record(deliver, newRequest("GET", h.url+"/files/a?bt-color=red&v=1", "")).body, "parameters of others")
	assert.Equal(t, digits, record(blobhttp.Links(h.store, nil), newRequest("GET", good, "")).body)

	buf := captureLog(t)
	deliver = plainHandlers(h.store, nil)["Deliver bytes"]
	for _, pattern := range []string{"GET /one/{key...}", "GET /two/{key...}"} {
		for range 50 {
			r := newRequest("GET", good, "")
			r.Pattern = pattern
			record(deliver, r)
		}
	}
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	require.Len(t, lines, 2, "once for each route, however many requests come")
	var line map[string]string
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
	assert.Equal(t, "ERROR", line["level"])
	assert.Equal(t, "GET /one/{key...}", line["pattern"])
	assert.Contains(t, line["error"], "mount blobhttp.Links")
	assert.NotContains(t, buf.String(), "bt-sig")
}

// TestMissingMiddlewareIsReported checks that the operator learns of a handler
// that no one can use.
func TestMissingMiddlewareIsReported(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", digits, nil)
	requests := map[string]func() *http.Request{
		"Deliver":       func() *http.Request { return httptest.NewRequest("GET", "/", nil) },
		"Deliver bytes": func() *http.Request { return httptest.NewRequest("GET", "/", nil) },
		"Deliver JSON":  func() *http.Request { return httptest.NewRequest("GET", "/", nil) },
		"Form": func() *http.Request {
			r := httptest.NewRequest("POST", "/", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n"))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			return r
		},
		"Direct": func() *http.Request {
			r := httptest.NewRequest("POST", "/begin", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			return r
		},
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			heard := len(h.errs.all())
			hooked := plainHandlers(h.store, h.errs.add)[name]
			a := record(hooked, request())
			assert.Equal(t, 401, a.status)
			assert.Equal(t, "unauthenticated", a.problem(t).Code)
			errs := h.errs.all()[heard:]
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], blobhttp.ErrMisconfigured)
			require.ErrorIs(t, errs[0], audit.ErrNoActor)
			assert.ErrorContains(t, errs[0], "blobhttp.Middleware")

			buf := captureLog(t)
			handler := plainHandlers(h.store, nil)[name]
			for range 20 {
				r := request()
				r.Pattern = t.Name()
				require.Equal(t, 401, record(handler, r).status)
			}
			assert.Equal(t, 1, strings.Count(buf.String(), "\n"), buf.String())
			assert.Contains(t, buf.String(), "blobhttp.Middleware")

			// With the middleware, an error is the client's fault.
			buf.Reset()
			heard = len(h.errs.all())
			for _, next := range []http.Handler{handler, hooked} {
				record(blobhttp.Middleware(nil)(next), request())
			}
			assert.Empty(t, buf.String())
			for _, err := range h.errs.all()[heard:] {
				assert.NotErrorIs(t, err, blobhttp.ErrMisconfigured)
			}
		})
	}
	t.Run("a link that is bound to a user", func(t *testing.T) {
		link := h.link("a", &blobstore.LinkOptions{UserID: "alice"})
		buf := captureLog(t)
		handler := blobhttp.Links(h.store, nil)
		for range 3 {
			r := httptest.NewRequest("GET", link, nil)
			r.Pattern = t.Name()
			require.Equal(t, 403, record(handler, r).status)
		}
		assert.Equal(t, 1, strings.Count(buf.String(), "blobhttp.Middleware"), buf.String())
		buf.Reset()
		stranger := blobhttp.Middleware(&blobhttp.MiddlewareOptions{Identify: func(*http.Request) (string, string, error) { return "bob", "", nil }})(handler)
		require.Equal(t, 403, record(stranger, httptest.NewRequest("GET", link, nil)).status)
		assert.Empty(t, buf.String())
		assert.Len(t, h.trail(audit.ActionRedeem), 4, "each refusal is in the trail")
	})
}

// TestLinksNotIssuedByTheStoreAreRefused checks links from another signer, and
// links that the program signed without the store, so that they have no record.
func TestLinksNotIssuedByTheStoreAreRefused(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", digits, nil)
	twin, err := signurl.New(h.url+"/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	for _, signer := range []*signurl.Signer{twin, h.signer} {
		link, err := signer.Sign(signurl.Grant{Key: "a", ID: "never-issued", Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		before := len(h.trail())
		a := h.do("GET", link, "")
		assert.Equal(t, 403, a.status)
		assert.Equal(t, "bad_link", a.problem(t).Code)
		assert.Len(t, h.trail(), before)
	}
}

// TestAuthorizerIsAskedUnlessALinkWasVerified checks that a handler of the
// application cannot skip the authorizer with a known grant ID.
func TestAuthorizerIsAskedUnlessALinkWasVerified(t *testing.T) {
	h := newHost(t, setup{opts: blobstore.Options{Authorize: func(ctx context.Context, e audit.Event) error {
		if a, _ := audit.ActorFrom(ctx); a.UserID != "alice" {
			return fmt.Errorf("%s is not for %q", e.Action, a.UserID)
		}
		return nil
	}}})
	h.put("a", digits, nil)
	for method, opts := range map[string]*blobstore.LinkOptions{"GET": nil, "HEAD": nil, "PUT": {Method: "PUT", Overwrite: true}, "DELETE": {Method: "DELETE"}} {
		require.Less(t, h.do(method, h.link("a", opts), "x").status, 300, method)
		h.put("a", digits, &blobstore.UploadOptions{Overwrite: true})
	}
	require.Len(t, h.trail(audit.ActionRedeem), 4)
	stranger := audit.WithActor(t.Context(), audit.Actor{UserID: "mallory"})
	_, err := new(blobstore.Redemption).Download(stranger, nil)
	require.ErrorIs(t, err, blobstore.ErrDenied)
	require.Len(t, h.trail(audit.ActionRedeem), 4)
}
