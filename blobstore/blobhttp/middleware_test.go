package blobhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// actorOf sends a request through the middleware and returns the resulting
// actor.
func actorOf(opts *blobhttp.MiddlewareOptions, r *http.Request) (a audit.Actor, ok bool, rec *httptest.ResponseRecorder) {
	rec = httptest.NewRecorder()
	blobhttp.Middleware(opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a, ok = audit.ActorFrom(r.Context())
	})).ServeHTTP(rec, r)
	return a, ok, rec
}

func TestMiddlewareClientIP(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, s := range s {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	v4 := prefixes("10.0.0.0/8")
	both := prefixes("10.0.0.0/8", "fd00::/8")
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		header  string // default if empty
		remote  string
		lines   []string // lines of the header, by default X-Forwarded-For
		want    string
	}{
		"no proxy":                          {remote: "192.0.2.1:1", want: "192.0.2.1"},
		"no proxy, IPv6":                    {remote: "[2001:db8::1]:1", want: "2001:db8::1"},
		"IPv4 in IPv6":                      {remote: "[::ffff:192.0.2.1]:1", want: "192.0.2.1"},
		"zone":                              {remote: "[fe80::1%eth0]:1", want: "fe80::1"},
		"no address":                        {remote: "@", want: ""},
		"spoofed, nobody is trusted":        {remote: "192.0.2.1:1", lines: []string{"203.0.113.9"}, want: "192.0.2.1"},
		"spoofed, not through the proxy":    {trusted: v4, remote: "192.0.2.1:1", lines: []string{"203.0.113.9"}, want: "192.0.2.1"},
		"through a proxy":                   {trusted: v4, remote: "10.0.0.1:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"through a proxy, spoofed":          {trusted: v4, remote: "10.0.0.1:1", lines: []string{"127.0.0.1, 203.0.113.9"}, want: "203.0.113.9"},
		"through a proxy, spoofed proxy":    {trusted: v4, remote: "10.0.0.1:1", lines: []string{"10.9.9.9, 203.0.113.9"}, want: "203.0.113.9"},
		"through a proxy, spoofed line":     {trusted: v4, remote: "10.0.0.1:1", lines: []string{"127.0.0.1", "203.0.113.9"}, want: "203.0.113.9"},
		"through two proxies":               {trusted: v4, remote: "10.0.0.1:1", lines: []string{"127.0.0.1, 203.0.113.9,10.0.0.2"}, want: "203.0.113.9"},
		"through two proxies, two lines":    {trusted: v4, remote: "10.0.0.1:1", lines: []string{"203.0.113.9", "10.0.0.2"}, want: "203.0.113.9"},
		"a client within the trusted":       {trusted: v4, remote: "10.0.0.1:1", lines: []string{"10.0.0.9"}, want: "10.0.0.9"},
		"no header from the proxy":          {trusted: v4, remote: "10.0.0.1:1", want: "10.0.0.1"},
		"nonsense from the proxy":           {trusted: v4, remote: "10.0.0.1:1", lines: []string{"unknown"}, want: "10.0.0.1"},
		"nonsense behind the proxy":         {trusted: v4, remote: "10.0.0.1:1", lines: []string{"203.0.113.9, x, 10.0.0.2"}, want: "10.0.0.2"},
		"empty":                             {trusted: v4, remote: "10.0.0.1:1", lines: []string{""}, want: "10.0.0.1"},
		"empty elements":                    {trusted: v4, remote: "10.0.0.1:1", lines: []string{"203.0.113.9,,"}, want: "10.0.0.1"},
		"with a port":                       {trusted: v4, remote: "10.0.0.1:1", lines: []string{"203.0.113.9:4711"}, want: "203.0.113.9"},
		"IPv6":                              {trusted: both, remote: "[fd00::1]:1", lines: []string{"2001:db8::9"}, want: "2001:db8::9"},
		"IPv6 in brackets":                  {trusted: both, remote: "[fd00::1]:1", lines: []string{"[2001:db8::9]"}, want: "2001:db8::9"},
		"IPv6 with a port":                  {trusted: both, remote: "[fd00::1]:1", lines: []string{"[2001:db8::9]:80"}, want: "2001:db8::9"},
		"IPv4 in brackets":                  {trusted: both, remote: "[fd00::1]:1", lines: []string{"[1.2.3.4]"}, want: "fd00::1"},
		"IPv4 in IPv6 is the proxy's":       {trusted: v4, remote: "[::ffff:10.0.0.1]:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"a prefix of IPv4 in IPv6":          {trusted: prefixes("::ffff:10.0.0.0/104"), remote: "10.0.0.1:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"the zero prefix trusts nobody":     {trusted: []netip.Prefix{{}}, remote: "10.0.0.1:1", lines: []string{"203.0.113.9"}, want: "10.0.0.1"},
		"another header, small letters":     {trusted: v4, header: "x-real-ip", remote: "10.0.0.1:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"Forwarded":                         {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{"for=203.0.113.9;proto=https"}, want: "203.0.113.9"},
		"Forwarded, IPv6":                   {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{`proto=https; For="[2001:db8::9]:80"`}, want: "2001:db8::9"},
		"Forwarded, spoofed":                {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{"for=127.0.0.1, for=203.0.113.9, for=10.0.0.2"}, want: "203.0.113.9"},
		"Forwarded, hidden":                 {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{"for=127.0.0.1, for=_hidden"}, want: "10.0.0.1"},
		"Forwarded, comma within quotes":    {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{`for=203.0.113.9;x=",for=127.0.0.1"`}, want: "10.0.0.1"},
		"Forwarded without for":             {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", lines: []string{"proto=https"}, want: "10.0.0.1"},
		"overlong":                          {trusted: v4, remote: "10.0.0.1:1", lines: []string{strings.Repeat("10.0.0.2,", 1e4) + "203.0.113.9"}, want: "203.0.113.9"},
		"a header that nobody is asked for": {trusted: v4, header: "Forwarded", remote: "10.0.0.1:1", want: "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.remote
			header := "X-Forwarded-For"
			if c.header != "" {
				r.Header.Set(header, "198.51.100.66") // ignored
				header = c.header
			}
			for _, l := range c.lines {
				r.Header.Add(header, l)
			}
			a, _, _ := actorOf(&blobhttp.MiddlewareOptions{TrustedProxies: c.trusted, ProxyHeader: c.header}, r)
			assert.Equal(t, c.want, a.IP)
		})
	}
}

func TestMiddlewareActor(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("User-Agent", "browser/1")
	r.Header.Set("X-Request-Id", "abc-123")
	a, ok, rec := actorOf(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "u", "t", nil },
	}, r)
	require.True(t, ok)
	assert.Equal(t, audit.Actor{UserID: "u", TenantID: "t", IP: "192.0.2.1", UserAgent: "browser/1", RequestID: "abc-123"}, a)
	assert.Equal(t, "abc-123", rec.Header().Get("X-Request-Id"))
}

func TestMiddlewareRequestID(t *testing.T) {
	for _, bad := range []string{"", " ", "a b", "a\tb", `"`, "<script>", "ä", strings.Repeat("a", 129)} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["X-Request-Id"] = []string{bad}
		a, _, rec := actorOf(nil, r)
		assert.NoError(t, uuid.Validate(a.RequestID), "%q", bad)
		assert.Equal(t, a.RequestID, rec.Header().Get("X-Request-Id"))
	}
	long := strings.Repeat("a", 128)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Request-Id", long)
	a, _, _ := actorOf(nil, r)
	assert.Equal(t, long, a.RequestID)
}

func TestMiddlewareRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"bad token":          {errors.New("secret token"), 401, "unauthenticated"},
		"locked account":     {fmt.Errorf("%w: secret", blobstore.ErrDenied), 403, "denied"},
		"sessions unread":    {fmt.Errorf("secret: %w", context.DeadlineExceeded), 504, "upstream_timeout"},
		"not of the library": {fmt.Errorf("secret file: %w", http.ErrNoCookie), 401, "unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok, rec := actorOf(&blobhttp.MiddlewareOptions{
				Identify:  func(*http.Request) (string, string, error) { return "u", "t", c.err },
				Challenge: `Bearer realm="files"`,
			}, httptest.NewRequest("GET", "/", nil))
			assert.False(t, ok, "the next handler is not reached")
			a := answer{rec.Code, rec.Result().Header, rec.Body.String()}
			assert.Equal(t, c.status, a.status)
			assert.Equal(t, c.code, a.problem(t).Code)
			assert.NotContains(t, a.body, "secret")
			if c.status == 401 {
				assert.Equal(t, `Bearer realm="files"`, a.header.Get("Www-Authenticate"))
			}
		})
	}
}

// TestUnauthenticatedIsChallenged checks that every response with status 401
// has a WWW-Authenticate header, as RFC 9110, section 15.5.2, requires. The
// trail and the response header have the same request ID.
func TestUnauthenticatedIsChallenged(t *testing.T) {
	h := newHost(t, setup{})
	upload := (&blobhttp.Intake{Store: h.store}).Form(nil)
	deliver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blobhttp.Deliver(w, r, h.store, "a", nil)
	})
	direct := (&blobhttp.Intake{Store: h.store}).Direct()
	refuse := func(*http.Request) (string, string, error) { return "", "", errors.New("no session") }
	for name, c := range map[string]struct {
		opts    blobhttp.MiddlewareOptions
		handler http.Handler
		method  string
		target  string
		want    string
	}{
		"Upload":          {handler: upload, method: "POST", target: "/upload", want: "Bearer"},
		"Deliver":         {handler: deliver, method: "GET", target: "/a", want: "Bearer"},
		"DirectUpload":    {handler: direct, method: "POST", target: "/uploads/begin", want: "Bearer"},
		"of the host":     {opts: blobhttp.MiddlewareOptions{Challenge: `Basic realm="files"`}, handler: upload, method: "POST", target: "/upload", want: `Basic realm="files"`},
		"by the host":     {opts: blobhttp.MiddlewareOptions{Identify: refuse}, handler: upload, method: "POST", target: "/upload", want: "Bearer"},
		"both":            {opts: blobhttp.MiddlewareOptions{Identify: refuse, Challenge: "DPoP"}, handler: upload, method: "POST", target: "/upload", want: "DPoP"},
		"another refusal": {handler: upload, method: "GET", target: "/upload"},
	} {
		t.Run(name, func(t *testing.T) {
			a := record(blobhttp.Middleware(&c.opts)(c.handler), httptest.NewRequest(c.method, c.target, nil))
			assert.Equal(t, c.want, a.header.Get("Www-Authenticate"))
			if c.want != "" {
				assert.Equal(t, 401, a.status)
			}
			id := a.problem(t).RequestID
			assert.NotEmpty(t, id)
			assert.Equal(t, a.header.Get("X-Request-Id"), id)
		})
	}
}
