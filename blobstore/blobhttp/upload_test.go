package blobhttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// formPart is a field, or a file if it has a file name.
type formPart struct{ name, filename, contentType, content string }

func formBody(t *testing.T, parts ...formPart) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	for _, p := range parts {
		h := make(textproto.MIMEHeader)
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.filename != "" {
			disposition += `; filename="` + p.filename + `"`
		}
		h.Set("Content-Disposition", disposition)
		if p.contentType != "" {
			h.Set("Content-Type", p.contentType)
		}
		w, err := mw.CreatePart(h)
		require.NoError(t, err)
		_, err = io.WriteString(w, p.content)
		require.NoError(t, err)
	}
	require.NoError(t, mw.Close())
	return mw.FormDataContentType(), b.String()
}

// asUser is a middleware. The user is in the header User, by default "alice".
var asUser = blobhttp.Middleware(&blobhttp.MiddlewareOptions{Identify: func(r *http.Request) (string, string, error) {
	if u := r.Header.Get("User"); u != "" {
		return strings.TrimPrefix(u, "nobody"), "", nil
	}
	return "alice", "", nil
}})

func newUploadHost(t *testing.T, s setup, in blobhttp.Intake, opts *blobhttp.FormOptions) *host {
	t.Helper()
	s.wrap = asUser
	h := newHost(t, s)
	in.Store = h.store
	h.mux.Handle("/upload", in.Form(opts))
	return h
}

// keys returns the keys of all objects.
func (h *host) keys() (keys []string) {
	h.t.Helper()
	for obj, err := range h.store.List(h.ctx, nil) {
		require.NoError(h.t, err)
		keys = append(keys, obj.Key)
	}
	return keys
}

const pdf = "%PDF-1.7\nan invoice\n"

func TestUpload(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newUploadHost(t, setup{store: store}, blobhttp.Intake{
			Prefix: "invoices", Link: &blobstore.LinkOptions{Expiry: time.Hour},
			Prepare: func(_ context.Context, f *blobhttp.File) error {
				f.Options.Resource = audit.Resource{Type: "invoice", ID: f.Fields.Get("invoice")}
				return nil
			},
		}, nil)
		ct, body := formBody(t,
			formPart{name: "invoice", content: "42"},
			formPart{name: "file", filename: "Rechnung März.pdf", contentType: "text/html", content: pdf},
			formPart{name: "file", filename: "../../leer.txt"},
			formPart{name: "more", filename: "a.txt", content: digits},
		)
		start := time.Now()
		a := h.do("POST", h.url+"/upload", body, "Content-Type", ct)
		require.Equal(t, 201, a.status, a.body)
		assert.Equal(t, "application/json", a.header.Get("Content-Type"))
		assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"))
		var got blobhttp.Uploaded
		require.NoError(t, json.Unmarshal([]byte(a.body), &got))
		require.Len(t, got.Files, 3)
		for i, want := range []struct{ field, name, content, contentType string }{
			{"file", "Rechnung März.pdf", pdf, "application/pdf"},
			{"file", "leer.txt", "", "text/plain"},
			{"more", "a.txt", digits, "text/plain; charset=utf-8"},
		} {
			f := got.Files[i]
			sum := sha256.Sum256([]byte(want.content))
			assert.Equal(t, want.field, f.Field)
			assert.Equal(t, want.name, f.Filename)
			assert.EqualValues(t, len(want.content), f.Size)
			assert.Equal(t, want.contentType, f.ContentType, "found from the content")
			assert.Equal(t, hex.EncodeToString(sum[:]), f.SHA256)
			assert.Regexp(t, `^invoices/[0-9a-f-]{36}_`, f.Key)
			assertSecondsLeft(t, start, time.Hour, f.ExpiresInSeconds)
			assert.Nil(t, f.Problem)
			assert.Equal(t, want.content, h.do("GET", f.DownloadURL, "").body)
		}
		uploads := h.trail(audit.ActionUpload)
		require.Len(t, uploads, 3)
		for _, e := range uploads {
			assert.Equal(t, audit.OutcomeOK, e.Outcome)
			assert.Equal(t, "alice", e.Actor.UserID)
			assert.Equal(t, audit.Resource{Type: "invoice", ID: "42"}, e.Resource)
		}
		assert.Len(t, h.trail(audit.ActionIssueLink), 3)
		assert.Zero(t, h.log.OpenIntents())
	})
}

