package tus_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp/tus"
)

type host struct {
	t     *testing.T
	log   *audit.Memory
	store *blobstore.Store
	tus   *tus.Handler
	dir   string // spool folder
	base  string
	errs  atomic.Int64
}

func newHost(t *testing.T, in blobhttp.Intake, origins ...string) *host {
	t.Helper()
	h := &host{t: t, log: new(audit.Memory), dir: t.TempDir()}
	var err error
	h.store, err = blobstore.Open(context.Background(), "local://"+t.TempDir(), h.log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.store.Close(context.Background())) })
	in.Store = h.store
	h.tus, err = tus.New(&in, h.dir, &tus.Options{AllowedOrigins: origins})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.tus.Close()) })
	srv := httptest.NewServer(blobhttp.Middleware(&blobhttp.MiddlewareOptions{OnError: func(*http.Request, error) { h.errs.Add(1) }})(asUser(h.tus)))
	t.Cleanup(srv.Close)
	h.base = srv.URL + "/uploads/"
	return h
}

func (h *host) create(content string, fields map[string]string) string {
	h.t.Helper()
	url, res, err := create(h.base, int64(len(content)), fields)
	require.NoError(h.t, err)
	require.Equal(h.t, 201, res.StatusCode)
	require.True(h.t, strings.HasPrefix(url, h.base), url)
	return url
}

func (h *host) send(url string, from int64, content string, header ...string) (*http.Response, string) {
	h.t.Helper()
	res, body, err := send(url, from, strings.NewReader(content), header...)
	require.NoError(h.t, err)
	return res, body
}

func (h *host) offset(url string, header ...string) int64 {
	h.t.Helper()
	n, _, err := offset(url, header...)
	require.NoError(h.t, err)
	return n
}

// objects returns all objects of the store.
func (h *host) objects() (out []*blobstore.Object) {
	h.t.Helper()
	for o, err := range h.store.List(alice, nil) {
		require.NoError(h.t, err)
		o, err = h.store.Stat(alice, o.Key)
		require.NoError(h.t, err)
		out = append(out, o)
	}
	return out
}

func (h *host) trail(actions ...audit.Action) (out []audit.Entry) {
	h.t.Helper()
	for e, err := range h.log.Entries(alice, audit.Query{Actions: actions}) {
		require.NoError(h.t, err)
		out = append(out, e)
	}
	return out
}

// spooled returns the files in the spool folder.
func (h *host) spooled() (names []string) {
	h.t.Helper()
	entries, err := os.ReadDir(h.dir)
	require.NoError(h.t, err)
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

const pdf = "%PDF-1.7 something"

func TestUploadInPieces(t *testing.T) {
	var saved []string
	h := newHost(t, blobhttp.Intake{
		Prefix: "in", MaxSize: 1000, AllowedTypes: []string{"application/pdf"},
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			f.Options.Resource = audit.Resource{Type: "invoice", ID: f.Fields.Get("invoice")}
			return nil
		},
		Save: func(_ context.Context, files []blobhttp.Stored) error {
			require.Nil(t, files[0].Staged, "it is stored for good")
			saved = append(saved, files[0].Object.Key)
			return nil
		},
	})
	url := h.create(pdf, map[string]string{"filename": "März.pdf", "invoice": "42"})
	assert.Zero(t, h.offset(url))
	for i, piece := range []string{pdf[:5], pdf[5:9], pdf[9:]} {
		at := []int64{0, 5, 9}[i]
		assert.Empty(t, h.objects(), "nothing can be read before it is complete")
		assert.Empty(t, h.trail())
		res, body := h.send(url, at, piece)
		require.Equal(t, 204, res.StatusCode, body)
		assert.Equal(t, strconv.Itoa(int(at)+len(piece)), res.Header.Get("Upload-Offset"))
	}
	objects := h.objects()
	require.Len(t, objects, 1)
	o := objects[0]
	sum := sha256.Sum256([]byte(pdf))
	assert.Equal(t, sum[:], o.SHA256)
	assert.Equal(t, "März.pdf", o.Filename)
	assert.Equal(t, "application/pdf", o.ContentType)
	assert.True(t, strings.HasPrefix(o.Key, "in/"), o.Key)
	assert.Equal(t, []string{o.Key}, saved)
	uploads := h.trail(audit.ActionUpload)
	require.Len(t, uploads, 1)
	assert.Equal(t, "alice", uploads[0].Actor.UserID)
	assert.Equal(t, audit.Resource{Type: "invoice", ID: "42"}, uploads[0].Resource)
	assert.Zero(t, h.log.OpenIntents())

	// A client that did not get the last response can ask again, but cannot
	// change the upload.
	assert.EqualValues(t, len(pdf), h.offset(url))
	res, _ := h.send(url, int64(len(pdf)), "")
	assert.Equal(t, 204, res.StatusCode)
	res, err := request("DELETE", url, nil)
	require.NoError(t, err)
	assert.Equal(t, 404, res.StatusCode)
	assert.Len(t, h.objects(), 1)
	assert.Len(t, h.spooled(), 1, "the note alone")
}

