package fuzzform

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
)

// FuzzForm sends malformed and unusual forms to the handler.
func FuzzForm(f *testing.F) {
	const head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\n"
	for _, s := range []string{
		head + "0123\r\n--b--\r\n", head + "0123", head + "0123\r\n--b\r\n\r\nx\r\n--b--", "--b--", "", "--b\r\n\r\n\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=f; filename*=UTF-8''%e2%82%ac\r\n\r\nx\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"..\"\r\n\r\nx\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\x00b\"\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--",
	} {
		f.Add("multipart/form-data; boundary=b", s)
	}
	f.Add("multipart/mixed; boundary=b", head)
	f.Add(`multipart/form-data; boundary="b`, head)
	log := new(audit.Memory)
	store, err := blobstore.Open(context.Background(), "mem://", log, nil)
	if err != nil {
		f.Fatal(err)
	}
	var reported error
	f.Cleanup(func() { assert.NoError(f, store.Close(context.Background())) })
	h := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "alice", "", nil },
		OnError:  func(_ *http.Request, err error) { reported = err },
	})((&blobhttp.Intake{Store: store, MaxSize: 1 << 10}).Form(nil))
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest("POST", "/upload", strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		require.Zero(t, log.OpenIntents())
		switch {
		case rec.Code == http.StatusCreated:
			var got blobhttp.Uploaded
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got))
			require.NotEmpty(t, got.Files)
			for _, f := range got.Files {
				require.NoError(t, blobstore.CheckKey(f.Key))
			}
		case rec.Code >= 400 && rec.Code < 500:
			var p blobhttp.Problem
			require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"), rec.Body)
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p))
			require.Equal(t, rec.Code, p.Status)
		default:
			t.Fatalf("status %d: %v", rec.Code, reported)
		}
	})
}
