package blobhttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

const digits = "0123456789"

func TestLinksGet(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		h.put("a/digits.txt", digits, &blobstore.UploadOptions{Filename: "Zahlen für März.txt"})
		link := h.link("a/digits.txt", nil)
		tag := h.do("HEAD", link, "").header.Get("Etag")
		require.NotEmpty(t, tag)
		modified := h.do("HEAD", link, "").header.Get("Last-Modified")
		require.NotEmpty(t, modified)
		past, future := time.Unix(1e9, 0).UTC().Format(http.TimeFormat), time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)

		for name, c := range map[string]struct {
			method string
			header []string
			status int
			body   string
			rng    string // Content-Range
		}{
			"whole":                        {status: 200, body: digits},
			"head":                         {method: "HEAD", status: 200},
			"head ignores ranges":          {method: "HEAD", header: []string{"Range", "bytes=0-1"}, status: 200},
			"range":                        {header: []string{"Range", "bytes=2-4"}, status: 206, body: "234", rng: "bytes 2-4/10"},
			"open range":                   {header: []string{"Range", "bytes=7-"}, status: 206, body: "789", rng: "bytes 7-9/10"},
			"suffix":                       {header: []string{"Range", "bytes=-2"}, status: 206, body: "89", rng: "bytes 8-9/10"},
			"suffix longer than all":       {header: []string{"Range", "bytes=-20"}, status: 206, body: digits, rng: "bytes 0-9/10"},
			"range cut at the end":         {header: []string{"Range", "bytes=8-99999999999999999999"}, status: 206, body: "89", rng: "bytes 8-9/10"},
			"range behind the end":         {header: []string{"Range", "bytes=10-"}, status: 416, rng: "bytes */10"},
			"range far behind the end":     {header: []string{"Range", "bytes=1000-1001"}, status: 416, rng: "bytes */10"},
			"empty suffix":                 {header: []string{"Range", "bytes=-0"}, status: 416, rng: "bytes */10"},
			"one of two ranges is behind":  {header: []string{"Range", "bytes=20-,1-1"}, status: 206, body: "1", rng: "bytes 1-1/10"},
			"another unit":                 {header: []string{"Range", "lines=1-2"}, status: 200, body: digits},
			"reversed range":               {header: []string{"Range", "bytes=4-2"}, status: 200, body: digits},
			"nonsense range":               {header: []string{"Range", "bytes=a-b"}, status: 200, body: digits},
			"more than the whole":          {header: []string{"Range", "bytes=0-9,0-9"}, status: 200, body: digits},
			"too many ranges":              {header: []string{"Range", "bytes=" + strings.Repeat("0-0,", 10000) + "1-1"}, status: 200, body: digits},
			"if-none-match":                {header: []string{"If-None-Match", tag}, status: 304},
			"if-none-match, list":          {header: []string{"If-None-Match", `"x", W/` + tag}, status: 304},
			"if-none-match, two lines":     {header: []string{"If-None-Match", `"x"`, "If-None-Match", tag}, status: 304},
			"if-none-match, any":           {header: []string{"If-None-Match", "*"}, status: 304},
			"if-none-match, other":         {header: []string{"If-None-Match", `"x"`}, status: 200, body: digits},
			"if-none-match beats date":     {header: []string{"If-None-Match", `"x"`, "If-Modified-Since", future}, status: 200, body: digits},
			"if-modified-since, same":      {header: []string{"If-Modified-Since", modified}, status: 304},
			"if-modified-since, before":    {header: []string{"If-Modified-Since", past}, status: 200, body: digits},
			"if-modified-since, head":      {method: "HEAD", header: []string{"If-Modified-Since", modified}, status: 304},
			"if-modified-since, nonsense":  {header: []string{"If-Modified-Since", "yesterday"}, status: 200, body: digits},
			"if-match":                     {header: []string{"If-Match", tag}, status: 200, body: digits},
			"if-match, weak":               {header: []string{"If-Match", "W/" + tag}, status: 412},
			"if-match, other":              {header: []string{"If-Match", `"x"`}, status: 412},
			"if-match, other, head":        {method: "HEAD", header: []string{"If-Match", `"x"`}, status: 412},
			"if-unmodified-since, same":    {header: []string{"If-Unmodified-Since", modified}, status: 200, body: digits},
			"if-unmodified-since, before":  {header: []string{"If-Unmodified-Since", past}, status: 412},
			"if-range, tag":                {header: []string{"Range", "bytes=2-4", "If-Range", tag}, status: 206, body: "234", rng: "bytes 2-4/10"},
			"if-range, weak":               {header: []string{"Range", "bytes=2-4", "If-Range", "W/" + tag}, status: 200, body: digits},
			"if-range, other":              {header: []string{"Range", "bytes=2-4", "If-Range", `"x"`}, status: 200, body: digits},
			"if-range, date":               {header: []string{"Range", "bytes=2-4", "If-Range", modified}, status: 206, body: "234", rng: "bytes 2-4/10"},
			"if-range, other date":         {header: []string{"Range", "bytes=2-4", "If-Range", past}, status: 200, body: digits},
			"if-none-match before a range": {header: []string{"Range", "bytes=2-4", "If-None-Match", tag}, status: 304},
		} {
			t.Run(name, func(t *testing.T) {
				if c.method == "" {
					c.method = "GET"
				}
				before := len(h.trail(audit.ActionRedeem))
				a := h.do(c.method, link, "", c.header...)
				require.Equal(t, c.status, a.status, a.body)
				assert.Equal(t, c.rng, a.header.Get("Content-Range"))
				uses := h.trail(audit.ActionRedeem)[before:]
				require.Len(t, uses, 1, "one entry for each request")
				assert.NotEmpty(t, uses[0].GrantID)
				if c.status >= 400 {
					if c.method != "HEAD" {
						a.problem(t)
					}
					return
				}
				assert.Equal(t, audit.OutcomeOK, uses[0].Outcome)
				assert.EqualValues(t, len(c.body), *uses[0].Size)
				assert.Equal(t, c.body, a.body)
				assert.Equal(t, tag, a.header.Get("Etag"))
				assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"))
				if c.status == 304 {
					return
				}
				assert.Equal(t, "bytes", a.header.Get("Accept-Ranges"))
				assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
				assert.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
				assert.Contains(t, a.header.Get("Content-Security-Policy"), "sandbox")
				assert.Equal(t, "text/plain; charset=utf-8", a.header.Get("Content-Type"))
				kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
				require.NoError(t, err)
				assert.Equal(t, "attachment", kind)
				assert.Equal(t, "Zahlen für März.txt", params["filename"])
			})
		}
	})
}