func TestUploadOfNothing(t *testing.T) {
	h := newHost(t, blobhttp.Intake{})
	url := h.create("", nil)
	assert.Len(t, h.objects(), 1)
	assert.Zero(t, h.offset(url))
}

func TestUploadThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		status  int
		code    string
	}{
		"not the type":    {"<!DOCTYPE html><script>", 415, "type"},
		"refused by host": {pdf + " evil", 403, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			var begun atomic.Bool
			h := newHost(t, blobhttp.Intake{
				AllowedTypes: []string{"application/pdf"},
				Prepare: func(_ context.Context, f *blobhttp.File) error {
					if begun.Swap(true) && f.Size > int64(len(pdf)) && c.status == 403 {
						return blobstore.ErrDenied
					}
					return nil
				},
			})
			url := h.create(c.content, nil)
			res, body := h.send(url, 0, c.content)
			require.Equal(t, c.status, res.StatusCode, body)
			var p blobhttp.Problem
			require.NoError(t, json.Unmarshal([]byte(body), &p))
			assert.Equal(t, c.code, p.Code)
			assert.EqualValues(t, -1, h.offset(url), "it is over")
			assert.Empty(t, h.spooled())
			assert.Empty(t, h.objects())
			assert.Zero(t, h.log.OpenIntents())
		})
	}
}

// Temporary refusals of the application do not remove the upload.
func TestRefusedForNow(t *testing.T) {
	for _, status := range []int{401, 408, 423, 425, 429} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var busy atomic.Bool
			h := newHost(t, blobhttp.Intake{Prepare: func(context.Context, *blobhttp.File) error {
				if busy.Load() {
					return &blobhttp.Problem{Status: status, Code: "busy", Title: "Not now"}
				}
				return nil
			}})
			url := h.create(pdf, nil)
			busy.Store(true)
			res, body := h.send(url, 0, pdf)
			require.Equal(t, status, res.StatusCode, body)
			busy.Store(false)
			assert.EqualValues(t, len(pdf), h.offset(url))
			assert.Len(t, h.objects(), 1)
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	h := newHost(t, blobhttp.Intake{MaxSize: 100, Prepare: func(_ context.Context, f *blobhttp.File) error {
		switch f.Filename {
		case "secret":
			return blobstore.ErrDenied
		case "climb":
			f.Key = "../secret"
		}
		return nil
	}})
	url := h.create(pdf, nil)
	for name, c := range map[string]struct {
		do     func() (*http.Response, error)
		status int
	}{
		"too large": {func() (*http.Response, error) { _, res, err := create(h.base, 101, nil); return res, err }, 413},
		"by the host": {func() (*http.Response, error) {
			_, res, err := create(h.base, 1, map[string]string{"filename": "secret"})
			return res, err
		}, 403},
		"a key": {func() (*http.Response, error) {
			_, res, err := create(h.base, 1, map[string]string{"filename": "climb"})
			return res, err
		}, 400},
		"nobody": {func() (*http.Response, error) {
			_, res, err := create(h.base, 1, nil, "User", "nobody")
			return res, err
		}, 401},
		"a stranger": {func() (*http.Response, error) { _, res, err := offset(url, "User", "mallory"); return res, err }, 404},
		"a stranger's": {func() (*http.Response, error) {
			res, _, err := send(url, 0, strings.NewReader("x"), "User", "mallory")
			return res, err
		}, 404},
		"another place": {func() (*http.Response, error) { res, _, err := send(url, 3, strings.NewReader("x")); return res, err }, 409},
		"reading it":    {func() (*http.Response, error) { return request("GET", url, nil) }, 405},
		"a page": {func() (*http.Response, error) {
			_, res, err := create(h.base, 1, nil, "Origin", "https://evil.example")
			return res, err
		}, 403},
		"a path":   {func() (*http.Response, error) { return request("HEAD", h.base+"..%2f..%2fetc%2fpasswd", nil) }, 404},
		"dots":     {func() (*http.Response, error) { return request("HEAD", h.base+strings.Repeat(".", 32), nil) }, 404},
		"the lock": {func() (*http.Response, error) { return request("DELETE", h.base+"lock", nil) }, 404},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := c.do()
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, c.status, res.StatusCode)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.NotContains(t, string(body), h.dir)
		})
	}
	assert.Zero(t, h.offset(url), "as it was")
	res, err := request("DELETE", url, nil)
	require.NoError(t, err)
	assert.Equal(t, 204, res.StatusCode)
	assert.Empty(t, h.spooled())
	assert.Empty(t, h.trail())
}

