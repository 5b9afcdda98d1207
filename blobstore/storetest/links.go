package storetest

// This file implements the cases of links. The service signs them if it can,
// and Options.Signer otherwise.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}

func (e *env) signs(method string) bool { return slices.Contains(e.can().Links.Methods, method) }

func linkCases() []testCase {
	cases := []testCase{
		{"an upload link MUST be signed by Options.Signer, with its constraints", bySigner},
		{"a link for the handler MUST be ErrUnsupported without Options.Signer", func(e *env) {
			s, err := e.openPlain()
			require.NoError(e, err)
			for _, m := range methods {
				if reads := m == http.MethodGet || m == http.MethodHead; reads && e.signs(m) {
					continue
				}
				_, err := s.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Method: m})
				e.isError(err, "link", e.key("a"), blobstore.ErrUnsupported)
			}
			if !e.signs(http.MethodGet) {
				_, err = s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
				e.isError(err, "upload", e.key("a"), blobstore.ErrUnsupported)
				e.has()
			}
			assert.Empty(e, e.entries(), "an impossible link is not recorded")
		}},
		{"a link signed by the service MUST return the content to any client", func(e *env) {
			e.need(e.signs(http.MethodGet), "Links.Methods")
			data := content(5000)
			e.put(e.key("ä b+c"), data, nil)
			link, err := e.store.Link(e.ctx, e.key("ä b+c"), &blobstore.LinkOptions{Filename: "März.pdf", ResponseType: "application/pdf"})
			require.NoError(e, err)
			resp, got := e.fetch(link, nil)
			assert.Equal(e, http.StatusOK, resp.StatusCode)
			assert.True(e, bytes.Equal(data, got))
			assert.Equal(e, "application/pdf", resp.Header.Get("Content-Type"))
			assert.Contains(e, resp.Header.Get("Content-Disposition"), "attachment")
		}},
		{"a changed link of the service MUST be refused by the service", func(e *env) {
			e.need(e.signs(http.MethodGet), "Links.Methods")
			e.put(e.key("a"), []byte("one"), nil)
			e.put(e.key("b"), []byte("two"), nil)
			link, err := e.store.Link(e.ctx, e.key("a"), nil)
			require.NoError(e, err)
			resp, got := e.fetchFrom(strings.Replace(link.URL(), e.key("a"), e.key("b"), 1), link, nil)
			assert.GreaterOrEqual(e, resp.StatusCode, 400)
			assert.NotContains(e, string(got), "two")
		}},
		{"the default expiry MUST be the store's, and an expiry above the maximum MUST be refused", func(e *env) {
			s := e.open(&blobstore.Options{LinkExpiry: 10 * time.Minute, MaxLinkExpiry: time.Hour})
			link, err := s.Link(e.ctx, e.key("a"), nil)
			require.NoError(e, err)
			assert.WithinDuration(e, time.Now().Add(10*time.Minute), link.Expires, 10*time.Second)
			link, err = s.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Expiry: time.Hour})
			require.NoError(e, err)
			assert.WithinDuration(e, time.Now().Add(time.Hour), link.Expires, 10*time.Second)
			added := e.since(func() {
				for _, d := range []time.Duration{time.Hour + time.Second, -time.Second} {
					_, err = s.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Expiry: d})
					e.isError(err, "link", e.key("a"))
					assert.Contains(e, err.Error(), "expiry")
				}
			})
			assert.Empty(e, added)
		}},
		{"a link for another method MUST be ErrUnsupported", func(e *env) {
			for _, m := range []string{"POST", "PATCH", "get", "DELETE\n"} {
				_, err := e.store.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Method: m})
				e.isError(err, "link", e.key("a"), blobstore.ErrUnsupported)
			}
		}},
		{"a constraint of a direct upload that cannot be enforced MUST be ErrUnsupported", func(e *env) {
			e.need(e.signs(http.MethodPut), "Links.Methods")
			links := e.can().Links
			for name, c := range map[string]struct {
				by   driver.Enforcement
				opts blobstore.UploadOptions
			}{
				"Size":        {links.Size, blobstore.UploadOptions{Size: 5}},
				"MaxSize":     {links.MaxSize, blobstore.UploadOptions{MaxSize: 5}},
				"ContentType": {links.ContentType, blobstore.UploadOptions{ContentType: "text/plain"}},
				"SHA256":      {links.SHA256, blobstore.UploadOptions{SHA256: sum(nil)}},
			} {
				tk, err := e.store.BeginUpload(e.ctx, e.key("a"), 0, &c.opts)
				if c.by == "" {
					assert.ErrorIs(e, err, blobstore.ErrUnsupported, name)
				} else if assert.NoError(e, err, name) {
					require.NoError(e, tk.Abort(e.ctx))
				}
			}
		}},
		{"a link's entry MUST contain everything except the URL", func(e *env) {
			var link *blobstore.Link
			entry := e.one(func() {
				var err error
				link, err = e.store.Link(audit.WithAttrs(e.ctx, map[string]string{"why": "test"}), e.key("a"), &blobstore.LinkOptions{
					Resource: audit.Resource{Type: "invoice", ID: "42"},
				})
				require.NoError(e, err)
			})
			e.recorded(entry, audit.ActionIssueLink, audit.OutcomeOK, e.key("a"))
			assert.NotEmpty(e, link.GrantID)
			assert.Equal(e, link.GrantID, entry.GrantID)
			assert.Equal(e, "GET", entry.Details.Method)
			assert.Equal(e, link.Expires.UTC().Format(time.RFC3339), entry.Details.Expires.Format(time.RFC3339))
			assert.Equal(e, "test", entry.Attrs["why"])
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
			e.noSecret(link, fmt.Sprintf("%+v", entry))
		}},
		{"a link MUST NOT show its URL when it is printed", func(e *env) {
			obj := e.put(e.key("a"), nil, &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
			link := obj.Link
			for _, s := range []string{
				link.String(), fmt.Sprint(link), fmt.Sprint(*link), fmt.Sprintf("%+v %#v %v %s", link, link, *link, *link), link.LogValue().String(),
			} {
				e.noSecret(link, s)
			}
		}},
		{"an upload with a link MUST return one and record both, with a reference", func(e *env) {
			var obj *blobstore.Object
			added := e.since(func() {
				obj = e.put(e.key("a"), []byte("x"), &blobstore.UploadOptions{
					Resource: audit.Resource{Type: "invoice", ID: "42"}, Link: &blobstore.LinkOptions{Expiry: time.Minute},
				})
			})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionUpload, audit.OutcomeOK, e.key("a"))
			e.recorded(added[1], audit.ActionIssueLink, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, obj.OpID, added[0].OpID)
			assert.Equal(e, obj.OpID, added[1].RefOpID)
			assert.Equal(e, obj.Link.GrantID, added[1].GrantID)
			assert.Empty(e, added[0].GrantID)
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, added[1].Resource)
			assert.NotEmpty(e, obj.Link.URL())
			e.settled()
		}},
		{"an upload with an impossible link MUST have no effect", func(e *env) {
			_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{Expiry: 1000 * time.Hour}})
			e.isError(err, "upload", e.key("a"))
			assert.Empty(e, e.entries())
			e.has()
		}},
		{"a failed upload MUST NOT issue its link", func(e *env) {
			added := e.since(func() {
				obj, err := e.store.Upload(e.ctx, e.key("a"), &failing{100, errReader}, &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
				e.isError(err, "upload", e.key("a"), errReader)
				assert.Nil(e, obj)
			})
			require.Len(e, added, 1)
			assert.Equal(e, audit.ActionUpload, added[0].Action)
		}},
		{"the authorizer MUST also be called for the link of an upload", func(e *env) {
			no := errors.New("no links for you")
			s := e.open(&blobstore.Options{Authorize: func(_ context.Context, ev audit.Event) error {
				if ev.Action == audit.ActionIssueLink {
					return no
				}
				return nil
			}})
			entry := e.one(func() {
				_, err := s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
				e.isError(err, "upload", e.key("a"), blobstore.ErrDenied, no)
			})
			e.recorded(entry, audit.ActionIssueLink, audit.OutcomeDenied, e.key("a"))
			e.has()
		}},
		{"the use of a link MUST be recorded under the grant ID of its issue", func(e *env) {
			l := e.linker()
			e.put(e.key("a"), []byte("one"), nil)
			red, grant := l.redeem(http.MethodGet, e.key("a"))
			entry := e.one(func() {
				r, err := red.Download(e.ctx, nil)
				require.NoError(e, err)
				require.NoError(e, r.Close())
			})
			e.recorded(entry, audit.ActionRedeem, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, grant, entry.GrantID)

			red, grant = l.redeem(http.MethodPut, e.key("b"))
			added := e.since(func() {
				_, err := red.Upload(e.ctx, strings.NewReader("two"), nil)
				require.NoError(e, err)
			})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionRedeem, audit.OutcomeOK, e.key("b"))
			e.recorded(added[1], audit.ActionUpload, audit.OutcomeOK, e.key("b"))
			assert.Equal(e, grant, added[0].GrantID)
			assert.Equal(e, grant, added[1].GrantID)

			red, _ = l.redeem(http.MethodDelete, e.key("b"))
			added = e.since(func() {
				require.NoError(e, red.Delete(e.ctx, nil))
			})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionRedeem, audit.OutcomeOK, e.key("b"))
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("b"))
		}},
		{"a refused use of a link MUST be recorded once, as denied", func(e *env) {
			l := e.linker()
			r, grant := l.request(http.MethodGet, e.key("a"))
			r.Method = http.MethodPut
			entry := e.one(func() {
				red, err := l.Redeem(r)
				e.isError(err, "redeem", e.key("a"), signurl.ErrMethod)
				assert.Nil(e, red)
			})
			e.recorded(entry, audit.ActionRedeem, audit.OutcomeDenied, e.key("a"))
			assert.Equal(e, grant, entry.GrantID)
			assert.Equal(e, "method", entry.ErrorCode)
			assert.Equal(e, http.MethodPut, entry.Details.Method)
		}},
		{"a link not signed by the store's signer or not issued by a store MUST be neither used nor recorded", func(e *env) {
			l := e.linker()
			e.put(e.key("b"), []byte("two"), nil)
			good, _ := l.request(http.MethodGet, e.key("a"))
			moved := good.Clone(e.ctx)
			moved.URL.Path = strings.Replace(moved.URL.Path, e.key("a"), e.key("b"), 1)
			moved.URL.RawPath = ""
			plain := good.Clone(e.ctx)
			plain.URL.RawQuery = ""
			own, err := l.signer.Sign(signurl.Grant{Key: e.key("b"), ID: "anything", Expires: time.Now().Add(time.Hour)})
			require.NoError(e, err)
			unissued, err := http.NewRequestWithContext(e.ctx, http.MethodGet, own, nil)
			require.NoError(e, err)
			for name, r := range map[string]*http.Request{"another key": moved, "no signature": plain, "a link that the program signed itself": unissued} {
				added := e.since(func() {
					_, err := l.Redeem(r)
					require.ErrorIs(e, err, signurl.ErrSignature, name)
				})
				assert.Empty(e, added, name)
			}
			added := e.since(func() {
				_, err := e.open(&blobstore.Options{Signer: e.signer()}).Redeem(good)
				e.isError(err, "redeem", "", signurl.ErrSignature)
			})
			assert.Empty(e, added, "another signer")
		}},
		{"a link for PUT or DELETE MUST lead to the handler on every backend", func(e *env) {
			l := e.linker()
			for _, m := range []string{http.MethodPut, http.MethodDelete} {
				link, err := l.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Method: m})
				require.NoError(e, err)
				r, err := http.NewRequestWithContext(e.ctx, m, link.URL(), nil)
				require.NoError(e, err)
				_, err = l.signer.Verify(r)
				require.NoError(e, err, m)
			}
		}},
	}
	for _, m := range methods {
		cases = append(cases, testCase{"a link for " + m + " MUST be issued and recorded once", func(e *env) {
			want := audit.ActionIssueLink
			if m == http.MethodPut {
				want = audit.ActionIssueUploadLink
			}
			entry := e.one(func() {
				link, err := e.store.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Method: m})
				require.NoError(e, err)
				assert.NotEmpty(e, link.URL())
				assert.Equal(e, m, link.Method)
			})
			e.recorded(entry, want, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, m, entry.Details.Method)
			e.has()
		}})
	}
	return cases
}