func TestLinksGetSeveralRanges(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		h.put("a", digits, nil)
		a := h.do("GET", h.link("a", nil), "", "Range", "bytes=0-1, 4-5 ,-1")
		require.Equal(t, 206, a.status)
		assert.Equal(t, a.header.Get("Content-Length"), strconv.Itoa(len(a.body)))
		kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
		require.NoError(t, err)
		require.Equal(t, "multipart/byteranges", kind)
		mr := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
		for _, want := range [][2]string{{"bytes 0-1/10", "01"}, {"bytes 4-5/10", "45"}, {"bytes 9-9/10", "9"}} {
			p, err := mr.NextPart()
			require.NoError(t, err)
			assert.Equal(t, want[0], p.Header.Get("Content-Range"))
			assert.Equal(t, "text/plain; charset=utf-8", p.Header.Get("Content-Type"))
			b, err := io.ReadAll(p)
			require.NoError(t, err)
			assert.Equal(t, want[1], string(b))
		}
		_, err = mr.NextPart()
		require.Equal(t, io.EOF, err)

		uses := h.trail(audit.ActionRedeem)
		require.Len(t, uses, 1)
		assert.EqualValues(t, 5, *uses[0].Size)
		assert.Equal(t, "0-2,4-2,9-1", uses[0].Details.Range)
	})
}

func TestLinksETagIsTheDigest(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", digits, nil)
	sum := sha256.Sum256([]byte(digits))
	assert.Equal(t, `"`+hex.EncodeToString(sum[:])+`"`, h.do("GET", h.link("a", nil), "").header.Get("Etag"))
}