func TestUploadRefused(t *testing.T) {
	file := formPart{name: "f", filename: "a.txt", content: digits}
	many := func(n int, p formPart) (out []formPart) {
		for range n {
			out = append(out, p)
		}
		return out
	}
	type intake = blobhttp.Intake
	type opts = blobhttp.FormOptions
	for name, c := range map[string]struct {
		intake intake
		opts   opts
		store  blobstore.Options
		parts  []formPart
		method string
		change func(ct, body string) (string, string)
		header []string
		status int
		code   string
	}{
		"no file":             {parts: []formPart{{name: "a", content: "b"}}, status: 400, code: "bad_request"},
		"no file chosen":      {parts: []formPart{{name: "f", contentType: "application/octet-stream"}}, status: 400, code: "bad_request"},
		"empty form":          {status: 400, code: "bad_request"},
		"too large":           {intake: intake{MaxSize: 9}, parts: []formPart{file}, status: 413, code: "too_large"},
		"second too large":    {intake: intake{MaxSize: 10}, parts: []formPart{file, {name: "f", filename: "b", content: digits + "x"}}, status: 413, code: "too_large"},
		"too large for store": {store: blobstore.Options{MaxSize: 9}, parts: []formPart{file}, status: 413, code: "too_large"},
		"body too large":      {opts: opts{MaxTotalSize: 100}, parts: []formPart{file}, status: 413, code: "too_large"},
		"too many files":      {opts: opts{MaxFiles: 2}, parts: many(3, file), status: 413, code: "too_many"},
		"too many by default": {parts: many(33, file), status: 413, code: "too_many"},
		"too many fields":     {opts: opts{MaxFields: 2}, parts: append([]formPart{file}, many(3, formPart{name: "a", content: "b"})...), status: 413, code: "too_many"},
		"field too long":      {opts: opts{MaxFieldsSize: 9}, parts: []formPart{file, {name: "a", content: digits}}, status: 413, code: "too_many"},
		"field name too long": {opts: opts{MaxFieldsSize: 9}, parts: []formPart{file, {name: digits, content: "b"}}, status: 413, code: "too_many"},
		"fields too long":     {opts: opts{MaxFieldsSize: 9}, parts: append([]formPart{file}, many(3, formPart{name: "a", content: "bcd"})...), status: 413, code: "too_many"},
		"type":                {intake: intake{AllowedTypes: []string{"application/pdf"}}, parts: []formPart{file}, status: 415, code: "type"},
		"lying type":          {intake: intake{AllowedTypes: []string{"image/*"}}, parts: []formPart{{name: "f", filename: "a.png", contentType: "image/png", content: html}}, status: 415, code: "type"},
		"refused by Prepare":  {intake: intake{Prepare: func(context.Context, *blobhttp.File) error { return blobstore.ErrDenied }}, parts: []formPart{file}, status: 403, code: "denied"},
		"bad key by Prepare":  {intake: intake{Prepare: func(_ context.Context, f *blobhttp.File) error { f.Key = "../x"; return nil }}, parts: []formPart{file}, status: 400, code: "bad_key"},
		"taken":               {intake: intake{Prepare: func(_ context.Context, f *blobhttp.File) error { f.Key = "same"; return nil }}, parts: many(2, file), status: 409, code: "exists"},
		"refused by Save":     {intake: intake{Save: func(context.Context, []blobhttp.Stored) error { return errors.New("secret") }}, parts: []formPart{file, file}, status: 500, code: "internal"},
		"GET":                 {method: "GET", status: 405, code: "method"},
		"PUT":                 {method: "PUT", parts: []formPart{file}, status: 405, code: "method"},
		"not a form":          {parts: []formPart{file}, change: func(_, b string) (string, string) { return "application/json", b }, status: 415, code: "type"},
		"another form":        {parts: []formPart{file}, change: func(_, b string) (string, string) { return "application/x-www-form-urlencoded", b }, status: 415, code: "type"},
		"no boundary":         {parts: []formPart{file}, change: func(_, b string) (string, string) { return "multipart/form-data", b }, status: 415, code: "type"},
		"wrong boundary":      {parts: []formPart{file}, change: func(_, b string) (string, string) { return "multipart/form-data; boundary=x", b }, status: 400},
		"cut in the file":     {parts: []formPart{file}, change: func(ct, b string) (string, string) { return ct, b[:strings.Index(b, digits)+5] }, status: 400, code: "truncated"},
		"cut before the end":  {parts: []formPart{file}, change: func(ct, b string) (string, string) { return ct, strings.TrimRight(b, "-\r\n") }, status: 400},
		"endless header": {parts: []formPart{file}, change: func(ct, b string) (string, string) {
			return ct, strings.Replace(b, "Content-Disp", "X: "+strings.Repeat("x", 11<<20)+"\r\nContent-Disp", 1)
		}, status: 400, code: "bad_request"},
		"nobody":                 {parts: []formPart{file}, header: []string{"User", "nobody"}, status: 401, code: "unauthenticated"},
		"from another site":      {parts: []formPart{file}, header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, code: "denied"},
		"from another origin":    {parts: []formPart{file}, header: []string{"Origin", "https://evil.example"}, status: 403, code: "denied"},
		"refused by authoriser":  {store: blobstore.Options{Authorize: func(_ context.Context, e audit.Event) error { return refuseUploads(e) }}, parts: []formPart{file}, status: 403, code: "denied"},
		"link that can't be had": {intake: intake{Prepare: func(_ context.Context, f *blobhttp.File) error { f.Options.Overwrite = true; return nil }}, parts: []formPart{file}, status: 500, code: "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newUploadHost(t, setup{store: "local://" + t.TempDir(), opts: c.store}, c.intake, &c.opts)
			ct, body := formBody(t, c.parts...)
			if c.change != nil {
				ct, body = c.change(ct, body)
			}
			if c.method == "" {
				c.method = "POST"
			}
			if c.method == "GET" {
				body = ""
			}
			a := h.do(c.method, h.url+"/upload", body, append(c.header, "Content-Type", ct)...)
			require.Equal(t, c.status, a.status, a.body)
			p := a.problem(t)
			if c.code != "" {
				assert.Equal(t, c.code, p.Code)
			}
			assert.NotContains(t, a.body, "secret")
			assert.Empty(t, h.keys(), "nothing is left")
			assert.Zero(t, h.log.OpenIntents(), "every intent is settled")
			for _, e := range h.trail(audit.ActionUpload) {
				assert.NotEqual(t, audit.OutcomeOK, e.Outcome)
			}
			assert.NotEmpty(t, h.errs.all())
		})
	}
}