// linker is a store with a signer for all its links.
type linker struct {
	*blobstore.Store
	e      *env
	signer *signurl.Signer
}

func (e *env) linker() *linker {
	e.Helper()
	signer := e.signer()
	return &linker{e.open(&blobstore.Options{Signer: signer}), e, signer}
}

// request issues a link and returns the request for its handler.
func (l *linker) request(method, key string) (*http.Request, string) {
	l.e.Helper()
	link, err := l.Link(l.e.ctx, key, &blobstore.LinkOptions{Method: method, Revocable: true})
	require.NoError(l.e, err)
	r, err := http.NewRequestWithContext(l.e.ctx, method, link.URL(), nil)
	require.NoError(l.e, err)
	r.ContentLength = -1
	return r, link.GrantID
}

// redeem issues a link and redeems it.
func (l *linker) redeem(method, key string) (*blobstore.Redemption, string) {
	l.e.Helper()
	r, grant := l.request(method, key)
	red, err := l.Redeem(r)
	require.NoError(l.e, err)
	return red, grant
}

// openPlain opens a store without a signer.
func (e *env) openPlain() (*blobstore.Store, error) {
	if e.h.Store != nil {
		return e.h.Store(e.bucket, e.trail, nil)
	}
	return blobstore.New(keptOpen{e.bucket}, e.trail, nil)
}

