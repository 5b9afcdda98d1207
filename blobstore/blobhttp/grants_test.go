package blobhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

func newGrantsHost(t *testing.T, grants signurl.Grants) *host {
	t.Helper()
	h := newHost(t, setup{opts: blobstore.Options{Grants: grants}, wrap: asUser})
	h.put("a", digits, nil)
	return h
}

// TestOneTimeLinkInARace checks that of 1,000 concurrent uses exactly the
// permitted number succeeds, and that each use is recorded.
func TestOneTimeLinkInARace(t *testing.T) {
	for _, limit := range []int{1, 7} {
		h := newGrantsHost(t, new(signurl.MemoryGrants))
		handler := blobhttp.Heard(h.errs.add, blobhttp.Links(h.store, nil))
		link := h.link("a", &blobstore.LinkOptions{MaxUses: limit})
		var served, refused atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 1000 {
			wg.Go(func() {
				<-start
				switch a := record(handler, newRequest("GET", link, "")); a.status {
				case 200:
					served.Add(1)
					assert.Equal(t, digits, a.body)
				case 410:
					refused.Add(1)
					assert.NotContains(t, a.body, digits)
				default:
					t.Errorf("status %d", a.status)
				}
			})
		}
		close(start)
		wg.Wait()
		assert.EqualValues(t, limit, served.Load())
		assert.EqualValues(t, 1000-limit, refused.Load())
		outcomes := map[audit.Outcome]int{}
		for _, e := range h.trail(audit.ActionRedeem) {
			outcomes[e.Outcome]++
		}
		assert.Equal(t, map[audit.Outcome]int{audit.OutcomeOK: limit, audit.OutcomeDenied: 1000 - limit}, outcomes)
	}
}

func TestLinkUsesAreNotCountedByHead(t *testing.T) {
	h := newGrantsHost(t, new(signurl.MemoryGrants))
	link := h.link("a", &blobstore.LinkOptions{MaxUses: 2})
	for range 3 {
		assert.Equal(t, 200, h.do("HEAD", link, "").status)
	}
	assert.Equal(t, 200, h.do("GET", link, "").status)
	assert.Equal(t, 206, h.do("GET", link, "", "Range", "bytes=1-2").status)
	a := h.do("GET", link, "")
	assert.Equal(t, 410, a.status)
	assert.Equal(t, "revoked", a.problem(t).Code)
}

func TestRevokedLink(t *testing.T) {
	for name, opts := range map[string]blobstore.LinkOptions{
		"plain": {}, "revocable": {Revocable: true}, "counted": {MaxUses: 5}, "HEAD": {Method: "HEAD"}, "PUT": {Method: "PUT"}, "DELETE": {Method: "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newGrantsHost(t, new(signurl.MemoryGrants))
			link, err := h.store.Link(h.ctx, "a", &opts)
			require.NoError(t, err)
			other := h.link("a", &opts)
			if link.Method == "GET" {
				require.Equal(t, 200, h.do("GET", link.URL(), "").status)
			}
			for range 2 {
				require.NoError(t, h.store.Revoke(h.ctx, "a", link.GrantID))
			}
			body := ""
			if link.Method == "PUT" {
				body = "x"
			}
			assert.Equal(t, 410, h.do(link.Method, link.URL(), body).status)
			if link.Method == "GET" {
				assert.Equal(t, 410, h.do("HEAD", link.URL(), "").status)
				assert.Equal(t, 200, h.do("GET", other, "").status, "another link to the same object")
			}
			revocations := h.trail(audit.ActionRevoke)
			require.Len(t, revocations, 2)
			assert.Equal(t, link.GrantID, revocations[0].GrantID)
			assert.Equal(t, "alice", revocations[0].Actor.UserID)
			uses := h.trail(audit.ActionRedeem)
			denied := 0
			for _, e := range uses {
				if e.Outcome == audit.OutcomeDenied {
					assert.Equal(t, "revoked", e.ErrorCode)
					denied++
				}
			}
			assert.NotZero(t, denied)
			_, err = h.store.Stat(h.ctx, "a")
			require.NoError(t, err, "nothing was deleted")
		})
	}
}

func TestLinkOfAUser(t *testing.T) {
	h := newGrantsHost(t, nil)
	link := h.link("a", &blobstore.LinkOptions{UserID: "alice", IP: "127.0.0.1"})
	assert.Equal(t, 200, h.do("GET", link, "").status)
	assert.Equal(t, 403, h.do("GET", link, "", "User", "mallory").status)
}

