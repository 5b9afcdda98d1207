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
		{store("upload", blobstore.ErrInvalidKey), 400, blobhttp.CodeKey},
		{store("upload", io.ErrUnexpectedEOF), 400, blobhttp.CodeTruncated},
		{store("download", audit.ErrNoActor), 401, blobhttp.CodeUnauthenticated},
		{store("download", blobstore.ErrDenied), 403, blobhttp.CodeDenied},
		{signurl.ErrSignature, 403, blobhttp.CodeLink},
		{store("download", fs.ErrNotExist), 404, blobhttp.CodeNotFound},
		{signurl.ErrMethod, 405, blobhttp.CodeMethod},
		{store("download", blobstore.ErrNoBucket), 503, blobhttp.CodeUnavailable},
		{store("upload", blobstore.ErrPath), 501, blobhttp.CodeUnsupported},
		{store("upload", syscall.EDQUOT), 507, blobhttp.CodeNoSpace},
		{store("upload", io.ErrNoProgress), 400, blobhttp.CodeTruncated},
		{store("download", io.ErrNoProgress), 500, blobhttp.CodeInternal},
		{store("upload", fs.ErrExist), 409, blobhttp.CodeExists},
		{store("delete", blobstore.ErrReplaced), 409, blobhttp.CodeReplaced},
		{store("complete upload", blobstore.ErrBusy), 409, blobhttp.CodeBusy},
		{signurl.ErrExpired, 410, blobhttp.CodeExpired},
		{signurl.ErrRevoked, 410, blobhttp.CodeRevoked},
		{store("upload", blobstore.ErrTooLarge), 413, blobhttp.CodeTooLarge},
		{store("upload", &http.MaxBytesError{Limit: 1}), 413, blobhttp.CodeTooLarge},
		{store("upload", blobstore.ErrContentType), 415, blobhttp.CodeType},
		{store("download", blobstore.ErrRange), 416, blobhttp.CodeRange},
		{store("upload", blobstore.ErrChecksum), 422, blobhttp.CodeChecksum},
		{store("upload", signurl.ErrConstraint), 422, blobhttp.CodeConstraint},
		{store("download", blobstore.ErrChecksum), 500, blobhttp.CodeInternal},
		{store("download", io.ErrUnexpectedEOF), 500, blobhttp.CodeInternal},
		{store("download", fs.ErrPermission), 500, blobhttp.CodeInternal},
		{errors.New("secret"), 500, blobhttp.CodeInternal},
		{store("link", blobstore.ErrUnsupported), 501, blobhttp.CodeUnsupported},
		{store("upload", blobstore.ErrAudit), 503, blobhttp.CodeAudit},
		{store("upload", fmt.Errorf("%w; and %w", fs.ErrExist, blobstore.ErrAudit)), 503, blobhttp.CodeAudit},
		{store("upload", blobstore.ErrInDoubt), 503, blobhttp.CodeInDoubt},
		{store("upload", blobstore.ErrClosed), 503, blobhttp.CodeUnavailable},
		{store("upload", context.Canceled), 503, blobhttp.CodeUnavailable},
		{store("upload", context.DeadlineExceeded), 504, blobhttp.CodeTimeout},
		{store("upload", os.ErrDeadlineExceeded), 500, blobhttp.CodeInternal},
		{store("upload", syscall.ENOSPC), 507, blobhttp.CodeNoSpace},
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

// TestProblemOfTheHostWithoutAStatus holds that a mistake of the host is answered as one, and breaks no connection off.
func TestProblemWithExtensions(t *testing.T) {
	refused := func(extensions map[string]any) answer {
		return writeError(fmt.Errorf("saving: %w", &blobhttp.Problem{Status: 422, Code: "details", Title: "Incomplete", Extensions: extensions}))
	}
	a := refused(map[string]any{"found": map[string]string{"number": "7"}, "status": 200, "title": "Fine"})
	assert.Equal(t, 422, a.status)
	assert.JSONEq(t, `{"type":"about:blank","title":"Incomplete","status":422,"code":"details","found":{"number":"7"}}`, a.body)
	a = refused(map[string]any{"found": make(chan int)}) // what can't be encoded is left out
	assert.JSONEq(t, `{"type":"about:blank","title":"Incomplete","status":422,"code":"details"}`, a.body)
}

// A client that is told to come back is told when.
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

func TestProblemOfTheHostWithoutAStatus(t *testing.T) {
	for _, status := range []int{0, 99, 200, 304, 600, 1000} {
		a := writeError(&blobhttp.Problem{Status: status, Code: "quota", Title: "Too much"})
		assert.Equal(t, 500, a.status, status)
		assert.Equal(t, blobhttp.CodeInternal, a.problem(t).Code)
	}
	assert.Equal(t, 429, writeError(&blobhttp.Problem{Status: 429, Code: "quota", Title: "Too much"}).status)
}

// TestProblemTypesAreDocumented holds that the type of each problem is the address of a constant, and that the constants'
// comments say what is answered.
func TestProblemTypesAreDocumented(t *testing.T) {
	src, err := os.ReadFile("problem.go")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^\t(Code\w+) += "(\w+)" +// (\d+): `).FindAllStringSubmatch(string(src), -1)
	require.Len(t, found, len(blobhttp.Verdicts()))
	for _, f := range found {
		v, ok := blobhttp.Verdicts()[f[2]]
		require.True(t, ok, "%s is answered", f[1])
		assert.Equal(t, f[1], v.Constant)
		assert.Equal(t, f[3], fmt.Sprint(v.Status), f[1])
	}
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
