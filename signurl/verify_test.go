package signurl_test

// This file tests verification: every manipulated link is refused, and every
// deployment that only rearranges the URL works.

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

func vectorLink() signurl.Grant {
	return signurl.Grant{Method: "GET", Key: "invoices/März 1.pdf", ID: "G1", Filename: "März.pdf", MaxUses: 1,
		Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// refused checks that a request is refused, and that the error reveals no
// secret of the link.
func refused(t *testing.T, s *signurl.Signer, r *http.Request, want error, reason string) {
	t.Helper()
	l, err := s.Verify(r)
	require.ErrorIs(t, err, want)
	assert.ErrorContains(t, err, reason)
	if errors.Is(want, signurl.ErrSignature) {
		assert.Zero(t, l)
	} else {
		assert.NotEmpty(t, l.ID, "an authentic link that is refused is told, for the trail")
	}
	q := r.URL.Query()
	for name, values := range q {
		for _, v := range values {
			if len(v) > 3 && name != "bt-ct" {
				assert.NotContains(t, err.Error(), v, "value of %s", name)
			}
		}
	}
	for _, other := range []error{signurl.ErrSignature, signurl.ErrExpired, signurl.ErrMethod, signurl.ErrConstraint, signurl.ErrRevoked} {
		if other != want {
			assert.NotErrorIs(t, err, other)
		}
	}
}

func TestVerifyReturnsTheLink(t *testing.T) {
	s := newSigner(t, base, nil)
	for name, l := range map[string]signurl.Grant{
		"upload":   upload(),
		"download": download(),
		"least":    {Method: "DELETE", Key: "k", Expires: start.Add(time.Hour), ID: "G"},
	} {
		t.Run(name, func(t *testing.T) {
			h := putHeaders()
			if l.Method != "PUT" {
				h = nil
			}
			got, err := s.Verify(request(t, l.Method, sign(t, s, l), h...))
			require.NoError(t, err)
			assert.Equal(t, l, got)
		})
	}
	l := signurl.Grant{Key: "k", IP: "::ffff:192.0.2.7", Expires: start.Add(90*time.Second + 5), ID: "G"}
	got, err := s.Verify(request(t, "GET", sign(t, s, l)))
	require.NoError(t, err)
	assert.Equal(t, signurl.Grant{Method: "GET", Key: "k", IP: "192.0.2.7", Expires: start.Add(90 * time.Second), ID: "G"}, got)
}

func TestTampering(t *testing.T) {
	s := newSigner(t, base, nil, testKey(t, "k1", 0), testKey(t, "k2", 1))
	for _, l := range []signurl.Grant{upload(), download()} {
		link := sign(t, s, l)
		path, rawQuery, _ := strings.Cut(link, "?")
		try := func(name, url string) {
			t.Run(l.Method+"/"+name, func(t *testing.T) {
				refused(t, s, request(t, l.Method, url, putHeaders()...), signurl.ErrSignature, "")
			})
		}
		pairs := strings.Split(rawQuery, "&")
		require.Len(t, pairs, map[string]int{"PUT": 14, "GET": 12}[l.Method])
		for i, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			with := func(p ...string) string {
				q := append([]string{}, pairs[:i]...)
				return path + "?" + strings.Join(append(append(q, p...), pairs[i+1:]...), "&")
			}
			changed := []string{"x", "1", "2", "0", value + "0", "0" + value, value + "%00", value[1:], value[:len(value)-1], "%20" + value, value + "%20"}
			for _, c := range changed {
				if c != value {
					try(name+" changed to "+c, with(name+"="+c))
				}
			}
			for j := range len(value) { // one character at a time
				if value[j] != '%' && (j < 1 || value[j-1] != '%') && (j < 2 || value[j-2] != '%') {
					c := "A"
					if value[j] == 'A' {
						c = "B"
					}
					try(name+" with another character", with(name+"="+value[:j]+c+value[j+1:]))
				}
			}
			try(name+" removed", with())
			try(name+" empty", with(name+"="))
			try(name+" without a value", with(name))
			try(name+" twice", with(pair, pair))
			try(name+" twice, the other first", with(name+"=1x", pair))
			try(name+" twice, the second empty", with(pair, name+"="))
			try(name+" twice, the second escaped", with(pair, "%62t-"+name[3:]+"="+value))
			try(name+" in capitals", with(strings.ToUpper(name)+"="+value))
			try(name+" also in capitals", with(pair, strings.ToUpper(name)+"="+value))
		}
		for _, extra := range []string{
			"bt-m=DELETE", "bt-ct=a%2Fb", "bt-len=1", "bt-max=1", "bt-sha256=" + strings.Repeat("ab", 32), "bt-new=1", "bt-fn=a",
			"bt-inl=1", "bt-rt=a%2Fb", "bt-uid=u", "bt-ip=::1", "bt-uses=1", "bt-x=1", "bt-", "bt-=1", "BT-x=1", "Bt-Sig=1", "%42T-y",
			"a%zz=1", "a%=1", "%",
		} {
			try("added "+extra, link+"&"+extra)
			try("prepended "+extra, path+"?"+extra+"&"+rawQuery)
		}
		for name, p := range map[string]string{
			"other key": base + "in/x", "key longer": path + "x", "key shorter": path[:len(path)-1], "no key": base,
			"below another base": "https://files.example.com/other/" + strings.TrimPrefix(path, base),
			"root":               "https://files.example.com/",
		} {
			try(name, p+"?"+rawQuery)
		}
		try("no query", path)
		try("only foreign parameters", path+"?utm_source=x")
		sigAt := strings.Index(link, "bt-sig=") + len("bt-sig=")
		sig := link[sigAt:]
		for name, v := range map[string]string{
			"truncated": sig[:42], "extended": sig + "A", "padded": sig + "=", "truncated and filled": sig[:42] + "A",
			"zero": strings.Repeat("A", 43), "half": sig[:22], "hexadecimal": strings.Repeat("ab", 32),
			"line breaks": sig[:41] + "%0A" + sig[41:], "line break for a character": sig[:42] + "%0A", "none": "",
			"other bits after the end": sig[:42] + string(otherTail(sig[42])),
		} {
			try("signature "+name, link[:sigAt]+v)
		}
	}
}

// otherTail returns another character that a lax base64 decoder decodes to the
// same last byte.
func otherTail(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

func TestFieldsAreDelimited(t *testing.T) {
	s := newSigner(t, base, nil)
	link := sign(t, s, signurl.Grant{Key: "k", ID: "G", Filename: "ab", UserID: "cd"})
	moved := strings.Replace(strings.Replace(link, "bt-fn=ab", "bt-fn=abc", 1), "bt-uid=cd", "bt-uid=d", 1)
	require.NotEqual(t, link, moved)
	refused(t, s, request(t, "GET", moved), signurl.ErrSignature, "does not match")
	swapped := strings.Replace(link, "bt-uid=cd", "bt-rt=cd", 1)
	refused(t, s, request(t, "GET", swapped), signurl.ErrSignature, "does not match")
}

func TestPaths(t *testing.T) {
	s := newSigner(t, base, nil)
	link := sign(t, s, signurl.Grant{Key: "a/b c+d.pdf"})
	q := link[strings.IndexByte(link, '?'):]
	for name, c := range map[string]struct{ path, reason string }{
		"as signed":                   {"/files/a/b%20c%2Bd.pdf", ""},
		"plus not encoded":            {"/files/a/b%20c+d.pdf", ""},
		"lower-case hex":              {"/files/a/b%20c%2bd.pdf", ""},
		"letters encoded":             {"/files/%61/b%20c%2Bd%2Epdf", ""},
		"prefix encoded":              {"/%66iles/a/b%20c%2Bd.pdf", ""},
		"plus for space":              {"/files/a/b+c%2Bd.pdf", "does not match"},
		"encoded slash":               {"/files/a%2Fb%20c%2Bd.pdf", "encoded slash"},
		"encoded slash, lower case":   {"/files/a%2fb%20c%2Bd.pdf", "encoded slash"},
		"encoded slash in the prefix": {"/files%2Fa/b%20c%2Bd.pdf", "encoded slash"},
		"encoded twice":               {"/files/a/b%2520c%252Bd.pdf", "does not match"},
		"two slashes":                 {"/files/a//b%20c%2Bd.pdf", "two in a row"},
		"two slashes after the base":  {"/files//a/b%20c%2Bd.pdf", "slash"},
		"slash at the end":            {"/files/a/b%20c%2Bd.pdf/", "slash"},
		"dot segment":                 {"/files/a/./b%20c%2Bd.pdf", "dot segment"},
		"dots":                        {"/files/x/../a/b%20c%2Bd.pdf", "dot segment"},
		"encoded dots":                {"/files/x/%2e%2E/a/b%20c%2Bd.pdf", "dot segment"},
		"dots before the base":        {"/x/../files/a/b%20c%2Bd.pdf", "dot segment"},
		"NUL":                         {"/files/a/b%20c%2Bd.pdf%00", "control character"},
		"line break":                  {"/files/a/b%20c%2Bd.pdf%0A", "control character"},
		"backslash":                   {`/files/a\b%20c%2Bd.pdf`, "backslash"},
		"encoded backslash":           {"/files/a%5Cb%20c%2Bd.pdf", "backslash"},
		"not UTF-8":                   {"/files/a%FF", "UTF-8"},
		"overlong UTF-8 slash":        {"/files/a%C0%AFb", "UTF-8"},
		"key too long":                {"/files/" + strings.Repeat("a", 1025), "longer than 1024"},
		"path too long":               {"/files/" + strings.Repeat("%61", 1400), "path is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "GET", "https://h"+c.path+q)
			if c.reason != "" {
				refused(t, s, r, signurl.ErrSignature, c.reason)
				return
			}
			l, err := s.Verify(r)
			require.NoError(t, err)
			assert.Equal(t, "a/b c+d.pdf", l.Key)
		})
	}
	t.Run("query too long", func(t *testing.T) {
		refused(t, s, request(t, "GET", link+"&a="+strings.Repeat("a", 4096)), signurl.ErrSignature, "query is too long")
	})
	t.Run("no URL", func(t *testing.T) {
		_, err := s.Verify(&http.Request{})
		require.ErrorIs(t, err, signurl.ErrSignature)
		_, err = s.Verify(nil)
		require.ErrorIs(t, err, signurl.ErrSignature)
	})
	t.Run("path broken by a handler", func(t *testing.T) {
		for _, u := range []*url.URL{{}, {Path: "*"}, {Opaque: "x"}, {Path: "/files/a", RawPath: "/files/%zz"}} {
			u.RawQuery = q[1:]
			refused(t, s, &http.Request{Method: "GET", URL: u}, signurl.ErrSignature, "")
		}
	})
}

func TestRearrangedQueries(t *testing.T) {
	s := newSigner(t, base, nil)
	want := download()
	link := sign(t, s, want)
	path, q, _ := strings.Cut(link, "?")
	pairs := strings.Split(q, "&")
	reversed := ""
	for _, p := range pairs {
		reversed = p + "&" + reversed
	}
	for name, query := range map[string]string{
		"sorted and encoded by net/url": query(t, link).Encode(),
		"reversed, with a final &":      reversed,
		"foreign parameters":            "utm_source=x&" + q + "&utm_source=y&fbclid&&b=%zz&bt=1&xbt-m=PUT&a;b",
		"plus for space":                strings.ReplaceAll(q, "%20", "+"),
		"lower-case hex":                strings.ReplaceAll(q, "%2F", "%2f"),
		"name encoded":                  strings.ReplaceAll(q, "bt-", "%62t%2D"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Verify(request(t, "GET", path+"?"+query))
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestMethods(t *testing.T) {
	s := newSigner(t, base, nil)
	for _, linked := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		for _, used := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "put", "Delete"} {
			t.Run(linked+" used for "+used, func(t *testing.T) {
				r := request(t, "GET", sign(t, s, signurl.Grant{Method: linked, Key: "k"}))
				r.Method = used
				if used == linked || linked == "GET" && used == "HEAD" {
					l, err := s.Verify(r)
					require.NoError(t, err)
					assert.Equal(t, linked, l.Method)
					return
				}
				refused(t, s, r, signurl.ErrMethod, "")
				_, err := s.Verify(r)
				var allows interface{ Allow() string }
				require.ErrorAs(t, err, &allows)
				assert.Equal(t, map[string]string{"GET": "GET, HEAD", "HEAD": "HEAD", "PUT": "PUT", "DELETE": "DELETE"}[linked], allows.Allow())
			})
		}
	}
	r := request(t, "GET", sign(t, s, signurl.Grant{Key: "k"}))
	r.Method = "" // GET, to net/http
	_, err := s.Verify(r)
	require.NoError(t, err)
}

func TestExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		leeway, after time.Duration // after Expires
		expired       bool
	}{
		"a nanosecond before":        {0, -1, false},
		"on the second":              {0, 0, true},
		"after":                      {0, time.Hour, true},
		"within the leeway":          {time.Minute, time.Minute - 1, false},
		"at the end of the leeway":   {time.Minute, time.Minute, true},
		"long before":                {0, -2 * time.Hour, false},
		"after, with another leeway": {time.Second, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start
			s := newSigner(t, base, &signurl.Options{Leeway: c.leeway, Now: func() time.Time { return now }})
			expires := start.Add(time.Hour)
			r := request(t, "GET", sign(t, s, signurl.Grant{Key: "k", Expires: expires}))
			now = expires.Add(c.after)
			if c.expired {
				refused(t, s, r, signurl.ErrExpired, "")
				r.Method = "PUT"
				refused(t, s, r, signurl.ErrExpired, "") // before the method
				r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "bt-exp=1", "bt-exp=2", 1)
				refused(t, s, r, signurl.ErrSignature, "does not match") // after the signature
				return
			}
			_, err := s.Verify(r)
			require.NoError(t, err)
		})
	}
}