// TestRevocableLinkOfACloud checks that the application serves a revocable
// link, and not the service.
func TestRevocableLinkOfACloud(t *testing.T) {
	h := newHost(t, setup{})
	store, err := blobstore.New(signingBucket{memstore.New()}, h.log, &blobstore.Options{Signer: h.signer, Grants: new(signurl.MemoryGrants)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	handler := blobhttp.Links(store, nil)
	plain, err := store.Link(h.ctx, "a", nil)
	require.NoError(t, err)
	assert.Contains(t, plain.URL(), "https://cloud.example/")
	require.ErrorIs(t, store.Revoke(h.ctx, "a", plain.GrantID), blobstore.ErrUnsupported, "the service does not ask us")

	bare, err := blobstore.New(signingBucket{memstore.New()}, h.log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bare.Close(context.Background())) })
	for _, method := range []string{"PUT", "DELETE"} {
		_, err = bare.Link(h.ctx, "a", &blobstore.LinkOptions{Method: method})
		require.ErrorIs(t, err, blobstore.ErrUnsupported, "a service would take content under the key that nothing has judged")
		l, err := store.Link(h.ctx, "other", &blobstore.LinkOptions{Method: method})
		require.NoError(t, err)
		assert.Contains(t, l.URL(), h.url)
	}
	up, err := store.Link(h.ctx, "a", &blobstore.LinkOptions{Method: "PUT", MaxUses: 1})
	require.NoError(t, err)
	require.Equal(t, 201, record(handler, newRequest("PUT", up.URL(), digits)).status)
	require.Equal(t, 410, record(handler, newRequest("PUT", up.URL(), digits)).status)
	once, err := store.Link(h.ctx, "a", &blobstore.LinkOptions{MaxUses: 1})
	require.NoError(t, err)
	assert.Equal(t, digits, record(handler, newRequest("GET", once.URL(), "")).body)
	assert.Equal(t, 410, record(handler, newRequest("GET", once.URL(), "")).status)
	gw, err := store.Link(h.ctx, "a", &blobstore.LinkOptions{Revocable: true})
	require.NoError(t, err)
	require.NoError(t, store.Revoke(h.ctx, "a", gw.GrantID))
	assert.Equal(t, 410, record(handler, newRequest("GET", gw.URL(), "")).status)
}