func refuseUploads(e audit.Event) error {
	if e.Action == audit.ActionUpload {
		return errors.New("no uploads today")
	}
	return nil
}

func TestUploadWhenTheClientDisconnects(t *testing.T) {
	entered := make(chan struct{})
	var once sync.Once
	h := newUploadHost(t, setup{store: "local://" + t.TempDir()}, blobhttp.Intake{}, &blobhttp.FormOptions{
		Progress: func(*http.Request, *blobhttp.File, int64, bool) {
			once.Do(func() { close(entered) })
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: strings.Repeat("x", 1<<20)})
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, "POST", h.url+"/upload", pr)
	require.NoError(t, err)
	req.Header.Set("Content-Type", ct)
	go func() {
		_, _ = io.WriteString(pw, body[:800<<10])
		<-entered
		cancel()
		_ = pw.CloseWithError(context.Canceled)
	}()
	_, err = h.client.Do(req)
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return len(h.trail(audit.ActionUpload)) == 1 && h.log.OpenIntents() == 0 }, soon, time.Millisecond)
	assert.Equal(t, audit.OutcomeFailed, h.trail(audit.ActionUpload)[0].Outcome)
	assert.Empty(t, h.keys())
}

func TestUploadWhenTheApplicationPanics(t *testing.T) {
	h := newUploadHost(t, setup{}, blobhttp.Intake{
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			if f.Filename == "b" {
				panic(http.ErrAbortHandler)
			}
			return nil
		},
	}, nil)
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits}, formPart{name: "f", filename: "b", content: digits})
	req, err := http.NewRequest("POST", h.url+"/upload", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", ct)
	_, err = h.client.Do(req)
	require.Error(t, err)
	require.Eventually(t, func() bool { return h.log.OpenIntents() == 0 }, soon, time.Millisecond)
	assert.Empty(t, h.keys())
}