func TestHeaders(t *testing.T) {
	s := newSigner(t, base, nil)
	pdf := signurl.Grant{Method: "PUT", Key: "k", ContentType: "application/pdf"}
	text := signurl.Grant{Method: "PUT", Key: "k", ContentType: "text/plain; charset=utf-8; x=Y"}
	exact := signurl.Grant{Method: "PUT", Key: "k", Size: 5}
	most := signurl.Grant{Method: "PUT", Key: "k", MaxSize: 5}
	for name, c := range map[string]struct {
		l      signurl.Grant
		header []string
		reason string
	}{
		"type":                         {pdf, []string{"Content-Type: application/pdf"}, ""},
		"type in capitals":             {pdf, []string{"content-type: Application/PDF"}, ""},
		"no type":                      {pdf, nil, "Content-Type must be application/pdf"},
		"other type":                   {pdf, []string{"Content-Type: text/html"}, "Content-Type must be"},
		"type with a parameter":        {pdf, []string{"Content-Type: application/pdf; a=b"}, "Content-Type must be"},
		"type that begins alike":       {pdf, []string{"Content-Type: application/pdfx"}, "Content-Type must be"},
		"type that is none":            {pdf, []string{"Content-Type: application/pdf; ="}, "Content-Type must be"},
		"two types":                    {pdf, []string{"Content-Type: application/pdf", "Content-Type: text/html"}, "Content-Type must be"},
		"types in a list":              {pdf, []string{"Content-Type: application/pdf, text/html"}, "Content-Type must be"},
		"parameters in another order":  {text, []string{`Content-Type: text/plain;x=Y;Charset="utf-8"`}, ""},
		"parameter with another value": {text, []string{"Content-Type: text/plain; charset=utf-8; x=y"}, "Content-Type must be"},
		"parameter missing":            {text, []string{"Content-Type: text/plain; charset=utf-8"}, "Content-Type must be"},
		"parameter of another name":    {text, []string{"Content-Type: text/plain; charset=utf-8; z=Y"}, "Content-Type must be"},
		"length":                       {exact, []string{"Content-Length: 5"}, ""},
		"length not told":              {exact, []string{"Transfer-Encoding: chunked"}, ""},
		"too short":                    {exact, []string{"Content-Length: 4"}, "4 bytes, want 5"},
		"too long":                     {exact, []string{"Content-Length: 6"}, "6 bytes, want 5"},
		"no body":                      {exact, nil, "0 bytes, want 5"},
		"nothing":                      {exact, []string{"Content-Length: 0"}, "0 bytes, want 5"},
		"maximum":                      {most, []string{"Content-Length: 5"}, ""},
		"below the maximum":            {most, nil, ""},
		"above the maximum":            {most, []string{"Content-Length: 6"}, "6 bytes, want at most 5"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "PUT", sign(t, s, c.l), c.header...)
			if c.reason != "" {
				refused(t, s, r, signurl.ErrConstraint, c.reason)
				return
			}
			_, err := s.Verify(r)
			require.NoError(t, err)
		})
	}
}

