package blobhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

func writeError(err error) answer {
	rec := httptest.NewRecorder()
	rec.Header().Set("Etag", `"of what is not sent"`)
	rec.Header().Set("Content-Disposition", "attachment")
	blobhttp.WriteError(rec, httptest.NewRequest("GET", "/", nil), err)
	return answer{rec.Code, rec.Result().Header, rec.Body.String()}
}

func TestWriteError(t *testing.T) {
	store := func(op string, err error) error { return &blobstore.Error{Op: op, Key: "secret", Err: err} }
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{store("upload", blobstore.ErrInvalidKey), 400, "bad_key"},
		{store("upload", io.ErrUnexpectedEOF), 400, "truncated"},
		{store("download", audit.ErrNoActor), 401, "unauthenticated"},
		{store("download", blobstore.ErrDenied), 403, "denied"},
		{signurl.ErrSignature, 403, "bad_link"},
		{store("download", fs.ErrNotExist), 404, "not_found"},
		{signurl.ErrMethod, 405, "method"},
		{store("download", blobstore.ErrNoBucket), 503, "unavailable"},
		{store("upload", blobstore.ErrPath), 501, "unsupported"},
		{store("upload", syscall.EDQUOT), 507, "no_space"},
		{store("upload", io.ErrNoProgress), 400, "truncated"},
		{store("download", io.ErrNoProgress), 500, "internal"},
		{store("upload", fs.ErrExist), 409, "exists"},
		{store("delete", blobstore.ErrReplaced), 409, "replaced"},
		{store("complete upload", blobstore.ErrBusy), 409, "busy"},
		{signurl.ErrExpired, 410, "expired"},
		{signurl.ErrRevoked, 410, "revoked"},
		{store("upload", blobstore.ErrTooLarge), 413, "too_large"},
		{store("upload", &http.MaxBytesError{Limit: 1}), 413, "too_large"},
		{store("upload", blobstore.ErrContentType), 415, "type"},
		{store("download", blobstore.ErrRange), 416, "range"},
		{store("upload", blobstore.ErrChecksum), 422, "checksum"},
		{store("upload", signurl.ErrConstraint), 422, "constraint"},
		{store("download", blobstore.ErrChecksum), 500, "internal"},
		{store("download", io.ErrUnexpectedEOF), 500, "internal"},
		{store("download", fs.ErrPermission), 500, "internal"},
		{errors.New("secret"), 500, "internal"},
		{store("link", blobstore.ErrUnsupported), 501, "unsupported"},
		{store("upload", blobstore.ErrAudit), 503, "audit"},
		{store("upload", fmt.Errorf("%w; and %w", fs.ErrExist, blobstore.ErrAudit)), 503, "audit"},
		{store("upload", blobstore.ErrInDoubt), 503, "in_doubt"},
		{store("upload", blobstore.ErrClosed), 503, "unavailable"},
		{store("upload", context.Canceled), 503, "unavailable"},
		{store("upload", context.DeadlineExceeded), 504, "upstream_timeout"},
		{store("upload", os.ErrDeadlineExceeded), 500, "internal"},
		{store("upload", syscall.ENOSPC), 507, "no_space"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			a := writeError(fmt.Errorf("secret: %w", c.err))
			assert.Equal(t, c.status, a.status)
			p := a.problem(t)
			assert.Equal(t, c.code, p.Code)
			assert.NotEmpty(t, p.Title)
			assert.NotContains(t, a.body, "secret")
			assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"))
			assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
			assert.Empty(t, a.header.Get("Etag"))
			assert.Empty(t, a.header.Get("Content-Disposition"))
		})
	}
}

func TestProblemWithExtensions(t *testing.T) {
	refused := func(extensions map[string]any) answer {
		return writeError(fmt.Errorf("saving: %w", &blobhttp.Problem{Status: 422, Code: "details", Title: "Incomplete", Extensions: extensions}))
	}
	a := refused(map[string]any{"found": map[string]string{"number": "7"}, "status": 200, "title": "Fine"})
	assert.Equal(t, 422, a.status)
	assert.JSONEq(t, `{"type":"about:blank","title":"Incomplete","status":422,"code":"details","found":{"number":"7"}}`, a.body)
	a = refused(map[string]any{"found": make(chan int)}) // values that cannot be encoded are omitted
	assert.JSONEq(t, `{"type":"about:blank","title":"Incomplete","status":422,"code":"details"}`, a.body)
}