func TestLinksEmptyObject(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		h.put("empty", "", nil)
		link := h.link("empty", nil)
		for _, header := range [][]string{nil, {"Range", "bytes=0-"}, {"Range", "bytes=-5"}} {
			a := h.do("GET", link, "", header...)
			assert.Equal(t, 200, a.status)
			assert.Equal(t, "0", a.header.Get("Content-Length"))
			assert.Empty(t, a.body)
		}
	})
}

func TestLinksJoinIssueAndUse(t *testing.T) {
	h := newHost(t, setup{})
	obj := h.put("a", digits, &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	h.do("GET", obj.Link.URL(), "", "User-Agent", "browser/1", "X-Request-Id", "req-1")
	uses := h.trail(audit.ActionRedeem)
	require.Len(t, uses, 1)
	assert.Equal(t, obj.Link.GrantID, uses[0].GrantID)
	assert.Equal(t, audit.Actor{IP: "127.0.0.1", UserAgent: "browser/1", RequestID: "req-1"}, uses[0].Actor, "anonymous")

	// An error has the same request ID as the trail, even if the ID was
	// generated.
	p := h.do("PUT", obj.Link.URL(), "x").problem(t)
	uses = h.trail(audit.ActionRedeem)
	assert.NotEmpty(t, p.RequestID)
	assert.Equal(t, uses[len(uses)-1].Actor.RequestID, p.RequestID)
}

func TestLinksPut(t *testing.T) {
	sum, empty := sha256.Sum256([]byte(digits)), sha256.Sum256(nil)
	for name, c := range map[string]struct {
		link    blobstore.LinkOptions
		taken   bool
		links   blobhttp.LinksOptions
		opts    blobstore.Options
		header  []string
		body    string
		chunked bool
		status  int
		code    string
	}{
		"plain":                     {body: digits, status: 201},
		"empty":                     {status: 201},
		"chunked":                   {body: digits, chunked: true, status: 201},
		"the agreed digest":         {link: blobstore.LinkOptions{SHA256: sum[:]}, body: digits, status: 201},
		"wrong digest":              {link: blobstore.LinkOptions{SHA256: sum[:]}, body: "012345678X", status: 422, code: "constraint"},
		"the agreed length":         {link: blobstore.LinkOptions{Size: 10}, body: digits, status: 201},
		"longer than agreed":        {link: blobstore.LinkOptions{Size: 9}, body: digits, status: 422, code: "constraint"},
		"shorter, chunked":          {link: blobstore.LinkOptions{Size: 11}, body: digits, chunked: true, status: 422, code: "constraint"},
		"longer, chunked":           {link: blobstore.LinkOptions{Size: 9}, body: digits, chunked: true, status: 422, code: "constraint"},
		"empty is agreed":           {link: blobstore.LinkOptions{SHA256: empty[:]}, status: 201},
		"empty is agreed, chunked":  {link: blobstore.LinkOptions{SHA256: empty[:]}, body: "x", chunked: true, status: 422, code: "constraint"},
		"up to the limit":           {link: blobstore.LinkOptions{MaxSize: 10}, body: digits, chunked: true, status: 201},
		"over the limit":            {link: blobstore.LinkOptions{MaxSize: 9}, body: digits, status: 422, code: "constraint"},
		"over the limit, chunked":   {link: blobstore.LinkOptions{MaxSize: 9}, body: digits, chunked: true, status: 422, code: "constraint"},
		"over the handler's limit":  {links: blobhttp.LinksOptions{MaxSize: 9}, body: digits, status: 413, code: "too_large"},
		"over it, chunked":          {links: blobhttp.LinksOptions{MaxSize: 9}, body: digits, chunked: true, status: 413, code: "too_large"},
		"over the store's limit":    {opts: blobstore.Options{MaxSize: 9}, body: digits, chunked: true, status: 413, code: "too_large"},
		"the agreed type":           {link: blobstore.LinkOptions{ContentType: "text/csv"}, header: []string{"Content-Type", "Text/CSV"}, body: digits, status: 201},
		"another type":              {link: blobstore.LinkOptions{ContentType: "text/csv"}, header: []string{"Content-Type", "text/html"}, body: digits, status: 422, code: "constraint"},
		"no type":                   {link: blobstore.LinkOptions{ContentType: "text/csv"}, body: digits, status: 422, code: "constraint"},
		"taken":                     {taken: true, body: digits, status: 409, code: "exists"},
		"taken, if-none-match":      {taken: true, body: digits, header: []string{"If-None-Match", "*"}, status: 412, code: "precondition"},
		"free, if-none-match":       {body: digits, header: []string{"If-None-Match", "*"}, status: 201},
		"overwrite":                 {taken: true, link: blobstore.LinkOptions{Overwrite: true}, body: digits, status: 201},
		"overwrite, if-none-match":  {taken: true, link: blobstore.LinkOptions{Overwrite: true}, header: []string{"If-None-Match", "*"}, body: digits, status: 412, code: "precondition"},
		"if-match is not ignored":   {header: []string{"If-Match", `"x"`}, body: digits, status: 501, code: "unsupported"},
		"if-none-match with a tag":  {header: []string{"If-None-Match", `"x"`}, body: digits, status: 501, code: "unsupported"},
		"a part":                    {header: []string{"Content-Range", "bytes 0-9/20"}, body: digits, status: 400, code: "bad_request"},
		"a coding is not forgotten": {header: []string{"Content-Encoding", "gzip"}, body: digits, status: 415, code: "type"},
	} {
		t.Run(name, func(t *testing.T) {
			everyStore(t, func(t *testing.T, store string) {
				h := newHost(t, setup{store: store, links: c.links, opts: c.opts})
				old := "old"
				if c.taken {
					h.put("up/a", old, nil)
				}
				c.link.Method = "PUT"
				link := h.link("up/a", &c.link)

				var body io.Reader
				if c.body != "" {
					body = strings.NewReader(c.body)
				}
				if c.chunked {
					body = struct{ io.Reader }{body} // hides the length
				}
				req, err := http.NewRequest("PUT", link, body)
				require.NoError(t, err)
				for i := 0; i < len(c.header); i += 2 {
					req.Header.Set(c.header[i], c.header[i+1])
				}
				res, err := h.client.Do(req)
				require.NoError(t, err)
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				a := answer{res.StatusCode, res.Header, string(b)}
				require.Equal(t, c.status, a.status, a.body)

				r, err := h.store.Download(h.ctx, "up/a", nil)
				if c.status == 201 {
					sum := sha256.Sum256([]byte(c.body))
					assert.Equal(t, `"`+hex.EncodeToString(sum[:])+`"`, a.header.Get("Etag"))
					assert.Empty(t, a.body)
					require.NoError(t, err)
					stored, err := io.ReadAll(r)
					require.NoError(t, err)
					require.NoError(t, r.Close())
					assert.Equal(t, c.body, string(stored))
					uploads := h.trail(audit.ActionUpload)
					last := uploads[len(uploads)-1]
					assert.Equal(t, audit.OutcomeOK, last.Outcome)
					require.Len(t, h.trail(audit.ActionRedeem), 1)
					assert.Equal(t, h.trail(audit.ActionRedeem)[0].GrantID, last.GrantID)
				} else {
					assert.Equal(t, c.code, a.problem(t).Code)
					if c.taken {
						require.NoError(t, err)
						stored, err := io.ReadAll(r)
						require.NoError(t, err)
						require.NoError(t, r.Close())
						assert.Equal(t, old, string(stored), "the old object is unharmed")
					} else {
						assert.ErrorIs(t, err, fs.ErrNotExist, "nothing is left")
					}
				}
				assert.Zero(t, h.log.OpenIntents(), "every intent is settled")
			})
		})
	}
}

func TestLinksPutCreateOnlyIsNotReplayed(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		link := h.link("a", &blobstore.LinkOptions{Method: "PUT"})
		require.Equal(t, 201, h.do("PUT", link, "first").status)
		a := h.do("PUT", link, "second")
		require.Equal(t, 409, a.status)
		assert.Equal(t, "exists", a.problem(t).Code)
		assert.Equal(t, "first", h.do("GET", h.link("a", nil), "").body)
		assert.Len(t, h.trail(audit.ActionRedeem), 3, "the replay is in the trail too")
	})
}

