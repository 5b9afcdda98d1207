package blobhttp_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// host is an application with a store, its trail and a real server.
type host struct {
	t      *testing.T
	ctx    context.Context // of the user "alice"
	log    *audit.Memory
	store  *blobstore.Store
	signer *signurl.Signer
	url    string
	client *http.Client
	mux    *http.ServeMux
	errs   *errorLog
}

type setup struct {
	store string // URL; default mem://
	opts  blobstore.Options
	links blobhttp.LinksOptions
	wrap  func(http.Handler) http.Handler
	now   func() time.Time

	serve  func(*http.Server)              // modifies the server before it starts
	listen func(net.Listener) net.Listener // wraps the listener
}

// soon limits the wait of tests, so that they cannot hang.
const soon = time.Minute

func newHost(t *testing.T, s setup) *host {
	t.Helper()
	h := &host{t: t, log: new(audit.Memory), errs: new(errorLog)}
	h.ctx = audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})

	mux := http.NewServeMux()
	h.mux = mux
	var handler http.Handler = mux
	if s.wrap != nil {
		handler = s.wrap(mux)
	}
	srv := httptest.NewUnstartedServer(blobhttp.Heard(h.errs.add, handler))
	if s.serve != nil {
		s.serve(srv.Config)
	}
	if s.listen != nil {
		srv.Listener = s.listen(srv.Listener)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	h.url, h.client = srv.URL, srv.Client()

	var err error
	h.signer, err = signurl.New(srv.URL+"/files/", []signurl.Key{signurl.GenerateKey()}, &signurl.Options{Now: s.now})
	require.NoError(t, err)
	s.opts.Signer = h.signer
	if s.store == "" {
		s.store = "mem://"
	}
	h.store, err = blobstore.Open(h.ctx, s.store, h.log, &s.opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.store.Close(context.Background())) })
	mux.Handle("/files/", blobhttp.Links(h.store, &s.links))
	return h
}

// everyStore runs a test on each backend that needs no server.
func everyStore(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("mem", func(t *testing.T) { test(t, "mem://") })
	t.Run("local", func(t *testing.T) { test(t, "local://"+t.TempDir()) })
	t.Run("file", func(t *testing.T) { test(t, "file://"+t.TempDir()) })
}

func (h *host) put(key, content string, opts *blobstore.UploadOptions) *blobstore.Object {
	h.t.Helper()
	obj, err := h.store.Upload(h.ctx, key, strings.NewReader(content), opts)
	require.NoError(h.t, err)
	return obj
}

// link issues a link and returns its URL.
func (h *host) link(key string, opts *blobstore.LinkOptions) string {
	h.t.Helper()
	l, err := h.store.Link(h.ctx, key, opts)
	require.NoError(h.t, err)
	return l.URL()
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with headers in pairs of name and value.
func (h *host) do(method, url, body string, header ...string) answer {
	h.t.Helper()
	a, err := h.try(method, url, body, header...)
	require.NoError(h.t, err)
	return a
}

// try is like do, for goroutines other than that of the test.
func (h *host) try(method, url, body string, header ...string) (answer, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	req.Header.Set("Accept-Encoding", "identity")
	res, err := h.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

func (a answer) problem(t *testing.T) blobhttp.Problem {
	t.Helper()
	var p blobhttp.Problem
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &p))
	require.Equal(t, a.status, p.Status)
	return p
}

// trail returns the entries of some actions.
func (h *host) trail(actions ...audit.Action) []audit.Entry {
	h.t.Helper()
	var out []audit.Entry
	for e, err := range h.log.Entries(h.ctx, audit.Query{Actions: actions}) {
		require.NoError(h.t, err)
		out = append(out, e)
	}
	return out
}

// tamper changes one parameter of a signed URL.
func tamper(t *testing.T, link, name, value string) string {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// assertSecondsLeft checks the reported lifetime of a link that was issued
// after start.
func assertSecondsLeft(t *testing.T, start time.Time, expiry time.Duration, got int64) {
	t.Helper()
	assert.LessOrEqual(t, got, int64(expiry/time.Second))
	assert.GreaterOrEqual(t, got, int64((expiry-time.Since(start))/time.Second)-1, "links end on full seconds")
}

// errorLog collects reported errors.
type errorLog struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorLog) add(_ *http.Request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorLog) all() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.errs)
}

// newRequest returns a request of user "alice", for a handler without a server.
func newRequest(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	return r.WithContext(audit.WithActor(r.Context(), audit.Actor{UserID: "alice"}))
}

func record(h http.Handler, r *http.Request) answer {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Result().Header, rec.Body.String()}
}