// TestRefusalsNameTheLimit checks that a refusal names the limit.
func TestRefusalsNameTheLimit(t *testing.T) {
	h := newHost(t, blobhttp.Intake{MaxSize: 100, AllowedTypes: []string{"application/pdf"}})
	detail := func(body string) string {
		var p blobhttp.Problem
		require.NoError(t, json.Unmarshal([]byte(body), &p), body)
		return p.Detail
	}
	_, res, err := create(h.base, 101, nil)
	require.NoError(t, err)
	require.Equal(t, 413, res.StatusCode)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "The limit is 100 bytes.", detail(string(body)))
	assert.Empty(t, h.spooled())

	res, answer := h.send(h.create("plain text", nil), 0, "plain text")
	require.Equal(t, 415, res.StatusCode)
	assert.Equal(t, "Files of this type are not allowed. Allowed types: application/pdf.", detail(answer))

	res, err = request("OPTIONS", h.base, nil)
	require.NoError(t, err)
	assert.Equal(t, "100", res.Header.Get("Tus-Max-Size"))
}

func TestPagesOfOtherOrigins(t *testing.T) {
	h := newHost(t, blobhttp.Intake{}, "https://app.example.com")
	res, err := request("OPTIONS", h.base, nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
	require.NoError(t, err)
	assert.Equal(t, 200, res.StatusCode)
	assert.Equal(t, "https://app.example.com", res.Header.Get("Access-Control-Allow-Origin"))
	_, res, err = create(h.base, 1, nil, "Origin", "https://app.example.com")
	require.NoError(t, err)
	assert.Equal(t, 201, res.StatusCode)
	_, res, err = create(h.base, 1, nil, "Origin", "https://app.example.com.evil.example")
	require.NoError(t, err)
	assert.Equal(t, 403, res.StatusCode)
	assert.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))

	// The page must be able to read the refusal. Otherwise it assumes a broken
	// connection and tries again.
	_, res, err = create(h.base, 1, nil, "Origin", "https://app.example.com", "User", "nobody")
	require.NoError(t, err)
	assert.Equal(t, 401, res.StatusCode)
	assert.Equal(t, "https://app.example.com", res.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, []string{"Origin"}, res.Header.Values("Vary"))
	res, err = request("HEAD", h.base+"none", nil, "Origin", "https://app.example.com")
	require.NoError(t, err)
	assert.Equal(t, 404, res.StatusCode)
	assert.Equal(t, "https://app.example.com", res.Header.Get("Access-Control-Allow-Origin"))
}