func TestLinksDelete(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		h.put("a", digits, nil)
		link := h.link("a", &blobstore.LinkOptions{Method: "DELETE"})
		a := h.do("DELETE", link, "", "If-Match", `"x"`)
		require.Equal(t, 501, a.status, "a condition is not ignored")
		require.Equal(t, 204, h.do("DELETE", link, "").status)
		_, err := h.store.Stat(h.ctx, "a")
		require.ErrorIs(t, err, fs.ErrNotExist)
		a = h.do("DELETE", link, "")
		require.Equal(t, 404, a.status)
		assert.Equal(t, "not_found", a.problem(t).Code)
		deletes := h.trail(audit.ActionDelete)
		require.Len(t, deletes, 2)
		assert.Equal(t, audit.OutcomeOK, deletes[0].Outcome)
		assert.Equal(t, audit.OutcomeFailed, deletes[1].Outcome)
	})
}

func TestLinksServeWhatTheLinkSays(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", digits, &blobstore.UploadOptions{Filename: "stored.txt", ContentType: "text/plain"})
	a := h.do("GET", h.link("a", &blobstore.LinkOptions{Filename: "other.csv", ResponseType: "text/csv", Inline: true}), "")
	assert.Equal(t, "text/csv", a.header.Get("Content-Type"))
	assert.Equal(t, `attachment; filename="other.csv"`, a.header.Get("Content-Disposition"), "not on the list")
	a = h.do("GET", h.link("a", &blobstore.LinkOptions{Inline: true}), "")
	assert.Equal(t, `inline; filename="stored.txt"`, a.header.Get("Content-Disposition"))
}

