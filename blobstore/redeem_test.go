package blobstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
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

// gatekeeper is a store with an authorizer that permits only "admin" and counts
// its calls.
type gatekeeper struct {
	*blobstore.Store
	t           *testing.T
	admin, anna context.Context
	log         *audit.Memory
	signer      *signurl.Signer
	asked       atomic.Int64
	clock       atomic.Int64 // seconds by which the signer's clock is ahead
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

// request issues a link and returns the request for its handler.
func (g *gatekeeper) request(ctx context.Context, method, key string, opts blobstore.LinkOptions) *http.Request {
	g.t.Helper()
	if opts.Method == "" {
		opts.Method = method
	}
	link, err := g.Link(g.admin, key, &opts)
	require.NoError(g.t, err)
	r, err := http.NewRequestWithContext(ctx, method, link.URL(), nil)
	require.NoError(g.t, err)
	r.Header = http.Header{"Content-Type": {opts.ContentType}}
	r.ContentLength = -1
	return r
}

func (g *gatekeeper) redeem(method, key string, opts blobstore.LinkOptions) *blobstore.Redemption {
	g.t.Helper()
	red, err := g.Redeem(g.request(g.anna, method, key, opts))
	require.NoError(g.t, err)
	return red
}

// do calls the named operation of a Redemption.
func do(ctx context.Context, op string, red *blobstore.Redemption) error {
	var err error
	switch op {
	case "GET":
		var r *blobstore.Reader
		if r, err = red.Download(ctx, nil); err == nil {
			_, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
	case "ranges", "HEAD":
		var p *blobstore.RangeReader
		p, err = red.DownloadRanges(ctx, &blobstore.RangesOptions{Head: op == "HEAD", Choose: func(o *blobstore.Object) ([]blobstore.Range, error) {
			if op == "HEAD" {
				return nil, nil
			}
			return []blobstore.Range{{Length: o.Size}}, nil
		}})
		if err == nil {
			err = p.Close()
		}
	case "PUT":
		_, err = red.Upload(ctx, strings.NewReader("new"), &blobstore.UploadOptions{Overwrite: true})
	case "stage":
		var st *blobstore.Staged
		if st, err = red.Stage(ctx, strings.NewReader("new"), nil); err == nil {
			err = st.Commit(ctx)
		}
	case "DELETE":
		err = red.Delete(ctx, nil)
	case "redirect":
		_, err = red.Redirect(ctx, func(*blobstore.Object) *blobstore.LinkOptions { return &blobstore.LinkOptions{} })
	}
	return err
}

var redeemOps = []string{"GET", "ranges", "HEAD", "PUT", "stage", "DELETE", "redirect"}

// refused checks that only refusals were recorded since, none of them as a use,
// and that the authorizer was not called.
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

func TestRedemptionAllowsItsOwnOperationOnly(t *testing.T) {
	g := newGatekeeper(t)
	allowed := map[string][]string{"GET": {"GET", "ranges"}, "HEAD": {"HEAD"}, "PUT": {"PUT", "stage"}, "DELETE": {"DELETE"}}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		for _, op := range redeemOps {
			key, opts := "t/1/a", blobstore.LinkOptions{}
			if method == "PUT" {
				key, opts.Overwrite = "t/1/"+method+op, true
			}
			red := g.redeem(method, key, opts)
			// Changing the exported field has no effect.
			red.Grant = signurl.Grant{Key: "t/2/a", Method: op, ID: "anything"}
			if !slices.Contains(allowed[method], op) {
				if op == "redirect" && method == "GET" {
					require.ErrorIs(t, do(g.anna, op, red), blobstore.ErrUnsupported, "memory signs no links")
					continue
				}
				g.refused(method+" for "+op, func() error { return do(g.anna, op, red) })
				continue
			}
			before, asked := len(g.entries()), g.asked.Load()
			require.NoError(t, do(g.anna, op, red), "%s for %s", method, op)
			added := g.entries()[before:]
			assert.Equal(t, audit.ActionRedeem, added[0].Action)
			assert.Equal(t, audit.OutcomeOK, added[0].Outcome)
			assert.NotEmpty(t, added[0].GrantID)
			assert.Equal(t, key, added[0].Key)
			assert.Equal(t, "anna", added[0].Actor.UserID)
			assert.Equal(t, asked, g.asked.Load(), "the authorizer was asked when the link was issued")
			twin := *red
			g.refused("spent", func() error { return do(g.anna, op, red) })
			g.refused("a copy of it", func() error { return do(g.anna, op, &twin) })
			if op == "DELETE" {
				_, err := g.Upload(g.admin, key, strings.NewReader("content"), nil)
				require.NoError(t, err)
			}
		}
	}
}

// Only Redeem returns a usable Redemption. A value created by the program has
// no store and permits nothing.
func TestRedemptionOfTheProgramIsRefused(t *testing.T) {
	g := newGatekeeper(t)
	real := g.redeem("GET", "t/1/a", blobstore.LinkOptions{})
	before, asked := len(g.entries()), g.asked.Load()
	for _, op := range redeemOps {
		for name, red := range map[string]*blobstore.Redemption{"nil": nil, "zero": {}, "literal": {Grant: real.Grant}} {
			require.ErrorIs(t, do(g.anna, op, red), blobstore.ErrDenied, "%s for %s", name, op)
		}
	}
	assert.Len(t, g.entries(), before)
	assert.Equal(t, asked, g.asked.Load())
}

func TestRedemptionIsGoodForOneOfManyAtOnce(t *testing.T) {
	g := newGatekeeper(t)
	red := g.redeem("GET", "t/1/a", blobstore.LinkOptions{})
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if err := do(g.anna, "GET", red); err == nil {
				passed.Add(1)
			} else {
				assert.ErrorIs(t, err, blobstore.ErrDenied)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, passed.Load())
}

// A link is only valid in the store with its signer, and a Redemption only in
// the view that redeemed it.
func TestRedeemStaysInItsStoreAndView(t *testing.T) {
	g := newGatekeeper(t)
	own, err := g.Sub("t/1/")
	require.NoError(t, err)
	foreign, err := g.Sub("t/2/")
	require.NoError(t, err)
	request := func() *http.Request { return g.request(g.anna, "GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1}) }

	r := request()
	g.refused("another view", func() error { _, err := foreign.Redeem(r); return err })
	red, err := own.Redeem(r)
	require.NoError(t, err, "not counted by the view that refused it")
	require.NoError(t, do(g.anna, "GET", red))

	twin, err := signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	before := len(g.entries())
	_, err = g.open(twin).Redeem(request())
	require.ErrorIs(t, err, signurl.ErrSignature, "another signer")
	_, err = g.open(nil).Redeem(request())
	require.ErrorIs(t, err, blobstore.ErrUnsupported, "no signer")
	assert.Len(t, g.entries(), before+2, "the issues of the two links")
}

func TestRedemptionEndsWithItsLink(t *testing.T) {
	g := newGatekeeper(t)
	red := g.redeem("GET", "t/1/a", blobstore.LinkOptions{Expiry: time.Hour})
	r := g.request(g.anna, "GET", "t/1/a", blobstore.LinkOptions{Expiry: time.Hour})
	g.clock.Store(3601)
	g.refused("a Redemption that was kept", func() error { return do(g.anna, "GET", red) }, signurl.ErrExpired)
	_, err := g.Redeem(r)
	require.ErrorIs(t, err, signurl.ErrExpired)
}

// A request without this store's signature, or with a link not issued by a
// store, is neither counted nor recorded.
func TestRedeemTakesOnlyIssuedLinks(t *testing.T) {
	g := newGatekeeper(t)
	good := g.request(g.anna, "GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1})
	changed := func(change func(*url.URL, url.Values)) *http.Request {
		r := good.Clone(g.anna)
		q := r.URL.Query()
		change(r.URL, q)
		r.URL.RawQuery = q.Encode()
		return r
	}
	signed := func(grant signurl.Grant) *http.Request {
		grant.Expires = time.Now().Add(time.Hour)
		link, err := g.signer.Sign(grant)
		require.NoError(t, err)
		method := grant.Method
		if method == "" {
			method = http.MethodGet
		}
		r, err := http.NewRequestWithContext(g.anna, method, link, nil)
		require.NoError(t, err)
		return r
	}
	other, err := g.Link(g.admin, "t/1/b", nil)
	require.NoError(t, err)
	ticket, err := g.BeginUpload(g.admin, "t/1/up", 0, nil)
	require.NoError(t, err)
	for name, r := range map[string]*http.Request{
		"no link":        changed(func(_ *url.URL, q url.Values) { clear(q) }),
		"no signature":   changed(func(_ *url.URL, q url.Values) { q.Del("bt-sig") }),
		"moved":          changed(func(u *url.URL, _ url.Values) { u.Path = "/t/2/a" }),
		"longer":         changed(func(_ *url.URL, q url.Values) { q.Set("bt-exp", "1893456000") }),
		"more uses":      changed(func(_ *url.URL, q url.Values) { q.Set("bt-uses", "2") }),
		"without limit":  changed(func(_ *url.URL, q url.Values) { q.Del("bt-uses") }),
		"another grant":  changed(func(_ *url.URL, q url.Values) { q.Set("bt-gid", other.GrantID) }),
		"own, any grant": signed(signurl.Grant{Key: "t/1/a", ID: "anything"}),
		"own, no grant":  signed(signurl.Grant{Key: "t/1/a"}),
		// The signature covers the kind of a grant, and its ID is valid for one
		// key.
		"own, grant of another key":       signed(signurl.Grant{Key: "t/1/a", ID: other.GrantID}),
		"own, ticket of another key":      signed(signurl.Grant{Key: "t/1/a", Method: "PUT", ID: ticket.Link.GrantID}),
		"own, ticket's bare ID":           signed(signurl.Grant{Key: "t/1/up", Method: "PUT", ID: ticket.ID}),
		"own, ticket of another method":   signed(signurl.Grant{Key: "t/1/up", ID: ticket.Link.GrantID}),
		"own, of another kind":            signed(signurl.Grant{Key: "t/1/b", ID: "t" + other.GrantID[1:]}),
		"own, of the kind of the service": signed(signurl.Grant{Key: "t/1/b", ID: "s" + other.GrantID[1:]}),
	} {
		before := len(g.entries())
		red, err := g.Redeem(r)
		require.ErrorIs(t, err, signurl.ErrSignature, name)
		assert.Nil(t, red)
		assert.Len(t, g.entries(), before, name)
	}
	_, err = g.Redeem(good)
	require.NoError(t, err, "nothing was counted")
	before := len(g.entries())
	_, err = g.Redeem(good)
	require.ErrorIs(t, err, signurl.ErrRevoked)
	added := g.entries()[before:]
	require.Len(t, added, 1)
	assert.Equal(t, audit.OutcomeDenied, added[0].Outcome)
	assert.Equal(t, "revoked", added[0].ErrorCode)
	require.NoError(t, ticket.Abort(g.admin))
}

// Redeem records each refusal of an issued link once.
func TestRedeemRecordsRefusals(t *testing.T) {
	g := newGatekeeper(t)
	gone, cancel := context.WithCancel(g.anna)
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		opts blobstore.LinkOptions
		do   func(*http.Request)
		want error
		code string
	}{
		"method":                {opts: blobstore.LinkOptions{}, do: func(r *http.Request) { r.Method = "DELETE" }, want: signurl.ErrMethod, code: "method"},
		"unknown method":        {opts: blobstore.LinkOptions{}, do: func(r *http.Request) { r.Method = strings.Repeat("X", 5000) }, want: signurl.ErrMethod, code: "method"},
		"user":                  {opts: blobstore.LinkOptions{UserID: "bob"}, want: signurl.ErrUser, code: "constraint"},
		"address":               {opts: blobstore.LinkOptions{IP: "192.0.2.2"}, want: signurl.ErrAddress, code: "constraint"},
		"length":                {opts: blobstore.LinkOptions{Method: "PUT", Size: 5}, do: func(r *http.Request) { r.Method, r.ContentLength = "PUT", 6 }, want: signurl.ErrConstraint, code: "constraint"},
		"expired":               {opts: blobstore.LinkOptions{Expiry: time.Minute}, do: func(*http.Request) { g.clock.Store(61) }, want: signurl.ErrExpired, code: "expired"},
		"a client that is gone": {ctx: gone, do: func(r *http.Request) { r.Method = "PUT" }, want: signurl.ErrMethod, code: "method"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = g.anna
			}
			r := g.request(ctx, "GET", "t/1/a", c.opts)
			if c.do != nil {
				c.do(r)
			}
			defer g.clock.Store(0)
			before, asked := len(g.entries()), g.asked.Load()
			_, err := g.Redeem(r)
			require.ErrorIs(t, err, c.want)
			added := g.entries()[before:]
			require.Len(t, added, 1)
			assert.Equal(t, audit.ActionRedeem, added[0].Action)
			assert.Equal(t, audit.OutcomeDenied, added[0].Outcome)
			assert.Equal(t, c.code, added[0].ErrorCode)
			assert.NotEmpty(t, added[0].GrantID)
			assert.LessOrEqual(t, len(added[0].Details.Method), 16)
			assert.Equal(t, asked, g.asked.Load())
		})
	}
	// Restrictions to a user or an address also apply to the operation.
	red := g.redeem("GET", "t/1/a", blobstore.LinkOptions{UserID: "anna"})
	g.refused("by another user than that of Redeem", func() error { return do(g.admin, "GET", red) }, signurl.ErrUser)
	// Without an actor, the use is not counted.
	r := g.request(context.Background(), "GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1})
	_, err := g.Redeem(r)
	require.ErrorIs(t, err, audit.ErrNoActor)
	_, err = g.Redeem(r.WithContext(g.anna))
	require.NoError(t, err)
}

func TestRedeemOfHeadIsNotCountedAndReadsNothing(t *testing.T) {
	g := newGatekeeper(t)
	r := g.request(g.anna, "GET", "t/1/a", blobstore.LinkOptions{MaxUses: 1})
	redeem := func(method string) *blobstore.Redemption {
		r := r.Clone(g.anna)
		r.Method = method
		red, err := g.Redeem(r)
		require.NoError(t, err)
		return red
	}
	greedy := func(red *blobstore.Redemption, head bool) error {
		_, err := red.DownloadRanges(g.anna, &blobstore.RangesOptions{Head: head, Expect: &blobstore.Range{}, Choose: func(o *blobstore.Object) ([]blobstore.Range, error) {
			return []blobstore.Range{{Length: o.Size}}, nil
		}})
		return err
	}
	g.refused("HEAD for content", func() error { return greedy(redeem("HEAD"), false) })
	require.ErrorIs(t, greedy(redeem("HEAD"), true), blobstore.ErrUnsupported)
	require.NoError(t, do(g.anna, "HEAD", redeem("HEAD")))
	last := g.entries()[len(g.entries())-1]
	assert.Equal(t, "HEAD", last.Details.Method)
	require.NoError(t, do(g.anna, "ranges", redeem("GET")), "HEAD was not counted")
}

func TestRedemptionHoldsTheLinksConstraints(t *testing.T) {
	for name, c := range map[string]struct {
		link    blobstore.LinkOptions
		content string
		opts    blobstore.UploadOptions
		want    error
	}{
		"length":                  {blobstore.LinkOptions{Size: 5}, "123456", blobstore.UploadOptions{}, signurl.ErrConstraint},
		"length, said":            {blobstore.LinkOptions{Size: 5}, "1234", blobstore.UploadOptions{Size: 4}, signurl.ErrConstraint},
		"greatest length":         {blobstore.LinkOptions{MaxSize: 5}, "123456", blobstore.UploadOptions{MaxSize: 100}, signurl.ErrConstraint},
		"digest":                  {blobstore.LinkOptions{SHA256: make([]byte, 32)}, "12345", blobstore.UploadOptions{}, signurl.ErrConstraint},
		"type":                    {blobstore.LinkOptions{ContentType: "image/png"}, "12345", blobstore.UploadOptions{ContentType: "text/html"}, signurl.ErrConstraint},
		"create only":             {blobstore.LinkOptions{}, "12345", blobstore.UploadOptions{Overwrite: true}, signurl.ErrConstraint},
		"type, left to the link":  {blobstore.LinkOptions{ContentType: `text/plain; charset="utf-8"`}, "12345", blobstore.UploadOptions{}, nil},
		"type, written otherwise": {blobstore.LinkOptions{ContentType: `text/plain; charset="utf-8"`}, "12345", blobstore.UploadOptions{ContentType: "Text/plain;charset=utf-8"}, nil},
		"all as agreed":           {blobstore.LinkOptions{Size: 5, Overwrite: true}, "12345", blobstore.UploadOptions{Overwrite: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGatekeeper(t)
			red := g.redeem("PUT", "t/1/new", c.link)
			if red.Grant.SHA256 != nil { // the caller may change it
				sum := sha256.Sum256([]byte(c.content))
				copy(red.Grant.SHA256, sum[:])
			}
			red.Grant.Size, red.Grant.ContentType, red.Grant.CreateOnly = 0, "", false
			obj, err := red.Upload(g.anna, strings.NewReader(c.content), &c.opts)
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

// A link requested by an upload through a link follows the rules of all links.
func TestRedemptionGivesNoFurtherLink(t *testing.T) {
	g := newGatekeeper(t)
	red := g.redeem("PUT", "t/1/new", blobstore.LinkOptions{})
	_, err := red.Upload(g.anna, strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.ErrorIs(t, err, blobstore.ErrDenied)
}

func TestRevokeTakesOnlyGrantsOfItsKey(t *testing.T) {
	g := newGatekeeper(t)
	rival, err := g.Sub("t/2/")
	require.NoError(t, err)
	for name, opts := range map[string]blobstore.LinkOptions{"plain": {}, "revocable": {Revocable: true}, "counted": {MaxUses: 1}} {
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
			"prefixed":                      {g.Store, "t/1/a", "h-" + link.GrantID},
			"of another kind":               {g.Store, "t/1/a", "s" + link.GrantID[1:]},
			"of a ticket":                   {g.Store, "t/1/a", "t" + link.GrantID[1:]},
			"with a later expiry":           {g.Store, "t/1/a", "h-zzzzzz" + link.GrantID[8:]},
			"empty":                         {g.Store, "t/1/a", ""},
			"not a grant":                   {g.Store, "t/1/a", "g"},
			"a grant made up":               {g.Store, "t/1/a", signurl.NewGrantID()},
		} {
			before := len(g.entries())
			err := try.s.Revoke(g.admin, try.key, try.grant)
			require.ErrorIs(t, err, blobstore.ErrDenied, "%s: %s", name, what)
			added := g.entries()[before:]
			require.Len(t, added, 1)
			assert.Equal(t, audit.ActionRevoke, added[0].Action)
			assert.Equal(t, audit.OutcomeDenied, added[0].Outcome)
		}
		r, err := http.NewRequestWithContext(g.anna, http.MethodGet, link.URL(), nil)
		require.NoError(t, err)
		_, err = g.Redeem(r)
		require.NoError(t, err, "%s: it is still valid", name)
		require.NoError(t, g.Revoke(g.admin, "t/1/a", link.GrantID))
		_, err = g.Redeem(r)
		require.ErrorIs(t, err, signurl.ErrRevoked)
	}
	tk, err := g.BeginUpload(g.admin, "t/1/up", 0, nil)
	require.NoError(t, err)
	require.ErrorIs(t, g.Revoke(g.admin, "t/1/up", tk.ID), blobstore.ErrDenied, "the ID of a ticket is not that of a grant")
	err = g.Revoke(g.admin, "t/1/up", tk.Link.GrantID)
	require.ErrorIs(t, err, blobstore.ErrUnsupported)
	assert.ErrorContains(t, err, "Ticket.Abort")
	require.NoError(t, g.Ticket("t/1/up", tk.ID).Abort(g.admin))
}

// Revoke takes the expiry from the ID of the grant, and the resource from the
// entry of the link's issue.
func TestRevokeKnowsTheLink(t *testing.T) {
	g := newGatekeeper(t)
	grants := &recordedGrants{}
	var asked audit.Event
	s, err := blobstore.New(memstore.New(), g.log, &blobstore.Options{Signer: g.signer, Grants: grants, Authorize: func(_ context.Context, e audit.Event) error {
		asked = e
		return nil
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	invoice := audit.Resource{Type: "invoice", ID: "42"}
	link, err := s.Link(g.admin, "t/1/a", &blobstore.LinkOptions{Expiry: 3 * time.Hour, Resource: invoice})
	require.NoError(t, err)
	require.NoError(t, s.Revoke(g.admin, "t/1/a", link.GrantID))
	assert.Equal(t, invoice, asked.Resource)
	last := g.entries()[len(g.entries())-1]
	assert.Equal(t, audit.ActionRevoke, last.Action)
	assert.Equal(t, invoice, last.Resource)
	assert.Equal(t, link.GrantID, grants.id)
	assert.True(t, link.Expires.Equal(grants.expires))
}

type recordedGrants struct {
	signurl.MemoryGrants
	id      string
	expires time.Time
}

func (g *recordedGrants) Revoke(ctx context.Context, id string, expires time.Time) error {
	g.id, g.expires = id, expires
	return g.MemoryGrants.Revoke(ctx, id, expires)
}

// grantsJournal is a journal that provides grants, like that of sqlaudit.
type grantsJournal struct {
	audit.Memory
	grants signurl.MemoryGrants
}

func (j *grantsJournal) Grants() signurl.Grants { return &j.grants }

func TestGrantsOfTheJournalAreTheDefault(t *testing.T) {
	g := newGatekeeper(t)
	s, err := blobstore.New(memstore.New(), new(grantsJournal), &blobstore.Options{Signer: g.signer})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	for name, opts := range map[string]blobstore.LinkOptions{"used up": {MaxUses: 1}, "revoked": {}} {
		link, err := s.Link(g.admin, "a", &opts)
		require.NoError(t, err, name)
		r, err := http.NewRequestWithContext(g.anna, http.MethodGet, link.URL(), nil)
		require.NoError(t, err)
		_, err = s.Redeem(r)
		require.NoError(t, err, name)
		if name == "revoked" {
			require.NoError(t, s.Revoke(g.admin, "a", link.GrantID))
		}
		_, err = s.Redeem(r)
		require.ErrorIs(t, err, signurl.ErrRevoked, name)
	}
}