// TestStoringThatFails checks that a complete upload whose storing failed is
// stored when its client asks again.
func TestStoringThatFails(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	stored := 0
	h := newHost(t, blobhttp.Intake{
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			if down.Load() && len(f.Fields) > 0 {
				return errors.New("the database is down")
			}
			return nil
		},
		Save: func(context.Context, []blobhttp.Stored) error {
			if stored++; stored == 1 {
				return blobstore.ErrDenied // a final refusal, unless the object is stored already
			}
			return nil
		},
	})
	down.Store(false)
	url := h.create(pdf, map[string]string{"filename": "a.pdf"})
	down.Store(true)
	res, _ := h.send(url, 0, pdf)
	require.Equal(t, 500, res.StatusCode)
	assert.EqualValues(t, -1, h.offset(url), "not all is well yet")
	assert.Empty(t, h.objects())
	down.Store(false)
	assert.EqualValues(t, -1, h.offset(url), "it is stored, but not saved")
	assert.EqualValues(t, len(pdf), h.offset(url))
	assert.Len(t, h.objects(), 1)
	count := map[audit.Outcome]int{}
	for _, e := range h.trail(audit.ActionUpload) {
		count[e.Outcome]++
	}
	assert.Equal(t, 1, count[audit.OutcomeOK])
	assert.Zero(t, h.log.OpenIntents())
}

// TestStoredIsNotRefusedAfterwards checks that a stored file without a saved
// row is saved when its client asks again, even if the application would now
// refuse a new upload, for example because of a quota.
func TestStoredIsNotRefusedAfterwards(t *testing.T) {
	var stored *blobstore.Object
	saved := 0
	h := newHost(t, blobhttp.Intake{
		Prepare: func(context.Context, *blobhttp.File) error {
			if stored != nil {
				return blobstore.ErrDenied
			}
			return nil
		},
		Save: func(_ context.Context, files []blobhttp.Stored) error {
			obj := files[0].Object
			if stored == nil {
				stored = obj
				return errors.New("the database is down")
			}
			assert.Equal(t, stored.Key, obj.Key)
			saved++
			return nil
		},
	})
	url := h.create(pdf, nil)
	res, _ := h.send(url, 0, pdf)
	require.Equal(t, 500, res.StatusCode)
	require.Len(t, h.objects(), 1)
	assert.EqualValues(t, len(pdf), h.offset(url))
	assert.Equal(t, 1, saved)
	assert.Len(t, h.objects(), 1)
}

func TestSweep(t *testing.T) {
	h := newHost(t, blobhttp.Intake{Expiry: time.Hour})
	url := h.create(pdf, nil)
	done := h.create(pdf, nil)
	h.send(done, 0, pdf)
	h.send(url, 0, pdf[:5])
	n, err := h.tus.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)

	// Open the same folder with a shorter expiry.
	require.NoError(t, h.tus.Close())
	h2 := &host{t: t, dir: h.dir}
	h2.tus, err = tus.New(&blobhttp.Intake{Store: h.store, Expiry: time.Nanosecond}, h.dir, nil)
	require.NoError(t, err)
	defer h2.tus.Close()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("HEAD", url, nil)
	h2.tus.ServeHTTP(rec, r.WithContext(alice))
	assert.Equal(t, 404, rec.Code, "its time is over")
	n, err = h2.tus.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Empty(t, h.spooled())
	assert.Len(t, h.objects(), 1, "what is stored stays")
	h.tus, err = tus.New(&blobhttp.Intake{Store: h.store}, t.TempDir(), nil) // closed by the cleanup
	require.NoError(t, err)
}