func TestLinksOfAMissingObject(t *testing.T) {
	h := newHost(t, setup{})
	a := h.do("GET", h.link("secret-folder/missing", nil), "")
	require.Equal(t, 404, a.status)
	assert.NotContains(t, a.body, "secret-folder")
	uses := h.trail(audit.ActionRedeem)
	require.Len(t, uses, 1)
	assert.Equal(t, audit.OutcomeFailed, uses[0].Outcome)
	assert.Equal(t, "not_found", uses[0].ErrorCode)
}

func TestLinksNeedAStore(t *testing.T) {
	assert.Panics(t, func() { blobhttp.Links(nil, nil) })
}

// A program without a signer starts and serves everything else. It logs the
// mistake.
func TestLinksWithoutASigner(t *testing.T) {
	h := newHost(t, setup{})
	h.put("a", "hello", nil)
	link := h.link("a", nil)
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	var reported []error
	unsigned, err := blobstore.New(memstore.New(), h.log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unsigned.Close(context.Background())) })
	silent := blobhttp.Links(unsigned, nil)
	reporting := blobhttp.Heard(func(_ *http.Request, err error) { reported = append(reported, err) }, blobhttp.Links(unsigned, nil))
	assert.Equal(t, 2, strings.Count(log.String(), "no signer"), "once for each: %s", log.String())
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"} {
		for _, handler := range []http.Handler{silent, reporting} {
			for _, address := range []string{link, "/files/a", "/"} {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(method, address, strings.NewReader("x")))
				assert.Equal(t, 404, w.Code, "%s %.20s", method, address)
				assert.NotContains(t, w.Body.String(), "signer")
			}
		}
	}
	assert.Equal(t, 2, strings.Count(log.String(), "no signer"), "not with every request")
	require.Len(t, reported, 18)
	assert.ErrorContains(t, reported[0], "no signer")
	assert.Empty(t, h.trail(audit.ActionRedeem))
}

func TestLinksLargeObjectInParts(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
		h.put("big", string(content), nil)
		link := h.link("big", nil)
		var got []byte
		for off := 0; off < len(content); off += 300_000 {
			a := h.do("GET", link, "", "Range", "bytes="+strconv.Itoa(off)+"-"+strconv.Itoa(off+299_999))
			require.Equal(t, 206, a.status)
			got = append(got, a.body...)
		}
		assert.True(t, bytes.Equal(content, got))
	})
}