// TestRevocableLinkRedirects checks that a revocable link can redirect to the
// service, and is recorded.
func TestRevocableLinkRedirects(t *testing.T) {
	h := newHost(t, setup{})
	grants := new(signurl.MemoryGrants)
	store, err := blobstore.New(signingBucket{memstore.New()}, h.log, &blobstore.Options{
		Signer: h.signer, Grants: grants, Authorize: func(_ context.Context, e audit.Event) error {
			if e.Actor.UserID == "" { // the user of a link may be anonymous
				return blobstore.ErrDenied
			}
			return nil
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	for key, content := range map[string]string{"a": digits, "html": html} {
		_, err = store.Upload(h.ctx, key, strings.NewReader(content), &blobstore.UploadOptions{Filename: "März.txt"})
		require.NoError(t, err)
	}
	handler := blobhttp.Heard(h.errs.add, blobhttp.Links(store, &blobhttp.LinksOptions{RedirectFor: time.Minute}))
	get := func(method, key string, opts blobstore.LinkOptions) (*blobstore.Link, answer) {
		l, err := store.Link(h.ctx, key, &opts)
		require.NoError(t, err)
		r := httptest.NewRequest(method, l.URL(), nil)
		return l, record(handler, r)
	}

	start := time.Now()
	l, a := get("GET", "a", blobstore.LinkOptions{MaxUses: 1})
	end := time.Now()
	require.Equal(t, 302, a.status, a.body)
	assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"))
	to := a.header.Get("Location")
	assert.Contains(t, to, "https://cloud.example/a?")
	assert.Contains(t, to, "attachment; filename*=utf-8''M%C3%A4rz.txt")
	uses := h.trail(audit.ActionRedeem)
	require.Len(t, uses, 1)
	assert.Equal(t, l.GrantID, uses[0].GrantID)
	assert.Equal(t, audit.OutcomeOK, uses[0].Outcome)
	expires := uses[0].Details.Expires
	assert.False(t, expires.Before(start.Add(time.Minute).Truncate(time.Second)))
	assert.False(t, expires.After(end.Add(time.Minute)))
	assert.Len(t, h.trail(audit.ActionIssueLink), 1, "the one that was asked for")
	assert.Equal(t, 410, record(handler, httptest.NewRequest("GET", l.URL(), nil)).status, "used up")

	_, a = get("GET", "html", blobstore.LinkOptions{Revocable: true, Inline: true})
	assert.Contains(t, a.header.Get("Location"), "attachment", "a browser would run it")
	_, a = get("GET", "a", blobstore.LinkOptions{Revocable: true, Inline: true})
	assert.Contains(t, a.header.Get("Location"), "inline")
	_, a = get("GET", "missing", blobstore.LinkOptions{Revocable: true})
	assert.Equal(t, 404, a.status)
	uses = h.trail(audit.ActionRedeem)
	assert.Equal(t, audit.OutcomeFailed, uses[len(uses)-1].Outcome)
	_, a = get("HEAD", "a", blobstore.LinkOptions{Revocable: true})
	assert.Equal(t, 200, a.status, "a link of the service for GET is not good for HEAD")
	_, a = get("GET", "a", blobstore.LinkOptions{IP: "192.0.2.2"})
	assert.Equal(t, 403, a.status)

	// If the backend cannot sign links, the response is the content.
	local := newHost(t, setup{store: "local://" + t.TempDir(), links: blobhttp.LinksOptions{RedirectFor: time.Minute}})
	local.put("a", digits, nil)
	assert.Equal(t, digits, local.do("GET", local.link("a", nil), "").body)
}

type brokenGrants struct{ err error }

func (g brokenGrants) Use(context.Context, string, int, time.Time) error { return g.err }
func (g brokenGrants) Revoke(context.Context, string, time.Time) error   { return g.err }

// TestGrantsThatFail checks that a link is refused if its grant cannot be
// checked.
func TestGrantsThatFail(t *testing.T) {
	h := newGrantsHost(t, brokenGrants{errors.New("secret database")})
	link, err := h.store.Link(h.ctx, "a", nil)
	require.NoError(t, err)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := h.do(method, link.URL(), "")
		assert.Equal(t, 500, a.status)
		assert.NotContains(t, a.body, "secret")
	}
	require.Error(t, h.store.Revoke(h.ctx, "a", link.GrantID))
	revocations := h.trail(audit.ActionRevoke)
	require.Len(t, revocations, 1)
	assert.Equal(t, audit.OutcomeFailed, revocations[0].Outcome)
}

func TestLinkRestrictionsThatCannotBeEnforced(t *testing.T) {
	h := newHost(t, setup{})
	for name, o := range map[string]blobstore.LinkOptions{
		"counted without Grants": {MaxUses: 1},
		"negative":               {MaxUses: -1},
	} {
		_, err := h.store.Link(h.ctx, "a", &o)
		require.Error(t, err, name)
	}
	require.ErrorIs(t, h.store.Revoke(h.ctx, "a", "g"), blobstore.ErrUnsupported)
	withGrants := newGrantsHost(t, new(signurl.MemoryGrants))
	_, err := withGrants.store.Link(h.ctx, "a", &blobstore.LinkOptions{Method: "HEAD", MaxUses: 1})
	require.ErrorIs(t, err, blobstore.ErrUnsupported)
	require.Error(t, withGrants.store.Revoke(h.ctx, "a", ""))
	_, err = newCloud(t, h.log).Link(h.ctx, "a", &blobstore.LinkOptions{Revocable: true})
	require.ErrorIs(t, err, blobstore.ErrUnsupported, "no signer")
}

func TestMemoryGrants(t *testing.T) {
	var m signurl.MemoryGrants
	ctx := context.Background()
	require.NoError(t, m.Use(ctx, "g", 1, time.Now().Add(time.Hour)))
	require.ErrorIs(t, m.Use(ctx, "g", 1, time.Now().Add(time.Hour)), signurl.ErrRevoked)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, m.Use(canceled, "h", 1, time.Now()), context.Canceled)
	require.ErrorIs(t, m.Revoke(canceled, "h", time.Now()), context.Canceled)
	require.NoError(t, m.Use(ctx, "h", 1, time.Now().Add(time.Hour)), "not counted before")
}