func TestRotation(t *testing.T) {
	old, cur, next := testKey(t, "old", 0), testKey(t, "cur", 1), testKey(t, "next", 2)
	before := newSigner(t, base, nil, old)
	link := request(t, "GET", sign(t, before, signurl.Grant{Key: "k"}))

	during := newSigner(t, base, nil, cur, next, old)
	_, err := during.Verify(link)
	require.NoError(t, err)
	fresh := sign(t, during, signurl.Grant{Key: "k"})
	assert.Equal(t, "cur", query(t, fresh).Get("bt-kid"), "the first key signs")
	refused(t, before, request(t, "GET", fresh), signurl.ErrSignature, "unknown key ID")

	after := newSigner(t, base, nil, cur)
	refused(t, after, link, signurl.ErrSignature, "unknown key ID")

	impostor := newSigner(t, base, nil, testKey(t, "cur", 9))
	refused(t, during, request(t, "GET", sign(t, impostor, signurl.Grant{Key: "k"})), signurl.ErrSignature, "does not match")
	renamed := newSigner(t, base, nil, testKey(t, "renamed", 0), old)
	link.URL.RawQuery = strings.Replace(link.URL.RawQuery, "bt-kid=old", "bt-kid=renamed", 1)
	refused(t, renamed, link, signurl.ErrSignature, "does not match") // the same secret: the ID itself is signed
}

