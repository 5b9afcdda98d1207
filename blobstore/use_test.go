package blobstore_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// gatekeeper is a store whose authorizer lets only "admin" act, and counts.
type gatekeeper struct {
	*blobstore.Store
	t           *testing.T
	admin, anna context.Context
	log         *audit.Memory
	signer      *signurl.Signer
	asked       atomic.Int64
	clock       atomic.Int64 // of the signer, in seconds ahead
}

func newGatekeeper(t *testing.T) *gatekeeper {
	g := &gatekeeper{t: t, log: new(audit.Memory)}
	g.admin = audit.WithActor(t.Context(), audit.Actor{UserID: "admin"})
	g.anna = audit.WithActor(t.Context(), audit.Actor{UserID: "anna", IP: "192.0.2.1"})
	var err error
	g.signer, err = signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, &signurl.Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(g.clock.Load()) * time.Second) },
	})
	require.NoError(t, err)
	g.Store = g.open(g.signer)
	for _, key := range []string{"t/1/a", "t/1/b", "t/2/a"} {
		_, err := g.Upload(g.admin, key, strings.NewReader("content"), nil)
		require.NoError(t, err)
	}
	return g
}

func (g *gatekeeper) open(signer *signurl.Signer) *blobstore.Store {
	s, err := blobstore.New(memstore.New(), g.log, &blobstore.Options{
		Signer: signer, Grants: new(signurl.MemoryGrants),
		Authorize: func(ctx context.Context, _ audit.Event) error {
			g.asked.Add(1)
			if a, _ := audit.ActorFrom(ctx); a.UserID != "admin" {
				return errors.New("only for the admin")
			}
			return nil
		},
	})
	require.NoError(g.t, err)
	g.t.Cleanup(func() { require.NoError(g.t, s.Close(context.Background())) })
	return s
}

// verified issues a link and verifies a request for it.
func (g *gatekeeper) verified(method, key string, opts blobstore.LinkOptions) signurl.Grant {
	g.t.Helper()
	if opts.Method == "" {
		opts.Method = method
	}
	link, err := g.Link(g.admin, key, &opts)
	require.NoError(g.t, err)
	r, err := http.NewRequest(method, link.URL(), nil)
	require.NoError(g.t, err)
	r.Header = http.Header{"Content-Type": {opts.ContentType}}
	r.ContentLength = -1
	l, err := g.signer.Verify(r)
	require.NoError(g.t, err)
	return l
}

func (g *gatekeeper) use(method, key string, opts blobstore.LinkOptions) *blobstore.Use {
	g.t.Helper()
	use, err := g.UseLink(g.anna, g.verified(method, key, opts))
	require.NoError(g.t, err)
	return use
}