func bySigner(e *env) {
	signer := e.signer()
	s := e.open(&blobstore.Options{Signer: signer})
	key := e.key("ä b+c%.txt")
	n := int64(77)
	opts := blobstore.LinkOptions{Method: http.MethodPut, ContentType: "text/plain", Size: n, SHA256: sum(nil)}
	link, err := s.Link(e.ctx, key, &opts)
	require.NoError(e, err)
	assert.Equal(e, "text/plain", link.Header.Get("Content-Type"))

	req, err := http.NewRequestWithContext(e.ctx, http.MethodPut, link.URL(), nil)
	require.NoError(e, err)
	req.Header, req.ContentLength = link.Header.Clone(), 77
	got, err := signer.Verify(req)
	require.NoError(e, err)
	assert.Equal(e, key, got.Key)
	assert.Equal(e, link.GrantID, got.ID)
	assert.Equal(e, n, got.Size)
	assert.Equal(e, sum(nil), got.SHA256)
	assert.True(e, got.CreateOnly)
	assert.True(e, link.Expires.Equal(got.Expires))

	other, err := http.NewRequestWithContext(e.ctx, http.MethodDelete, link.URL(), nil)
	require.NoError(e, err)
	_, err = signer.Verify(other)
	require.ErrorIs(e, err, signurl.ErrMethod)
}

// fetch uses a link in the same way as a client.
func (e *env) fetch(link *blobstore.Link, body []byte) (*http.Response, []byte) {
	e.Helper()
	return e.fetchFrom(link.URL(), link, body)
}

// fetchFrom is like fetch, with a different URL.
func (e *env) fetchFrom(address string, link *blobstore.Link, body []byte) (*http.Response, []byte) {
	e.Helper()
	client := e.h.Client
	if client == nil {
		client = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(e.ctx, link.Method, address, bytes.NewReader(body))
	require.NoError(e, err)
	for k, v := range link.Header {
		req.Header[k] = v
	}
	resp, err := client.Do(req)
	require.NoError(e, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(e, err)
	return resp, got
}

// noSecret checks that text contains no part of the link's URL, except perhaps
// the key.
func (e *env) noSecret(link *blobstore.Link, text string) {
	e.Helper()
	_, query, _ := strings.Cut(link.URL(), "?")
	require.NotEmpty(e, query)
	assert.NotContains(e, text, link.URL())
	for _, pair := range strings.Split(query, "&") {
		if _, value, _ := strings.Cut(pair, "="); len(value) > 16 && value != link.GrantID {
			assert.NotContains(e, text, value)
		}
	}
}