// A response with status 503 has a Retry-After header.
func TestUnavailableSaysWhenToRetry(t *testing.T) {
	for _, err := range []error{blobstore.ErrAudit, blobstore.ErrInDoubt, blobstore.ErrClosed, &blobhttp.Problem{Status: 503, Code: "database", Title: "Not now"}} {
		a := writeError(err)
		assert.Equal(t, 503, a.status)
		assert.Equal(t, "5", a.header.Get("Retry-After"), "%v", err)
	}
	assert.Empty(t, writeError(blobstore.ErrDenied).header.Get("Retry-After"))
	rec := httptest.NewRecorder()
	rec.Header().Set("Retry-After", "120")
	blobhttp.WriteError(rec, httptest.NewRequest("GET", "/", nil), blobstore.ErrClosed)
	assert.Equal(t, "120", rec.Header().Get("Retry-After"), "the application's own")
}

// TestProblemWithoutAStatus checks that an invalid status of the application
// becomes status 500, and does not abort the connection.
func TestProblemWithoutAStatus(t *testing.T) {
	for _, status := range []int{0, 99, 200, 304, 600, 1000} {
		a := writeError(&blobhttp.Problem{Status: status, Code: "quota", Title: "Too much"})
		assert.Equal(t, 500, a.status, status)
		assert.Equal(t, "internal", a.problem(t).Code)
	}
	assert.Equal(t, 429, writeError(&blobhttp.Problem{Status: 429, Code: "quota", Title: "Too much"}).status)
}

// TestProblemTable checks the rules of the table: each code occurs once, with a
// valid status. At most one kind per status is general, and it has the standard
// title. docs/problems.md lists each code with its title and detail.
func TestProblemTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/problems.md")
	require.NoError(t, err)
	equivalents := map[int]string{ // replace standard phrases that are outdated or less clear
		401: "Authentication required", 404: "File not found", 413: "Content too large", 416: "Range not satisfiable",
		501: "Not supported", 504: "Storage timeout",
	}
	sections := regexp.MustCompile("(?m)^### (\\w+)\n\n(\\d+) · (.+)\n\n(.+)").FindAllStringSubmatch(string(page), -1)
	codes, general, documented := map[string]bool{}, map[int]string{}, map[string][]string{}
	for _, s := range sections {
		documented[s[1]] = s
	}
	for _, k := range blobhttp.Kinds() {
		t.Run(k.Code, func(t *testing.T) {
			assert.Regexp(t, "^[a-z]+(_[a-z]+)*$", k.Code)
			assert.False(t, codes[k.Code], "each code once")
			codes[k.Code] = true
			assert.NotEmpty(t, http.StatusText(k.Status))
			assert.True(t, k.Status >= 400 && k.Status <= 599)
			assert.Regexp(t, "^[A-Z][A-Za-z ]{3,40}$", k.Title)
			assert.True(t, k.Detail == "" || strings.HasSuffix(k.Detail, "."))
			if k.General {
				assert.Empty(t, general[k.Status], "one general kind for each status")
				general[k.Status] = k.Code
				want := equivalents[k.Status]
				if want == "" {
					want = http.StatusText(k.Status)
				}
				assert.Equal(t, strings.ToLower(want), strings.ToLower(k.Title))
				p := blobhttp.ProblemOf(&blobhttp.Problem{Status: k.Status})
				assert.Equal(t, []string{k.Code, k.Title}, []string{p.Code, p.Title}, "the defaults of the status")
			}
			for _, err := range k.Errs {
				p := blobhttp.ProblemOf(fmt.Errorf("wrapped: %w", err))
				require.ErrorIs(t, p, err)
				assert.Equal(t, k.Code, p.Code, "%v", err)
				assert.Equal(t, k.Status, p.Status)
				assert.Equal(t, k.Title, p.Title)
				assert.Equal(t, "https://github.com/blobtrail/blobtrail/blob/main/docs/problems.md#"+k.Code, p.Type)
			}
			require.NotNil(t, documented[k.Code], "a section of docs/problems.md")
			assert.Equal(t, []string{fmt.Sprint(k.Status), k.Title}, documented[k.Code][2:4])
			if k.Detail != "" {
				assert.Equal(t, "> "+k.Detail, documented[k.Code][4])
			}
		})
	}
	assert.Len(t, sections, len(codes), "docs/problems.md lists what exists only")
}