// TestSweepLeavesRunningRequestsAlone checks that a sweep interrupts no
// request, even if the upload has expired.
func TestSweepLeavesRunningRequestsAlone(t *testing.T) {
	for name, expired := range map[string]bool{"in time": false, "too late": true} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, blobhttp.Intake{Expiry: time.Hour})
			url := h.create(pdf, nil)
			file := h.dir + "/" + url[strings.LastIndex(url, "/")+1:]
			body, feed := io.Pipe()
			type result struct {
				status int
				body   string
				err    error
			}
			sent := make(chan result, 1)
			go func() {
				res, answer, err := send(url, 0, body)
				if err != nil {
					sent <- result{err: err}
					return
				}
				sent <- result{res.StatusCode, answer, nil}
			}()
			_, err := io.WriteString(feed, pdf[:5])
			require.NoError(t, err)
			until(t, "it has begun to come", func() bool { return size(file) == 5 })
			if expired {
				note, err := os.ReadFile(file + ".json")
				require.NoError(t, err)
				var fields map[string]any
				require.NoError(t, json.Unmarshal(note, &fields))
				fields["begun"] = time.Now().Add(-2 * time.Hour)
				note, err = json.Marshal(fields)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(file+".json", note, 0o600))
			}
			n, err := h.tus.Sweep(t.Context())
			require.NoError(t, err)
			assert.Zero(t, n)
			_, err = io.WriteString(feed, pdf[5:])
			require.NoError(t, err)
			require.NoError(t, feed.Close())
			got := <-sent
			require.NoError(t, got.err)
			assert.Equal(t, 204, got.status, got.body)
			assert.Len(t, h.objects(), 1)
		})
	}
}

// TestSweepRemovesLeftoversOfKilledProcesses sweeps incompletely created or
// removed uploads.
func TestSweepRemovesLeftoversOfKilledProcesses(t *testing.T) {
	h := newHost(t, blobhttp.Intake{Expiry: time.Hour})
	id := func(c string) string { return strings.Repeat(c, 32) }
	old, fresh := []string{id("a"), id("b") + ".json.new", id("c") + ".json"}, []string{id("d"), id("e") + ".json.new"}
	foreign := "notes.txt"
	for _, name := range append(append([]string{foreign}, old...), fresh...) {
		require.NoError(t, os.WriteFile(h.dir+"/"+name, []byte(`{"begun":"2020-01-01T00:00:00Z"}`), 0o600))
		past := time.Now().Add(-2 * time.Hour)
		if name[0] != 'd' && name[0] != 'e' {
			require.NoError(t, os.Chtimes(h.dir+"/"+name, past, past))
		}
	}
	url := h.create(pdf, nil)
	n, err := h.tus.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, len(old), n)
	left := append(fresh, foreign, url[strings.LastIndex(url, "/")+1:], url[strings.LastIndex(url, "/")+1:]+".json")
	assert.ElementsMatch(t, left, h.spooled(), "what may just be made stays, and what is not of uploads")
}

func TestNewRefuses(t *testing.T) {
	h := newHost(t, blobhttp.Intake{})
	_, err := tus.New(nil, t.TempDir(), nil)
	require.Error(t, err)
	_, err = tus.New(new(blobhttp.Intake), t.TempDir(), nil)
	require.Error(t, err)
	_, err = tus.New(&blobhttp.Intake{Store: h.store, Link: new(blobstore.LinkOptions)}, t.TempDir(), nil)
	require.ErrorContains(t, err, "Link", "there is no response to put it into")
	_, err = tus.New(&blobhttp.Intake{Store: h.store}, t.TempDir(), &tus.Options{BasePath: "uploads"})
	require.Error(t, err)
	_, err = tus.New(&blobhttp.Intake{Store: h.store}, t.TempDir(), &tus.Options{AllowedOrigins: []string{"app.example.com"}})
	require.Error(t, err)
	_, err = tus.New(&blobhttp.Intake{Store: h.store}, h.dir, nil)
	require.ErrorContains(t, err, "in use")
}

// content is 8 MiB of random data.
func content() []byte {
	b := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, time.Minute, 5*time.Millisecond, what)
}

func size(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return fi.Size()
}