func TestUploadProgress(t *testing.T) {
	type step struct {
		file     blobhttp.File
		received int64
		complete bool
		total    int64
	}
	var steps []step
	h := newUploadHost(t, setup{}, blobhttp.Intake{}, &blobhttp.FormOptions{Progress: func(r *http.Request, f *blobhttp.File, received int64, complete bool) {
		steps = append(steps, step{*f, received, complete, r.ContentLength})
	}})
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: strings.Repeat("x", 1<<20)})
	require.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct).status)
	require.GreaterOrEqual(t, len(steps), 4)
	for i, p := range steps[:len(steps)-1] {
		assert.False(t, p.complete)
		assert.EqualValues(t, len(body), p.total)
		if i > 0 {
			assert.GreaterOrEqual(t, p.received-steps[i-1].received, int64(256<<10))
		}
	}
	last := steps[len(steps)-1]
	assert.True(t, last.complete)
	assert.EqualValues(t, 1<<20, last.received)
	assert.Equal(t, "a", last.file.Filename)
	assert.Equal(t, h.keys(), []string{last.file.Key})
}

func TestUploadSavesRows(t *testing.T) {
	var saved []string
	h := newUploadHost(t, setup{}, blobhttp.Intake{Save: func(_ context.Context, files []blobhttp.Stored) error {
		for _, f := range files {
			saved = append(saved, f.Object.Key)
		}
		return nil
	}}, nil)
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits}, formPart{name: "f", filename: "b", content: digits})
	require.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct).status)
	assert.ElementsMatch(t, h.keys(), saved)
}

// The application reads the content, returns its own problem, and sends its own
// response.
func TestUploadWithCustomProblemAndResponse(t *testing.T) {
	var read bytes.Buffer
	h := newUploadHost(t, setup{}, blobhttp.Intake{
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			if f.Fields.Get("number") == "" {
				return fmt.Errorf("preparing: %w", &blobhttp.Problem{Status: 422, Code: "number_missing", Title: "An invoice has a number", Detail: "Send number."})
			}
			f.Body = io.TeeReader(f.Body, &read)
			return nil
		},
	}, &blobhttp.FormOptions{
		Respond: func(w http.ResponseWriter, _ *http.Request, u *blobhttp.Uploaded) {
			w.Header().Set("Read-Along", read.String())
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, u.Files[0].Filename)
		},
	})
	send := func(parts ...formPart) answer {
		ct, body := formBody(t, parts...)
		return h.do("POST", h.url+"/upload", body, "Content-Type", ct)
	}
	a := send(formPart{name: "number", content: "42"}, formPart{name: "file", filename: "a.txt", content: "hello"})
	assert.Equal(t, 202, a.status)
	assert.Equal(t, "a.txt", a.body)
	assert.Equal(t, "hello", a.header.Get("Read-Along"))

	a = send(formPart{name: "file", filename: "a.txt", content: "hello"})
	assert.Equal(t, 422, a.status)
	p := a.problem(t)
	assert.Equal(t, "number_missing", p.Code)
	assert.Equal(t, "about:blank", p.Type)
	assert.Equal(t, "Send number.", p.Detail)
	assert.Len(t, h.keys(), 1)
}

func TestUploadAnonymous(t *testing.T) {
	h := newUploadHost(t, setup{}, blobhttp.Intake{AllowAnonymous: true}, nil)
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits})
	require.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct, "User", "nobody").status)
}

func TestUploadFromATrustedOrigin(t *testing.T) {
	p := http.NewCrossOriginProtection()
	require.NoError(t, p.AddTrustedOrigin("https://app.example"))
	h := newUploadHost(t, setup{}, blobhttp.Intake{CrossOrigin: p}, nil)
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits})
	assert.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site").status)
	assert.Equal(t, 201, h.do("POST", h.url+"/upload", body, "Content-Type", ct, "Sec-Fetch-Site", "same-origin").status)
}

// TestUploadStoredButWithoutLink checks that the file remains if its link
// cannot be issued.
func TestUploadStoredButWithoutLink(t *testing.T) {
	h := newUploadHost(t, setup{}, blobhttp.Intake{Link: &blobstore.LinkOptions{Expiry: 1000 * time.Hour}}, nil)
	ct, body := formBody(t, formPart{name: "f", filename: "a", content: digits})
	a := h.do("POST", h.url+"/upload", body, "Content-Type", ct)
	require.Equal(t, 201, a.status)
	var got blobhttp.Uploaded
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	require.NotNil(t, got.Files[0].Problem)
	assert.Empty(t, got.Files[0].DownloadURL)
	assert.Len(t, h.keys(), 1)
}