func TestProblemOfStatusAlone(t *testing.T) {
	for status, want := range map[int][2]string{
		400: {"bad_request", "Bad request"}, 401: {"unauthenticated", "Authentication required"}, 403: {"denied", "Forbidden"},
		409: {"conflict", "Conflict"}, 415: {"type", "Unsupported media type"}, 429: {"too_many_requests", "Too many requests"},
		503: {"unavailable", "Service unavailable"}, 499: {"status_499", "Status 499"},
	} {
		a := writeError(&blobhttp.Problem{Status: status})
		assert.Equal(t, status, a.status)
		p := a.problem(t)
		assert.Equal(t, want, [2]string{p.Code, p.Title})
	}
	assert.Nil(t, blobhttp.ProblemOf(nil))
	assert.Equal(t, 500, writeError(nil).status)
}

// TestProblemUnwraps checks that the cause of a problem is available to the
// program, but not to the client.
func TestProblemUnwraps(t *testing.T) {
	cause := errors.New("secret")
	err := fmt.Errorf("saving: %w", &blobhttp.Problem{Status: 503, Code: "database", Title: "Down", Err: cause})
	require.ErrorIs(t, err, cause)
	assert.Equal(t, "saving: database: Down: secret", err.Error())
	p := blobhttp.ProblemOf(err)
	assert.Equal(t, "about:blank", p.Type)
	assert.Equal(t, "database", p.Code)
	require.ErrorIs(t, p, cause)
	assert.NotContains(t, writeError(err).body, "secret")
	own := &blobhttp.Problem{Status: 422, Type: "https://app.example/quota"}
	p = blobhttp.ProblemOf(own)
	assert.Equal(t, "https://app.example/quota", p.Type)
	assert.NoError(t, p.Err)
	assert.Empty(t, own.Code, "the application's value is not changed")
}

// TestWriteErrorLeavesATrace checks that the cause of an error that is not the
// client's fault is logged or passed to OnError, by any handler, without data
// of the client.
func TestWriteErrorLeavesATrace(t *testing.T) {
	handler := func(err error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { blobhttp.WriteError(w, r, err) })
	}
	request := func() *http.Request {
		r := newRequest("POST", "/secret-path?bt-sig=secret-signature", "secret-body")
		r.Header.Set("Authorization", "Bearer secret-token")
		r.Header.Set("Cookie", "session=secret-cookie")
		r.Pattern = "POST /own/{id}"
		return r
	}
	cause := errors.New("the disk is on fire")
	for name, c := range map[string]struct {
		err    error
		status int
		lines  int
	}{
		"5xx":                       {cause, 500, 1},
		"5xx of the application":    {&blobhttp.Problem{Status: 503, Err: cause}, 503, 1},
		"the client's fault":        {fs.ErrNotExist, 404, 0},
		"the fault of the program":  {blobhttp.RefuseLink(request()), 403, 1},
		"a client that is not read": {&blobhttp.Problem{Status: 429}, 429, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for what, wrap := range map[string]func(http.Handler) http.Handler{
				"without Middleware": func(h http.Handler) http.Handler { return h },
				"behind Middleware":  blobhttp.Middleware(nil),
			} {
				buf := captureLog(t)
				r := request()
				r.Pattern += name // mistakes are logged once a minute per route
				require.Equal(t, c.status, record(wrap(handler(c.err)), r).status)
				assert.Equal(t, c.lines, strings.Count(buf.String(), "\n"), what+": "+buf.String())
				assert.NotContains(t, buf.String(), "secret")
				if errors.Is(c.err, cause) {
					assert.Contains(t, buf.String(), cause.Error())
					assert.Contains(t, buf.String(), "POST /own/{id}")
				}
			}
			buf := captureLog(t)
			heard := new(errorLog)
			record(blobhttp.Middleware(&blobhttp.MiddlewareOptions{OnError: heard.add})(blobhttp.Middleware(nil)(handler(c.err))), request())
			require.Len(t, heard.all(), 1, "also of a Middleware in front")
			require.ErrorIs(t, heard.all()[0], c.err)
			assert.Empty(t, buf.String())
		})
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	buf := captureLog(t)
	record(handler(cause), request().WithContext(canceled))
	assert.Empty(t, buf.String(), "the client is gone")
}

func TestWriteErrorNamesTheRequest(t *testing.T) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(audit.WithActor(r.Context(), audit.Actor{RequestID: "req-7"}))
	blobhttp.WriteError(rec, r, fs.ErrNotExist)
	a := answer{rec.Code, rec.Result().Header, rec.Body.String()}
	assert.Equal(t, "req-7", a.problem(t).RequestID)
}

func TestWriteErrorToHead(t *testing.T) {
	rec := httptest.NewRecorder()
	blobhttp.WriteError(rec, httptest.NewRequest("HEAD", "/", nil), fs.ErrNotExist)
	assert.Equal(t, 404, rec.Code)
	assert.Zero(t, rec.Body.Len())
}
