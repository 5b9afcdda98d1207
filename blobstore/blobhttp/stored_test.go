package blobhttp_test

// This file tests unusual objects, and a store that is unavailable.

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

func TestEncodedObjectIsServedAsItIsStored(t *testing.T) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, err := zw.Write(bytes.Repeat([]byte("decoded "), 2000))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	stored := packed.Bytes()
	size := strconv.Itoa(len(stored))

	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	store, err := blobstore.Open(ctx, "local://"+filepath.ToSlash(t.TempDir()), &audit.Memory{}, nil)
	require.NoError(t, err)
	defer store.Close(context.Background())
	_, err = store.Upload(ctx, "a", bytes.NewReader(stored), &blobstore.UploadOptions{ContentType: "text/plain", ContentEncoding: "gzip"})
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blobhttp.Deliver(w, r.WithContext(audit.WithActor(r.Context(), audit.Actor{UserID: "anna"})), store, "a", nil)
	}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	for _, c := range []struct {
		method, ranges string
		status         int
		body           []byte
		length         string
	}{
		{"GET", "", 200, stored, size},
		{"HEAD", "", 200, nil, size},
		{"GET", "bytes=3-9", 206, stored[3:10], "7"},
		{"GET", "bytes=-5", 206, stored[len(stored)-5:], "5"},
		{"GET", "bytes=9999999-", 416, nil, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL, nil)
		require.NoError(t, err)
		if c.ranges != "" {
			req.Header.Set("Range", c.ranges)
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.status, resp.StatusCode)
		if c.status == 416 {
			require.Empty(t, resp.Header.Get("Content-Encoding"), "of the problem, not of the object")
			continue
		}
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
		require.Equal(t, c.length, resp.Header.Get("Content-Length"))
		require.True(t, bytes.Equal(c.body, body))
	}
	resp, err := http.Get(srv.URL) // decodes the content like a browser
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("decoded ", 2000), string(body))
}

// The operator must restore a missing folder; the client cannot.
func TestMissingFolderIsUnavailable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	require.NoError(t, os.Mkdir(dir, 0o700))
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	store, err := blobstore.Open(ctx, "local://"+filepath.ToSlash(dir), &audit.Memory{}, nil)
	require.NoError(t, err)
	defer store.Close(context.Background())
	_, err = store.Upload(ctx, "a", strings.NewReader("x"), nil)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	var reported []error
	onError := func(_ *http.Request, err error) { reported = append(reported, err) }
	for name, h := range map[string]http.Handler{
		"deliver": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			blobhttp.Deliver(w, r, store, "a", nil)
		}),
		"upload": (&blobhttp.Intake{Store: store}).Form(nil),
	} {
		reported = nil
		method, body, contentType := "GET", "", ""
		if name == "upload" {
			method, contentType = "POST", "multipart/form-data; boundary=b"
			body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nx\r\n--b--\r\n"
		}
		req := httptest.NewRequest(method, "/", strings.NewReader(body)).WithContext(ctx)
		req.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		blobhttp.Heard(onError, h).ServeHTTP(rec, req)
		require.Equal(t, 503, rec.Code, fmt.Sprint(name, rec.Body))
		require.NotEmpty(t, rec.Header().Get("Retry-After"), name)
		require.NotContains(t, rec.Body.String(), dir)
		require.Len(t, reported, 1, name)
		require.ErrorIs(t, reported[0], blobstore.ErrNoBucket)
	}
}