// do is every operation that takes a Use.
func do(ctx context.Context, s *blobstore.Store, op, key string, use *blobstore.Use) error {
	var err error
	switch op {
	case "GET":
		var r *blobstore.Reader
		if r, err = s.Download(ctx, key, &blobstore.DownloadOptions{Use: use}); err == nil {
			_, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
	case "parts", "HEAD":
		var p *blobstore.RangeReader
		p, err = s.DownloadRanges(ctx, key, &blobstore.RangesOptions{Head: op == "HEAD", Use: use, Choose: func(o *blobstore.Object) ([]blobstore.Range, error) {
			if op == "HEAD" {
				return nil, nil
			}
			return []blobstore.Range{{Length: o.Size}}, nil
		}})
		if err == nil {
			err = p.Close()
		}
	case "PUT":
		_, err = s.Upload(ctx, key, strings.NewReader("new"), &blobstore.UploadOptions{Use: use, Overwrite: true})
	case "stage":
		var st *blobstore.Staged
		if st, err = s.Stage(ctx, key, strings.NewReader("new"), &blobstore.UploadOptions{Use: use}); err == nil {
			err = st.Commit(ctx)
		}
	case "DELETE":
		err = s.Delete(ctx, key, &blobstore.DeleteOptions{Use: use})
	case "redeem":
		_, err = s.RedeemLink(ctx, use, func(*blobstore.Object) *blobstore.LinkOptions { return &blobstore.LinkOptions{} })
	}
	return err
}

var useOps = []string{"GET", "parts", "HEAD", "PUT", "stage", "DELETE", "redeem"}

// refused expects that nothing but refusals was recorded since, none of them as
// a use, and that the authorizer was not asked.
func (g *gatekeeper) refused(name string, try func() error, want ...error) {
	g.t.Helper()
	before, asked := len(g.entries()), g.asked.Load()
	err := try()
	require.Error(g.t, err, name)
	for _, w := range append(want, blobstore.ErrDenied) {
		require.ErrorIs(g.t, err, w, name)
	}
	for _, e := range g.entries()[before:] {
		assert.Equal(g.t, audit.OutcomeDenied, e.Outcome, name)
	}
	assert.Equal(g.t, asked, g.asked.Load(), "%s: there is no way back to the authorizer", name)
}

func (g *gatekeeper) entries() (out []audit.Entry) {
	for e, err := range g.log.Entries(g.admin, audit.Query{}) {
		require.NoError(g.t, err)
		out = append(out, e)
	}
	return out
}

func TestUseIsGoodForItsOwnOperationOnly(t *testing.T) {
	g := newGatekeeper(t)
	overwrite := blobstore.LinkOptions{Overwrite: true}
	allowed := map[string][]string{"GET": {"GET", "parts"}, "HEAD": {"HEAD"}, "PUT": {"PUT", "stage"}, "DELETE": {"DELETE"}}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		for _, op := range useOps {
			ok := false
			for _, a := range allowed[method] {
				ok = ok || a == op
			}
			key := "t/1/a"
			if op == "stage" || method == "PUT" {
				key = "t/1/" + method + op
			}
			opts := blobstore.LinkOptions{}
			if method == "PUT" {
				opts = overwrite
			}
			use := g.use(method, key, opts)
			for _, other := range []string{"t/1/b", "t/2/a"} {
				if op != "redeem" { // which takes its key from the link
					g.refused(method+" for "+op+" of another key", func() error { return do(g.anna, g.Store, op, other, use) })
				}
			}
			if !ok {
				if op == "redeem" && method == "GET" {
					require.ErrorIs(t, do(g.anna, g.Store, op, key, use), blobstore.ErrUnsupported, "memory signs no links")
					continue
				}
				g.refused(method+" for "+op, func() error { return do(g.anna, g.Store, op, key, use) })
				continue
			}
			before, asked := len(g.entries()), g.asked.Load()
			require.NoError(t, do(g.anna, g.Store, op, key, use), "%s for %s", method, op)
			added := g.entries()[before:]
			assert.Equal(t, audit.ActionRedeem, added[0].Action)
			assert.Equal(t, audit.OutcomeOK, added[0].Outcome)
			assert.NotEmpty(t, added[0].GrantID)
			assert.Equal(t, "anna", added[0].Actor.UserID)
			assert.Equal(t, asked, g.asked.Load(), "the authorizer was asked when the link was issued")
			twin := *use
			g.refused("spent", func() error { return do(g.anna, g.Store, op, key, use) })
			g.refused("a copy of it", func() error { return do(g.anna, g.Store, op, key, &twin) })
			if op == "DELETE" {
				_, err := g.Upload(g.admin, key, strings.NewReader("content"), nil)
				require.NoError(t, err)
			}
		}
	}
	for _, op := range useOps {
		g.refused("zero value for "+op, func() error { return do(g.anna, g.Store, op, "t/1/b", new(blobstore.Use)) })
	}
	_, err := g.DeletePrefix(g.anna, "t/1/", &blobstore.DeleteOptions{Use: g.use("DELETE", "t/1/a", blobstore.LinkOptions{})})
	require.ErrorIs(t, err, blobstore.ErrUnsupported)
}

func TestUseIsGoodForOneOfManyAtOnce(t *testing.T) {
	g := newGatekeeper(t)
	use := g.use("GET", "t/1/a", blobstore.LinkOptions{})
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if err := do(g.anna, g.Store, "GET", "t/1/a", use); err == nil {
				passed.Add(1)
			} else {
				assert.ErrorIs(t, err, blobstore.ErrDenied)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, passed.Load())
}