// TestClientIsKilledAndResumes kills a client during its upload. The next
// client resumes at the same offset.
func TestClientIsKilledAndResumes(t *testing.T) {
	h := newHost(t, blobhttp.Intake{})
	all := content()
	half := int64(len(all) / 2)
	url, _, err := create(h.base, int64(len(all)), map[string]string{"filename": "a.bin"})
	require.NoError(t, err)
	file := h.dir + "/" + url[strings.LastIndex(url, "/")+1:]

	c := startChild(t, "client", url)
	require.Equal(t, "0", c.line(t))
	_, err = c.in.Write(all[:half])
	require.NoError(t, err)
	// Pipes and buffers hold less than 1 MiB.
	until(t, "half of it has come", func() bool { return size(file) >= half-1<<20 })
	c.kill()
	assert.Empty(t, h.objects())

	c = startChild(t, "client", url)
	from, err := strconv.ParseInt(c.line(t), 10, 64)
	require.NoError(t, err)
	t.Logf("killed after %d of %d bytes", from, len(all))
	require.GreaterOrEqual(t, from, half-1<<20)
	require.LessOrEqual(t, from, half)
	_, err = io.Copy(c.in, bytes.NewReader(all[from:]))
	require.NoError(t, err)
	require.NoError(t, c.in.Close())
	require.Equal(t, "204", c.line(t))
	h.holds(all)
}

// holds checks that the store has one object with this content, and that the
// trail has one upload.
func (h *host) holds(all []byte) {
	h.t.Helper()
	objects := h.objects()
	require.Len(h.t, objects, 1)
	sum := sha256.Sum256(all)
	require.Equal(h.t, sum[:], objects[0].SHA256)
	uploads := h.trail(audit.ActionUpload)
	require.Len(h.t, uploads, 1)
	require.Equal(h.t, audit.OutcomeOK, uploads[0].Outcome)
	require.Zero(h.t, h.log.OpenIntents())
}

// TestServerIsKilledAndResumes kills the server during an upload. The next
// server resumes at the same offset.
func TestServerIsKilledAndResumes(t *testing.T) {
	dir := t.TempDir()
	all := content()
	half := int64(len(all) / 2)
	srv := startChild(t, "server", dir)
	addr := srv.line(t)
	url, _, err := create("http://"+addr+"/uploads/", int64(len(all)), map[string]string{"filename": "a.bin"})
	require.NoError(t, err)
	file := dir + "/spool/" + url[strings.LastIndex(url, "/")+1:]

	sending := make(chan error, 1)
	body, feed := io.Pipe()
	go func() {
		_, _, err := send(url, 0, body)
		sending <- err
	}()
	_, err = feed.Write(all[:half])
	require.NoError(t, err)
	until(t, "half of it has come", func() bool { return size(file) >= half-1<<20 })
	srv.kill()
	require.NoError(t, feed.CloseWithError(io.ErrUnexpectedEOF))
	require.Error(t, <-sending)

	// Use a new address, because another program may use the old one by now.
	srv = startChild(t, "server", dir)
	url = strings.Replace(url, addr, srv.line(t), 1)
	from, _, err := offset(url)
	require.NoError(t, err)
	t.Logf("killed after %d of %d bytes", from, len(all))
	require.GreaterOrEqual(t, from, half-1<<20)
	res, answer, err := send(url, from, bytes.NewReader(all[from:]))
	require.NoError(t, err)
	require.Equal(t, 204, res.StatusCode, answer)
	srv.kill()

	// The file and an intact trail remain.
	journal, err := openJournal(t.Context(), dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, journal.Close(context.Background())) }()
	uploads := 0
	for e, err := range journal.Entries(t.Context(), audit.Query{Actions: []audit.Action{audit.ActionUpload}}) {
		require.NoError(t, err)
		require.Equal(t, audit.OutcomeOK, e.Outcome)
		sum := sha256.Sum256(all)
		require.Equal(t, sum[:], e.SHA256)
		stored, err := os.ReadFile(dir + "/files/" + e.Key)
		require.NoError(t, err)
		require.True(t, bytes.Equal(all, stored))
		uploads++
	}
	require.Equal(t, 1, uploads)
}