func TestAudience(t *testing.T) {
	files, other := newSigner(t, base, nil), newSigner(t, "https://files.example.com/other/", nil)
	link := sign(t, files, signurl.Grant{Key: "k"})
	refused(t, other, request(t, "GET", strings.Replace(link, "/files/", "/other/", 1)), signurl.ErrSignature, "does not match")
	refused(t, other, request(t, "GET", strings.Replace(link, "/files/", "/", 1)), signurl.ErrSignature, "does not match")

	a := newSigner(t, "https://a/x/", &signurl.Options{Audience: "shared"})
	b := newSigner(t, "http://b/y/", &signurl.Options{Audience: "shared"})
	_, err := b.Verify(request(t, "GET", strings.Replace(sign(t, a, signurl.Grant{Key: "k"}), "/x/", "/y/", 1)))
	require.NoError(t, err)

	// The default depends only on the path, so an internal and an external name
	// of one host agree.
	inner := newSigner(t, "http://10.0.0.1:8080/files", nil)
	_, err = inner.Verify(request(t, "GET", link))
	require.NoError(t, err)
}

// A handler is mounted in every way and receives real requests through a proxy
// that changes host, scheme and path.
func TestMounts(t *testing.T) {
	const public = "https://files.example.com/api/v1/files/"
	s := newSigner(t, public, nil)
	verify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := s.Verify(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		io.WriteString(w, l.Key)
	})
	mount := func(pattern string, h http.Handler) http.Handler {
		m := http.NewServeMux()
		m.Handle(pattern, h)
		return m
	}
	proxied := func(h http.Handler, path string) http.Handler {
		inner := httptest.NewServer(h)
		t.Cleanup(inner.Close)
		u, err := url.Parse(inner.URL + path)
		require.NoError(t, err)
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	}
	for name, h := range map[string]http.Handler{
		"bare":                      verify,
		"mux":                       mount("/api/v1/files/", verify),
		"stripped":                  mount("/api/v1/files/", http.StripPrefix("/api/v1/files", verify)),
		"stripped with its slash":   mount("/api/v1/files/", http.StripPrefix("/api/v1/files/", verify)),
		"partly stripped":           mount("/api/", http.StripPrefix("/api", mount("/v1/files/", verify))),
		"stripped step by step":     mount("/api/", http.StripPrefix("/api", mount("/v1/", http.StripPrefix("/v1", verify)))),
		"proxied":                   proxied(verify, ""),
		"proxied from another path": mount("/api/", http.StripPrefix("/api", proxied(verify, ""))),
		"proxied, and all stripped": http.StripPrefix("/api/v1/files", proxied(verify, "")),
	} {
		t.Run(name, func(t *testing.T) {
			outer := httptest.NewServer(h)
			defer outer.Close()
			for _, key := range []string{
				"k", "März 1.pdf", "a/b/c", "100%", "a%2Fb", "a+b", "a b", "a?b#c", "a&b=c;d", "files/k", "api/v1/files/k",
				"v1/files/api/v1/files/x", "~'()*!$,:@", "日本語.txt", "…", "..a", "a..", ". ",
			} {
				link := sign(t, s, signurl.Grant{Key: key})
				res, err := http.Get(outer.URL + strings.TrimPrefix(link, "https://files.example.com"))
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				require.NoError(t, err)
				assert.Equal(t, key, string(got))
			}
		})
	}
	r := request(t, "GET", strings.Replace(sign(t, s, signurl.Grant{Key: "k"}), "/api/v1/files/", "/iles/", 1))
	refused(t, s, r, signurl.ErrSignature, "does not match") // part of a segment is not a leading segment
}
