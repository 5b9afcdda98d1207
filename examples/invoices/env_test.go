package main

// This file implements a service on real sockets, for the other tests.

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/testlog"
	"github.com/blobtrail/blobtrail/signurl"
)

const invoicePDF = "../quickstart/testdata/invoice.pdf"

type vars = map[string]string

// running is a running service.
type running struct {
	*service
	t   testing.TB
	url string
	log *testlog.Buffer
}

// start starts a service with this environment, by default with local files and
// SQLite. It stops the service when the test ends.
func start(t testing.TB, more vars) *running {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e := vars{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"), "AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
		"LINK_BASE_URL": "http://" + l.Addr().String() + "/files/", "LINK_SIGNING_KEYS": signurl.GenerateKey().Encode(),
	}
	for k, v := range more {
		e[k] = v
	}
	cfg, err := config.LoadFrom(e)
	require.NoError(t, err)
	set := &settings{files: cfg}
	require.NoError(t, set.check())
	r := &running{t: t, url: "http://" + l.Addr().String(), log: new(testlog.Buffer)}
	r.service, err = open(t.Context(), set, testLogger(r.log))
	require.NoError(t, err)
	r.passwordCost, r.requestRate = bcrypt.MinCost, 1e6
	server := httptest.NewUnstartedServer(r.handler())
	require.NoError(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		require.NoError(t, r.close(ctx))
	})
	return r
}

// measured returns the metrics of the service in the Prometheus format.
func (r *running) measured() (counters []string) {
	r.t.Helper()
	server := httptest.NewServer(r.metrics.handler())
	defer server.Close()
	for _, line := range lines(do(r.t, "GET", server.URL+"/metrics", nil).body) {
		if strings.HasPrefix(line, "invoices_") && !strings.HasPrefix(line, "invoices_http_request_seconds") {
			counters = append(counters, line)
		}
	}
	return counters
}

// user is a signed-in client.
type user struct {
	*running
	email string
	tokens
}

const password = "a-good-password"

// user adds a user and signs in.
func (r *running) user(email, tenant string) *user {
	r.t.Helper()
	require.NoError(r.t, r.addUser(r.t.Context(), email, tenant, password))
	u := &user{running: r, email: email}
	_, t, err := r.login(r.t.Context(), email, password)
	require.NoError(r.t, err)
	u.tokens = *t
	return u
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

// do sends a request with headers in pairs of name and value, without following
// redirects.
func do(t testing.TB, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, string(b)}
}

func (u *user) do(method, path string, body any) answer {
	u.t.Helper()
	header := []string{"Authorization", "Bearer " + u.Access}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(u.t, err)
		r, header = bytes.NewReader(b), append(header, "Content-Type", "application/json")
	}
	return do(u.t, method, u.url+path, r, header...)
}

// send uploads content with those fields, in pairs of name and value.
func (u *user) send(path, filename, content string, fields ...string) answer {
	u.t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	for pair := range slices.Chunk(fields, 2) {
		require.NoError(u.t, mw.WriteField(pair[0], pair[1]))
	}
	w, err := mw.CreateFormFile("file", filename)
	require.NoError(u.t, err)
	_, err = io.WriteString(w, content)
	require.NoError(u.t, err)
	require.NoError(u.t, mw.Close())
	return do(u.t, "POST", u.url+path, &b, "Authorization", "Bearer "+u.Access, "Content-Type", mw.FormDataContentType())
}

// store stores an invoice.
func (u *user) store(number string) (i invoiceJSON) {
	u.t.Helper()
	a := u.send("/invoice/upload_file", number+".pdf", "%PDF-1.7\nof "+u.email+" "+number, "number", number, "date", "2026-11-02", "total", "12.50")
	require.Equal(u.t, 201, a.status, a.body)
	a.into(u.t, &i)
	return i
}

// ticket is a direct upload in progress.
type ticket struct {
	blobhttp.DirectTicket
	invoice string
}

// begin begins a direct upload of a PDF.
func (u *user) begin(number string, size int64) (t ticket) {
	u.t.Helper()
	a := u.do("POST", "/invoice/direct/begin", blobhttp.DirectBegin{
		Filename: number + ".pdf", ContentType: "application/pdf", Size: size, Fields: map[string]string{"number": number, "date": "2026-11-02", "total": "1"},
	})
	require.Equal(u.t, 201, a.status, a.body)
	a.into(u.t, &t.DirectTicket)
	t.invoice = strings.TrimPrefix(a.header.Get("Location"), "/invoice/")
	return t
}

func (u *user) complete(t ticket) answer {
	u.t.Helper()
	return u.do("POST", "/invoice/direct/complete", blobhttp.DirectEnd{ID: t.ID, Key: t.Key})
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

func testLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