func TestUseStaysInItsStoreAndView(t *testing.T) {
	g := newGatekeeper(t)
	rival := g.open(g.signer)
	_, err := rival.Upload(g.admin, "t/1/a", strings.NewReader("theirs"), nil)
	require.NoError(t, err)
	own, err := g.Sub("t/1/")
	require.NoError(t, err)
	foreign, err := g.Sub("t/2/")
	require.NoError(t, err)

	use := g.use("GET", "t/1/a", blobstore.LinkOptions{})
	g.refused("another store with the same signer", func() error { return do(g.anna, rival, "GET", "t/1/a", use) })
	g.refused("another view", func() error { return do(g.anna, foreign, "GET", "t/1/a", use) })
	require.NoError(t, do(g.anna, own, "GET", "t/1/a", use), "the same store's view")

	link := g.verified("GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1})
	g.refused("a view by UseLink", func() error { _, err := foreign.UseLink(g.anna, link); return err })
	_, err = own.UseLink(g.anna, link)
	require.NoError(t, err, "not counted by the view that refused it")
}

func TestUseEndsWithItsLink(t *testing.T) {
	g := newGatekeeper(t)
	use := g.use("GET", "t/1/a", blobstore.LinkOptions{Expiry: time.Hour})
	link := g.verified("GET", "t/1/a", blobstore.LinkOptions{Expiry: time.Hour})
	g.clock.Store(3601)
	g.refused("a Use that was kept", func() error { return do(g.anna, g.Store, "GET", "t/1/a", use) }, signurl.ErrExpired)
	_, err := g.UseLink(g.anna, link)
	require.ErrorIs(t, err, signurl.ErrExpired, "a Link that was kept")
}

func TestUseLinkTakesOnlyVerifiedLinks(t *testing.T) {
	g := newGatekeeper(t)
	good := g.verified("GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1})
	twin, err := signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	longer, moved, unbound := good, good, g.verified("GET", "t/1/a", blobstore.LinkOptions{UserID: "anna"})
	longer.Expires = longer.Expires.Add(time.Hour)
	moved.Key = "t/2/a"
	unbound.UserID = ""
	more := good
	more.MaxUses = 0
	stores := map[string]*blobstore.Store{"the store": g.Store, "one with another signer": g.open(twin), "one without a signer": g.open(nil)}
	for where, s := range stores {
		for name, link := range map[string]signurl.Grant{
			"literal": {Key: "t/1/a", ID: "anything"}, "with a method": {Method: "GET", Key: "t/1/a", ID: good.ID, Expires: good.Expires},
			"longer": longer, "moved": moved, "unbound": unbound, "more uses": more, "untouched": good,
		} {
			if s == g.Store && name == "untouched" {
				continue
			}
			before := len(g.entries())
			use, err := s.UseLink(g.anna, link)
			require.ErrorIs(t, err, signurl.ErrSignature, "%s, %s", where, name)
			assert.Nil(t, use)
			require.ErrorIs(t, s.DenyLink(g.anna, link, "GET", signurl.ErrRevoked), signurl.ErrSignature, "%s, %s", where, name)
			assert.Len(t, g.entries(), before, "%s, %s", where, name)
		}
	}
	_, err = g.UseLink(g.anna, good)
	require.NoError(t, err, "nothing was counted")
	_, err = g.UseLink(g.anna, good)
	require.ErrorIs(t, err, signurl.ErrRevoked)

	// What Verify refused stays refused, and can be recorded.
	link, err := g.Link(g.admin, "t/1/a", nil)
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodDelete, link.URL(), nil)
	require.NoError(t, err)
	refused, err := g.signer.Verify(r)
	require.ErrorIs(t, err, signurl.ErrMethod)
	_, err = g.UseLink(g.anna, refused)
	require.ErrorIs(t, err, signurl.ErrMethod)
	require.NoError(t, g.DenyLink(g.anna, refused, "DELETE", err))
	last := g.entries()[len(g.entries())-1]
	assert.Equal(t, link.GrantID, last.GrantID)
	assert.Equal(t, audit.OutcomeDenied, last.Outcome)

	// Bindings hold without the handler's help.
	for _, opts := range []blobstore.LinkOptions{{UserID: "bob"}, {IP: "192.0.2.2"}} {
		_, err = g.UseLink(g.anna, g.verified("GET", "t/1/a", opts))
		require.ErrorIs(t, err, signurl.ErrConstraint)
	}
	use := g.use("GET", "t/1/a", blobstore.LinkOptions{UserID: "anna"})
	g.refused("by another user than UseLink", func() error { return do(g.admin, g.Store, "GET", "t/1/a", use) }, signurl.ErrConstraint)
}

func TestUseOfHeadIsNotCountedAndReadsNothing(t *testing.T) {
	g := newGatekeeper(t)
	opts := blobstore.LinkOptions{Method: "GET", MaxUses: 1}
	link, err := g.Link(g.admin, "t/1/a", &opts)
	require.NoError(t, err)
	use := func(method string) *blobstore.Use {
		r, err := http.NewRequest(method, link.URL(), nil)
		require.NoError(t, err)
		l, err := g.signer.Verify(r)
		require.NoError(t, err)
		use, err := g.UseLink(g.anna, l)
		require.NoError(t, err)
		return use
	}
	greedy := func(use *blobstore.Use, head bool) error {
		_, err := g.DownloadRanges(g.anna, "t/1/a", &blobstore.RangesOptions{Head: head, Use: use, Expect: &blobstore.Range{}, Choose: func(o *blobstore.Object) ([]blobstore.Range, error) {
			return []blobstore.Range{{Length: o.Size}}, nil
		}})
		return err
	}
	g.refused("HEAD for content", func() error { return greedy(use("HEAD"), false) })
	require.ErrorIs(t, greedy(use("HEAD"), true), blobstore.ErrUnsupported)
	require.NoError(t, do(g.anna, g.Store, "HEAD", "t/1/a", use("HEAD")))
	last := g.entries()[len(g.entries())-1]
	assert.Equal(t, "HEAD", last.Details.Method)
	require.NoError(t, do(g.anna, g.Store, "parts", "t/1/a", use("GET")), "HEAD was not counted")
}

func TestUseHoldsTheLinksConstraints(t *testing.T) {
	five := int64(5)
	for name, c := range map[string]struct {
		link    blobstore.LinkOptions
		content string
		opts    blobstore.UploadOptions
		want    error
	}{
		"length":                  {blobstore.LinkOptions{Size: five}, "123456", blobstore.UploadOptions{}, signurl.ErrConstraint},
		"length, said":            {blobstore.LinkOptions{Size: five}, "1234", blobstore.UploadOptions{Size: 4}, signurl.ErrConstraint},
		"greatest length":         {blobstore.LinkOptions{MaxSize: 5}, "123456", blobstore.UploadOptions{MaxSize: 100}, signurl.ErrConstraint},
		"digest":                  {blobstore.LinkOptions{SHA256: make([]byte, 32)}, "12345", blobstore.UploadOptions{}, signurl.ErrConstraint},
		"type":                    {blobstore.LinkOptions{ContentType: "image/png"}, "12345", blobstore.UploadOptions{ContentType: "text/html"}, signurl.ErrConstraint},
		"create only":             {blobstore.LinkOptions{}, "12345", blobstore.UploadOptions{Overwrite: true}, signurl.ErrConstraint},
		"type, left to the link":  {blobstore.LinkOptions{ContentType: `text/plain; charset="utf-8"`}, "12345", blobstore.UploadOptions{}, nil},
		"type, written otherwise": {blobstore.LinkOptions{ContentType: `text/plain; charset="utf-8"`}, "12345", blobstore.UploadOptions{ContentType: "Text/plain;charset=utf-8"}, nil},
		"all as agreed":           {blobstore.LinkOptions{Size: five, Overwrite: true}, "12345", blobstore.UploadOptions{Overwrite: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGatekeeper(t)
			opts := c.opts
			opts.Use = g.use("PUT", "t/1/new", c.link)
			obj, err := g.Upload(g.anna, "t/1/new", strings.NewReader(c.content), &opts)
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				if c.link.ContentType != "" {
					assert.Equal(t, "text/plain; charset=utf-8", obj.ContentType)
				}
				return
			}
			_, err = g.Stat(g.admin, "t/1/new")
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// The link that an upload by a link asks for is issued by the rules of all links.
func TestUseGivesNoFurtherLink(t *testing.T) {
	g := newGatekeeper(t)
	use := g.use("PUT", "t/1/new", blobstore.LinkOptions{})
	_, err := g.Upload(g.anna, "t/1/new", strings.NewReader("x"), &blobstore.UploadOptions{Use: use, Link: &blobstore.LinkOptions{}})
	require.ErrorIs(t, err, blobstore.ErrDenied)
}

func TestRevokeTakesOnlyGrantsOfItsKey(t *testing.T) {
	g := newGatekeeper(t)
	rival, err := g.Sub("t/2/")
	require.NoError(t, err)
	for name, opts := range map[string]blobstore.LinkOptions{"plain": {}, "gateway": {Revocable: true}, "counted": {MaxUses: 1}} {
		link, err := g.Link(g.admin, "t/1/a", &opts)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(link.GrantID), 64)
		other, err := g.Link(g.admin, "t/1/a", &opts)
		require.NoError(t, err)
		half := len(link.GrantID) - 21
		for what, try := range map[string]struct {
			s          *blobstore.Store
			key, grant string
		}{
			"a view with a key of its own":  {rival, "t/2/a", link.GrantID},
			"a view with a key that is not": {rival, "t/2/none", link.GrantID},
			"a view with the foreign key":   {rival, "t/1/a", link.GrantID},
			"the store, another key":        {g.Store, "t/1/b", link.GrantID},
			"a longer key":                  {g.Store, "t/1/aa", link.GrantID},
			"two grants mixed":              {g.Store, "t/1/a", link.GrantID[:half] + other.GrantID[half:]},
			"lower case":                    {g.Store, "t/1/a", strings.ToLower(link.GrantID)},
			"cut":                           {g.Store, "t/1/a", link.GrantID[:half]},
			"longer":                        {g.Store, "t/1/a", link.GrantID + "A"},
			"prefixed":                      {g.Store, "t/1/a", "gw-" + link.GrantID},
			"not a grant":                   {g.Store, "t/1/a", "g"},
			"a grant made up":               {g.Store, "t/1/a", signurl.NewGrantID()},
		} {
			before := len(g.entries())
			err := try.s.Revoke(g.admin, try.key, try.grant, nil)
			require.ErrorIs(t, err, blobstore.ErrDenied, "%s: %s", name, what)
			added := g.entries()[before:]
			require.Len(t, added, 1)
			assert.Equal(t, audit.ActionRevoke, added[0].Action)
			assert.Equal(t, audit.OutcomeDenied, added[0].Outcome)
		}
		r, err := http.NewRequest(http.MethodGet, link.URL(), nil)
		require.NoError(t, err)
		l, err := g.signer.Verify(r)
		require.NoError(t, err)
		_, err = g.UseLink(g.anna, l)
		require.NoError(t, err, "%s: it still holds", name)
		require.NoError(t, g.Revoke(g.admin, "t/1/a", link.GrantID, nil))
		_, err = g.UseLink(g.anna, l)
		require.ErrorIs(t, err, signurl.ErrRevoked)
	}
	tk, err := g.BeginUpload(g.admin, "t/1/up", 0, nil)
	require.NoError(t, err)
	err = g.Revoke(g.admin, "t/1/up", tk.ID, nil)
	require.ErrorIs(t, err, blobstore.ErrUnsupported)
	assert.ErrorContains(t, err, "Ticket.Abort")
	require.NoError(t, g.Ticket("t/1/up", tk.ID).Abort(g.admin))
}
