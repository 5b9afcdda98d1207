package blobhttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
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

const (
	html = `<!DOCTYPE html><script>alert(document.cookie)</script>`
	svg  = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(document.cookie)</script></svg>`
)

// TestStoredScripts checks that a browser cannot run uploaded content, even if
// the application asks to display it.
func TestStoredScripts(t *testing.T) {
	for name, c := range map[string]struct {
		content, declared, response string
		wantType, wantKind          string
	}{
		"HTML":                       {html, "", "", "text/html; charset=utf-8", "attachment"},
		"HTML, declared":             {html, "text/html", "", "text/html", "attachment"},
		"XHTML":                      {html, "application/xhtml+xml", "", "application/xhtml+xml", "attachment"},
		"SVG":                        {svg, "", "", "image/svg+xml", "attachment"},
		"XML":                        {svg, "text/xml", "", "text/xml", "attachment"},
		"HTML that lies to be a PNG": {html, "image/png", "", "image/png", "inline"},
		"SVG that lies to be a PNG":  {svg, "image/png", "", "image/png", "inline"},
		"HTML in odd capitals":       {html, "TeXt/HtMl", "", "text/html", "attachment"},
		"HTML with parameters":       {html, "text/html; a=png", "", "text/html; a=png", "attachment"},
		"script":                     {"alert(1)", "text/javascript", "", "text/plain; charset=utf-8", "attachment"},
		"script, old type":           {"alert(1)", "application/x-javascript", "", "text/plain; charset=utf-8", "attachment"},
		"style sheet":                {"*{}", "text/css", "", "text/plain; charset=utf-8", "attachment"},
		"asked for as HTML":          {html, "text/plain", "text/html", "text/html", "attachment"},
		"a picture":                  {"\x89PNG\r\n\x1a\n", "", "", "image/png", "inline"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, setup{})
			h.put("a", c.content, &blobstore.UploadOptions{ContentType: c.declared})
			a := h.do("GET", h.link("a", &blobstore.LinkOptions{Inline: true, ResponseType: c.response}), "")
			require.Equal(t, 200, a.status)
			assert.Equal(t, c.wantType, a.header.Get("Content-Type"))
			kind, _, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
			require.NoError(t, err)
			assert.Equal(t, c.wantKind, kind)
			assert.Equal(t, []string{"nosniff"}, a.header.Values("X-Content-Type-Options"))
			csp := a.header.Get("Content-Security-Policy")
			assert.Contains(t, csp, "default-src 'none'")
			assert.Contains(t, csp, "sandbox")
			assert.NotContains(t, csp, "allow-")
			assert.Empty(t, a.header.Get("X-Evil"))
			assert.Equal(t, c.content, a.body)
		})
	}
}

// TestInvalidContentTypes checks objects with an invalid type. Another program
// may have stored them.
func TestInvalidContentTypes(t *testing.T) {
	for _, bad := range []string{"", "html", "image/png\r\nX-Evil: 1", "image/png, text/html", "image/png;", "text/html;a=image/png", "image/pn\x00g", "im\u00e4ge/png"} {
		h := make(http.Header)
		blobhttp.Secure(h, bad, "a", true, blobhttp.DefaultInlineTypes())
		if bad == "image/png;" {
			assert.Equal(t, []string{bad}, h["Content-Type"])
			continue
		}
		assert.Equal(t, []string{"application/octet-stream"}, h["Content-Type"], "%q", bad)
		assert.Equal(t, []string{`attachment; filename="a"`}, h["Content-Disposition"], "%q", bad)
	}
}

func TestPDFIsShownWithoutASandbox(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", "%PDF-1.7\n", nil)
	a := h.do("GET", h.link("a", &blobstore.LinkOptions{Inline: true}), "")
	assert.Equal(t, "application/pdf", a.header.Get("Content-Type"))
	assert.NotContains(t, a.header.Get("Content-Security-Policy"), "sandbox", "not every browser's viewer works in one")
	assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	a = h.do("GET", h.link("a", nil), "")
	assert.Contains(t, a.header.Get("Content-Security-Policy"), "sandbox")
}

func TestFileNamesInHeaders(t *testing.T) {
	for name, c := range map[string]struct{ stored, want, fallback string }{
		"plain":               {"a b.pdf", "a b.pdf", "a b.pdf"},
		"umlauts":             {"Rechnung März.pdf", "Rechnung März.pdf", "Rechnung Marz.pdf"},
		"Japanese":            {"請求書.pdf", "請求書.pdf", "___.pdf"},
		"emoji":               {"📄.pdf", "📄.pdf", "_.pdf"},
		"line break":          {"a\r\nX-Evil: 1.pdf", "a__X-Evil: 1.pdf", "a__X-Evil: 1.pdf"},
		"quote":               {`a"; filename="b.exe`, `a"; filename="b.exe`, "a_; filename=_b.exe"},
		"percent":             {"100%22.pdf", "100%22.pdf", "100_22.pdf"},
		"slashes":             {"../../etc/passwd", ".._.._etc_passwd", ".._.._etc_passwd"},
		"backslashes":         {`..\a.exe`, ".._a.exe", ".._a.exe"},
		"text turned round":   {"invoice_\u202efdp.exe", "invoice__fdp.exe", "invoice__fdp.exe"},
		"NUL":                 {"a\x00.pdf", "a_.pdf", "a_.pdf"},
		"not UTF-8":           {"a\xff.pdf", "a\uFFFD.pdf", "a_.pdf"},
		"dots":                {"..", "download", "download"},
		"a fraction sign (½)": {"½.pdf", "½.pdf", "1_2.pdf"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, setup{})
			h.put("a", digits, &blobstore.UploadOptions{Filename: c.stored})
			a := h.do("GET", h.link("a", nil), "")
			require.Equal(t, 200, a.status)
			assert.Empty(t, a.header.Get("X-Evil"))
			value := a.header.Get("Content-Disposition")
			for i := range len(value) {
				require.True(t, 0x20 <= value[i] && value[i] < 0x7f, "printable ASCII only: %q", value)
			}
			kind, params, err := mime.ParseMediaType(value)
			require.NoError(t, err, value)
			assert.Equal(t, "attachment", kind)
			assert.Equal(t, c.want, params["filename"])
			quoted, _, _ := strings.Cut(strings.TrimPrefix(value, `attachment; filename="`), `"`)
			assert.Equal(t, c.fallback, quoted)
		})
	}
}

func TestLongFileNamesKeepTheirEnding(t *testing.T) {
	assert.Equal(t, strings.Repeat("ä", 125)+".pdf", blobhttp.FileName(strings.Repeat("ä", 400)+".pdf"))
	assert.Equal(t, strings.Repeat("ä", 127), blobhttp.FileName(strings.Repeat("ä", 400)))
	assert.Equal(t, "."+strings.Repeat("a", 254), blobhttp.FileName("."+strings.Repeat("a", 400)), "no ending but all")
}

func TestLinksRefused(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		issue    blobstore.LinkOptions
		method   string
		change   func(t *testing.T, link string) string
		later    time.Duration
		status   int
		code     string
		recorded string // error code in the trail; empty if the link was never issued and is not recorded
	}{
		"a GET link for PUT":     {method: "PUT", status: 405, code: "method", recorded: "method"},
		"a GET link for DELETE":  {method: "DELETE", status: 405, code: "method", recorded: "method"},
		"a GET link for POST":    {method: "POST", status: 405, code: "method", recorded: "method"},
		"a HEAD link for GET":    {issue: blobstore.LinkOptions{Method: "HEAD"}, method: "GET", status: 405, code: "method", recorded: "method"},
		"a PUT link for GET":     {issue: blobstore.LinkOptions{Method: "PUT"}, method: "GET", status: 405, code: "method", recorded: "method"},
		"a DELETE link for GET":  {issue: blobstore.LinkOptions{Method: "DELETE"}, method: "GET", status: 405, code: "method", recorded: "method"},
		"expired":                {method: "GET", later: day, status: 410, code: "expired", recorded: "expired"},
		"expired, PUT":           {issue: blobstore.LinkOptions{Method: "PUT"}, method: "PUT", later: day, status: 410, code: "expired", recorded: "expired"},
		"expired and HEAD":       {method: "HEAD", later: day, status: 410, recorded: "expired"},
		"tampered expiry":        {method: "GET", change: with("bt-exp", "99999999999"), status: 403, code: "bad_link"},
		"tampered method":        {method: "PUT", change: with("bt-m", "PUT"), status: 403, code: "bad_link"},
		"tampered signature":     {method: "GET", change: with("bt-sig", strings.Repeat("A", 43)), status: 403, code: "bad_link"},
		"another key":            {method: "GET", change: replace("/files/a", "/files/b"), status: 403, code: "bad_link"},
		"an added constraint":    {method: "GET", change: with("bt-inl", "1"), status: 403, code: "bad_link"},
		"a parameter twice":      {method: "GET", change: func(_ *testing.T, l string) string { return l + "&bt-exp=99999999999" }, status: 403, code: "bad_link"},
		"no signature":           {method: "GET", change: func(_ *testing.T, l string) string { l, _, _ = strings.Cut(l, "?"); return l }, status: 403, code: "bad_link"},
		"the folder":             {method: "GET", change: func(_ *testing.T, l string) string { return l[:strings.Index(l, "a?")] }, status: 403, code: "bad_link"},
		"tampered and expired":   {method: "GET", later: day, change: with("bt-gid", "x"), status: 403, code: "bad_link"},
		"an overlong query":      {method: "GET", change: func(_ *testing.T, l string) string { return l + "&x=" + strings.Repeat("x", 5000) }, status: 403, code: "bad_link"},
		"foreign query is fine ": {method: "GET", change: func(_ *testing.T, l string) string { return l + "&utm=1" }, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			h := newHost(t, setup{now: func() time.Time { return now }})
			h.put("a", digits, nil)
			h.put("b", "another", nil)
			link := h.link("a", &c.issue)
			if c.change != nil {
				link = c.change(t, link)
			}
			now = now.Add(c.later)
			body := ""
			if c.method == "PUT" || c.method == "POST" {
				body = "overwritten"
			}
			a := h.do(c.method, link, body)
			require.Equal(t, c.status, a.status, a.body)
			uses := h.trail(audit.ActionRedeem)
			if c.status == 200 {
				require.Len(t, uses, 1)
				return
			}
			if c.code != "" {
				p := a.problem(t)
				assert.Equal(t, c.code, p.Code)
				assert.NotContains(t, a.body, "bt-")
			}
			if c.status == 405 {
				assert.NotEmpty(t, a.header.Get("Allow"))
				assert.NotContains(t, a.header.Get("Allow"), c.method)
			}
			if c.recorded == "" {
				assert.Empty(t, uses)
			} else {
				require.Len(t, uses, 1)
				assert.Equal(t, audit.OutcomeDenied, uses[0].Outcome)
				assert.Equal(t, c.recorded, uses[0].ErrorCode)
				assert.NotEmpty(t, uses[0].GrantID)
				assert.Equal(t, c.method, uses[0].Details.Method)
			}
			r, err := h.store.Download(h.ctx, "a", nil)
			require.NoError(t, err)
			b, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.Equal(t, digits, string(b), "nothing was done")
			for _, err := range h.errs.all() {
				assert.NotContains(t, err.Error(), "bt-sig=")
			}
		})
	}
}

func with(name, value string) func(*testing.T, string) string {
	return func(t *testing.T, link string) string { return tamper(t, link, name, value) }
}

func replace(old, new string) func(*testing.T, string) string {
	return func(_ *testing.T, link string) string { return strings.Replace(link, old, new, 1) }
}

// TestPathTricks sends malformed request lines.
func TestPathTricks(t *testing.T) {
	h := newHost(t, setup{store: "file://" + t.TempDir()})
	h.put("dir/a", digits, nil)
	u, err := url.Parse(h.link("dir/a", nil))
	require.NoError(t, err)
	for name, path := range map[string]string{
		"encoded slash":         "/files/dir%2Fa",
		"encoded slash, small":  "/files/dir%2fa",
		"dots":                  "/files/dir/../dir/a",
		"encoded dots":          "/files/dir/%2e%2e/dir/a",
		"dots out of the mount": "/files/../files/dir/a",
		"single dot":            "/files/dir/./a",
		"two slashes":           "/files/dir//a",
		"trailing slash":        "/files/dir/a/",
		"NUL":                   "/files/dir/a%00",
		"NUL and more":          "/files/dir/a%00.pdf",
		"backslash":             "/files/dir%5Ca",
		"encoded twice":         "/files/dir/%2561",
		"bad escape":            "/files/dir/a%zz",
		"cut escape":            "/files/dir/a%",
		"overlong UTF-8 slash":  "/files/dir%c0%afa",
		"not UTF-8":             "/files/dir/%ff",
		"overlong":              "/files/dir/" + strings.Repeat("a", 5000),
		"wide slash":            "/files/dir%EF%BC%8Fa",
		"etc/passwd":            "/files/%2e%2e/%2e%2e/etc/passwd",
		"empty":                 "/files/",
	} {
		t.Run(name, func(t *testing.T) {
			res, body := raw(t, u.Host, "GET "+path+"?"+u.RawQuery+" HTTP/1.1\r\nHost: "+u.Host+"\r\nConnection: close\r\n\r\n")
			if res.StatusCode >= 300 && res.StatusCode < 400 {
				return // the mux redirects the client to the clean path
			}
			assert.Contains(t, []int{400, 403}, res.StatusCode)
			assert.NotContains(t, body, digits)
			assert.NotContains(t, body, "root:")
		})
	}
	t.Run("an escape that means the same", func(t *testing.T) {
		res, body := raw(t, u.Host, "GET /files/dir/%61?"+u.RawQuery+" HTTP/1.1\r\nHost: "+u.Host+"\r\nConnection: close\r\n\r\n")
		assert.Equal(t, 200, res.StatusCode)
		assert.Equal(t, digits, body)
	})
}

// raw sends a request without changes.
func raw(t *testing.T, host, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(b)
}

func TestLinksRestrictedToAUserOrAddress(t *testing.T) {
	user := ""
	h := newHost(t, setup{wrap: blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return user, "", nil },
	})})
	h.put("a", digits, nil)
	// The store behind the handler does not count uses. This store does.
	issuer, err := blobstore.New(memstore.New(), h.log, &blobstore.Options{Signer: h.signer, Grants: new(signurl.MemoryGrants)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, issuer.Close(context.Background())) })
	issue := func(o blobstore.LinkOptions) string {
		l, err := issuer.Link(h.ctx, "a", &o)
		require.NoError(t, err)
		return l.URL()
	}
	for name, c := range map[string]struct {
		link   blobstore.LinkOptions
		user   string
		status int
	}{
		"the user":        {blobstore.LinkOptions{UserID: "alice"}, "alice", 200},
		"another user":    {blobstore.LinkOptions{UserID: "alice"}, "mallory", 403},
		"anonymous user":  {blobstore.LinkOptions{UserID: "alice"}, "", 403},
		"the address":     {blobstore.LinkOptions{IP: "127.0.0.1"}, "", 200},
		"another address": {blobstore.LinkOptions{IP: "192.0.2.1"}, "", 403},
		"counted uses":    {blobstore.LinkOptions{MaxUses: 1}, "", 501},
	} {
		t.Run(name, func(t *testing.T) {
			user = c.user
			before := len(h.trail(audit.ActionRedeem))
			a := h.do("GET", issue(c.link), "", "X-Forwarded-For", "192.0.2.1")
			require.Equal(t, c.status, a.status, a.body)
			uses := h.trail(audit.ActionRedeem)[before:]
			if c.status == 403 {
				assert.Equal(t, "denied", a.problem(t).Code)
				require.Len(t, uses, 1)
				assert.Equal(t, audit.OutcomeDenied, uses[0].Outcome)
				assert.Equal(t, c.user, uses[0].Actor.UserID)
			}
		})
	}
}

// TestProblemsLeakNothing adds a secret text to every documented error.
func TestProblemsLeakNothing(t *testing.T) {
	h := newHost(t, setup{opts: blobstore.Options{
		Authorize: func(context.Context, audit.Event) error { return errors.New("secret-reason") },
	}})
	_, err := h.store.Stat(h.ctx, "secret-key")
	require.Error(t, err)
	rec := writeError(fmt.Errorf("secret-text: %w", err))
	assert.Equal(t, 403, rec.status)
	assert.NotContains(t, rec.body, "secret")
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(rec.body), &p))
	assert.Equal(t, "https://github.com/blobtrail/blobtrail/blob/main/docs/problems.md#denied", p["type"])
}
