package storetest

// This file implements the cases of uploads: the stored object, and failed
// uploads.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func uploadCases() []testCase {
	cases := []testCase{
		{"content in small pieces, the last with io.EOF, MUST be stored unchanged", func(e *env) {
			data := content(100_001)
			_, err := e.store.Upload(e.ctx, e.key("a"), &small{data, 777}, nil)
			require.NoError(e, err)
			assert.True(e, bytes.Equal(data, e.get(e.key("a"))))
		}},
		{"a stream of 32 MiB MUST need only a bounded heap", streaming},
		{"the type MUST be detected from the content", func(e *env) {
			obj := e.put(e.key("a"), []byte("%PDF-1.7\n%âãÏÓ\n1 0 obj"), nil)
			assert.Equal(e, "application/pdf", obj.ContentType)
			assert.Equal(e, "application/pdf", e.stat(e.key("a")).ContentType)
		}},
		{"a declared type MUST be stored in the same form on every backend", func(e *env) {
			obj := e.put(e.key("a"), []byte("%PDF-1.7"), &blobstore.UploadOptions{ContentType: "TEXT/Plain;Charset=UTF-8"})
			assert.Equal(e, "text/plain; charset=UTF-8", obj.ContentType)
			assert.Equal(e, "text/plain; charset=UTF-8", e.stat(e.key("a")).ContentType)
		}},
		{"an allowed type MUST be accepted, including by wildcard and by a more general type", func(e *env) {
			docx := append([]byte("PK\x03\x04"), make([]byte, 200)...)
			for i, types := range [][]string{{"application/zip"}, {"application/*"}, {"*/*"}, {"image/png", "Application/ZIP"}} {
				e.put(e.key(fmt.Sprint("a", i)), docx, &blobstore.UploadOptions{AllowedTypes: types})
			}
		}},
		{"metadata MUST be returned with lowercase names and unchanged values", func(e *env) {
			meta := map[string]string{"Project": "alpha", "x-long_name.1": "größer; \"quoted\" = 100 % 日本語 \U0001F4C4", "empty": ""}
			obj := e.put(e.key("a"), nil, &blobstore.UploadOptions{Metadata: meta})
			want := map[string]string{"project": "alpha", "x-long_name.1": meta["x-long_name.1"], "empty": ""}
			assert.Equal(e, want, e.stat(e.key("a")).Metadata)
			assert.Equal(e, want, obj.Metadata, "of the object that Upload returned")
			assert.Len(e, meta, 3, "the caller's map")
		}},
		{"the size of metadata MUST be the same on every backend, and the file name MUST be truncated if necessary", func(e *env) {
			// Each of these characters takes six bytes on the backend with the
			// smallest limit.
			fits := map[string]string{"note": strings.Repeat("ä", 300)}
			name := strings.Repeat("ö", 100) + ".pdf"
			e.put(e.key("a"), nil, &blobstore.UploadOptions{Metadata: fits, Filename: name})
			is := e.stat(e.key("a"))
			assert.Equal(e, fits, is.Metadata)
			assert.Empty(e, is.Filename)
			e.put(e.key("b"), nil, &blobstore.UploadOptions{Metadata: map[string]string{"note": strings.Repeat("ä", 280)}, Filename: name})
			assert.Equal(e, strings.Repeat("ö", 20), e.stat(e.key("b")).Filename)
			e.put(e.key("c"), nil, &blobstore.UploadOptions{Filename: name, SHA256: sum(nil)})
			assert.Equal(e, name, e.stat(e.key("c")).Filename)
			_, err := e.store.Upload(e.ctx, e.key("d"), strings.NewReader("x"), &blobstore.UploadOptions{Metadata: map[string]string{"note": strings.Repeat("ä", 310)}})
			e.isError(err, "upload", e.key("d"), blobstore.ErrTooLarge)
			many := map[string]string{}
			for i := range 140 {
				many[fmt.Sprint("n", i)] = ""
			}
			_, err = e.store.Upload(e.ctx, e.key("d"), strings.NewReader("x"), &blobstore.UploadOptions{Metadata: many})
			e.isError(err, "upload", e.key("d"), blobstore.ErrTooLarge)
			e.has("a", "b", "c")
		}},
		{"metadata that cannot be stored MUST be refused without any effect", func(e *env) {
			for name, meta := range map[string]map[string]string{
				"reserved":              {"blobtrailop": "x"},
				"reserved, other case":  {"BlobTrailSHA256": "x"},
				"empty name":            {"": "x"},
				"same but for the case": {"a": "1", "A": "2"},
				"name is not UTF-8":     {"a\xff": "1"},
				"value is not UTF-8":    {"a": "\xff"},
				"too much":              {"a": strings.Repeat("x", 2049)},
			} {
				added := e.since(func() {
					_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Metadata: meta})
					require.Error(e, err, name)
					e.isError(err, "upload", e.key("a"))
					assert.Contains(e, err.Error(), "metadata", name)
				})
				assert.Empty(e, added, name)
			}
			e.has()
		}},
		{"an invalid type MUST be refused without any effect", func(e *env) {
			added := e.since(func() {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{ContentType: "text plain/\n"})
				e.isError(err, "upload", e.key("a"))
				assert.Contains(e, err.Error(), "content type")
			})
			assert.Empty(e, added)
			e.has()
		}},
		{"any original name MUST be returned unchanged", func(e *env) {
			for i, name := range []string{"Rechnung März.pdf", `..\..\a "b" %00.txt`, "a/b\nc", "\u202egnp.exe", strings.Repeat("ä", 127)} {
				key := e.key(fmt.Sprint("a", i))
				obj := e.put(key, nil, &blobstore.UploadOptions{Filename: name})
				assert.Equal(e, name, e.stat(key).Filename)
				assert.Equal(e, name, obj.Filename)
			}
		}},
		{"an original name that is too long or not UTF-8 MUST be truncated or converted", func(e *env) {
			obj := e.put(e.key("a"), nil, &blobstore.UploadOptions{Filename: "xx" + strings.Repeat("ä", 600)})
			is := e.stat(e.key("a")).Filename
			assert.Equal(e, "xx"+strings.Repeat("ä", 126), is)
			assert.Equal(e, is, obj.Filename)
			e.put(e.key("b"), nil, &blobstore.UploadOptions{Filename: "a\xffb"})
			assert.Equal(e, "a\uFFFDb", e.stat(e.key("b")).Filename)
		}},
		{"the result of Upload MUST agree with Stat", func(e *env) {
			data := content(5000)
			obj := e.put(e.key("a"), data, rich(false))
			is := e.stat(e.key("a"))
			assert.NotEmpty(e, is.ETag)
			assert.NotEmpty(e, obj.OpID)
			if e.can().KeepsSHA256 {
				assert.Equal(e, sum(data), is.SHA256)
			}
			obj.ETag, obj.ModTime, obj.SHA256 = is.ETag, is.ModTime, is.SHA256
			assert.Equal(e, obj, is)
		}},
		{"a digest given in advance MUST be stored with the object", func(e *env) {
			data := content(100)
			e.put(e.key("a"), data, &blobstore.UploadOptions{SHA256: sum(data), Size: 100})
			assert.Equal(e, sum(data), e.stat(e.key("a")).SHA256)
		}},
		{"the digest of a stream MUST be stored with the object", func(e *env) {
			e.need(e.can().KeepsSHA256, "KeepsSHA256")
			data := content(3 * mib)
			e.put(e.key("a"), data, nil)
			assert.Equal(e, sum(data), e.stat(e.key("a")).SHA256)
		}},
		{"an upload exactly at its limits MUST be accepted", func(e *env) {
			data := content(5000)
			s := e.open(&blobstore.Options{MaxSize: 5000})
			_, err := s.Upload(e.ctx, e.key("a"), bytes.NewReader(data), &blobstore.UploadOptions{MaxSize: 5000, Size: 5000, SHA256: sum(data)})
			require.NoError(e, err)
			e.has("a")
		}},
		{"an upload MUST NOT replace an object without Overwrite", func(e *env) {
			old := content(1000)
			e.put(e.key("a"), old, rich(false))
			was := e.stat(e.key("a"))
			entry := e.one(func() {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("new"), nil)
				e.isError(err, "upload", e.key("a"), fs.ErrExist)
			})
			assert.Equal(e, audit.OutcomeFailed, entry.Outcome)
			assert.Equal(e, "exists", entry.ErrorCode)
			e.same(was, old)
		}},
		{"overwriting MUST replace content, type, name and metadata", func(e *env) {
			e.put(e.key("a"), content(3000), rich(false))
			before := e.stat(e.key("a"))
			e.put(e.key("a"), []byte("new"), &blobstore.UploadOptions{Overwrite: true, ContentType: "text/plain", Metadata: map[string]string{"only": "this"}})
			is := e.stat(e.key("a"))
			assert.Equal(e, "new", string(e.get(e.key("a"))))
			assert.Equal(e, int64(3), is.Size)
			assert.Equal(e, "text/plain", is.ContentType)
			assert.Empty(e, is.Filename)
			assert.Empty(e, is.CacheControl)
			assert.Equal(e, map[string]string{"only": "this"}, is.Metadata)
			assert.NotEqual(e, before.ETag, is.ETag)
			assert.NotEqual(e, before.OpID, is.OpID)
			e.has("a")
		}},
		{"overwriting MUST work if the object does not exist", func(e *env) {
			e.put(e.key("a"), []byte("x"), &blobstore.UploadOptions{Overwrite: true})
			e.has("a")
		}},
		{"of many concurrent create-only uploads exactly one MUST succeed", createRace},
		{"a nil reader and a negative size MUST be refused", func(e *env) {
			_, err := e.store.Upload(e.ctx, e.key("a"), nil, nil)
			e.isError(err, "upload", e.key("a"))
			_, err = e.store.Upload(e.ctx, e.key("a"), strings.NewReader(""), &blobstore.UploadOptions{Size: -1})
			e.isError(err, "upload", e.key("a"))
			_, err = e.store.Upload(e.ctx, e.key("a"), strings.NewReader(""), &blobstore.UploadOptions{MaxSize: -1})
			e.isError(err, "upload", e.key("a"))
			e.has()
		}},
	}
	for _, size := range []int{0, 1, 3071, 3072, 3073, 64 * kib, mib + 4097} {
		cases = append(cases, testCase{fmt.Sprintf("an object of %d bytes MUST come back as it was", size), func(e *env) {
			data := content(size)
			obj := e.put(e.key("a"), data, nil)
			assert.Equal(e, int64(size), obj.Size)
			assert.Equal(e, sum(data), obj.SHA256)
			assert.True(e, bytes.Equal(data, e.get(e.key("a"))), "content")
			assert.Equal(e, int64(size), e.stat(e.key("a")).Size)
			e.has("a")
		}})
	}
	return cases
}

// heapPeak is a reader or writer that measures the peak of the heap.
type heapPeak struct {
	every, n int
	peak     uint64
}

func (h *heapPeak) saw(n int) {
	if h.n += n; h.n >= h.every {
		h.n = 0
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.peak = max(h.peak, m.HeapAlloc)
	}
}

func (h *heapPeak) Write(p []byte) (int, error) {
	h.saw(len(p))
	return len(p), nil
}

func streaming(e *env) {
	const size = 32 * mib
	limit := e.h.HeapLimit
	if limit == 0 {
		limit = 24 * mib
	}
	// Collect garbage early, so that the peak counts only memory in use.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	peak := &heapPeak{every: mib}
	obj, err := e.store.Upload(e.ctx, e.key("a"), io.TeeReader(&failing{size, io.EOF}, peak), nil)
	require.NoError(e, err)
	require.Equal(e, int64(size), obj.Size)
	up := int64(peak.peak) - int64(before.HeapAlloc)

	r, err := e.store.Download(e.ctx, e.key("a"), nil)
	require.NoError(e, err)
	n, err := io.Copy(peak, r)
	require.NoError(e, err)
	require.NoError(e, r.Close())
	require.Equal(e, int64(size), n)
	both := int64(peak.peak) - int64(before.HeapAlloc)
	e.Logf("the heap grew by %d KiB while uploading, %d KiB in all", up/kib, both/kib)
	assert.Less(e, both, limit, "growth of the heap in bytes")
}

func createRace(e *env) {
	if _, ok := e.bucket.(provider.Observer); ok {
		require.NoError(e, e.store.Check(e.ctx)) // Capabilities are certain only after a Check
	}
	e.need(e.can().ExactCreate, "ExactCreate")
	const writers = 12
	for round := range 5 {
		key := e.key(fmt.Sprint("race", round))
		var (
			wg   sync.WaitGroup
			wins atomic.Int32
			won  atomic.Int32
			gate = make(chan struct{})
		)
		for i := range writers {
			wg.Go(func() {
				<-gate
				_, err := e.store.Upload(e.ctx, key, strings.NewReader(strings.Repeat("x", i+1)), &blobstore.UploadOptions{
					Metadata: map[string]string{"writer": fmt.Sprint(i)},
				})
				if err == nil {
					wins.Add(1)
					won.Store(int32(i))
				} else {
					assert.ErrorIs(e, err, fs.ErrExist)
				}
			})
		}
		close(gate)
		wg.Wait()
		require.Equal(e, int32(1), wins.Load(), "winners")
		is := e.stat(key)
		assert.Equal(e, fmt.Sprint(won.Load()), is.Metadata["writer"], "the winner's metadata")
		assert.Equal(e, int64(won.Load()+1), is.Size, "the winner's content")
	}
	e.settled()
}

// failedUpload is one way for an upload to fail.
type failedUpload struct {
	name string
	// prepare returns the arguments of the upload. A nil store means the case's
	// own.
	prepare func(e *env) (ctx context.Context, s *blobstore.Store, r io.Reader, opts blobstore.UploadOptions)
	want    []error
	code    string        // in the trail
	outcome audit.Outcome // "" means failed
	silent  bool          // whether no entry is recorded
}

func failedUploadCases() []testCase {
	body := func(n int, err error) func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
		return func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			return e.ctx, nil, &failing{n, err}, blobstore.UploadOptions{}
		}
	}
	idle := func(n int) func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
		return body(n, nil) // then returns neither bytes nor an error
	}
	options := func(n int, o blobstore.UploadOptions) func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
		return func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			return e.ctx, nil, &failing{n, io.EOF}, o
		}
	}
	html := "<!DOCTYPE html><html><script>alert(1)</script></html>"
	text := func(o blobstore.UploadOptions) func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
		return func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			return e.ctx, nil, strings.NewReader(html), o
		}
	}
	denied := errors.New("not yours")
	ways := []failedUpload{
		{name: "whose reader fails at once", prepare: body(0, errReader), want: []error{errReader}, code: "error"},
		{name: "whose reader fails midway", prepare: body(mib, errReader), want: []error{errReader}, code: "error"},
		{name: "whose reader fails late", prepare: body(9*mib, errReader), want: []error{errReader}, code: "error"},
		{name: "whose reader fails after its last byte", prepare: body(5000, errReader), want: []error{errReader}, code: "error"},
		{name: "whose reader is cut off early (io.ErrUnexpectedEOF)", prepare: body(100, io.ErrUnexpectedEOF), want: []error{io.ErrUnexpectedEOF}, code: "truncated"},
		{name: "whose reader is cut off late (io.ErrUnexpectedEOF)", prepare: body(mib, io.ErrUnexpectedEOF), want: []error{io.ErrUnexpectedEOF}, code: "truncated"},
		{name: "whose reader fails with an error that wraps io.EOF", prepare: body(mib, fmt.Errorf("connection: %w", io.EOF)), want: []error{io.EOF}, code: "error"},
		{name: "whose reader returns nothing from the start", prepare: idle(0), want: []error{io.ErrNoProgress}, code: "error"},
		{name: "whose reader returns nothing after its first bytes", prepare: idle(3 << 10), want: []error{io.ErrNoProgress}, code: "error"},
		{name: "whose reader returns nothing late in the upload", prepare: idle(9 * mib), want: []error{io.ErrNoProgress}, code: "error"},
		{name: "whose context is canceled in advance", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			return ctx, nil, &failing{5000, io.EOF}, blobstore.UploadOptions{}
		}, want: []error{context.Canceled}, silent: true},
		{name: "whose context is canceled midway", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			ctx, cancel := context.WithCancel(e.ctx)
			e.Cleanup(cancel)
			return ctx, nil, &canceling{n: mib, cancel: cancel}, blobstore.UploadOptions{}
		}, want: []error{context.Canceled}, code: "canceled"},
		{name: "whose context is canceled with a cause", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			ctx, cancel := context.WithCancelCause(e.ctx)
			return ctx, nil, &canceling{n: mib, cancel: func() { cancel(errReader) }}, blobstore.UploadOptions{}
		}, want: []error{context.Canceled, errReader}, code: "canceled"},
		{name: "whose deadline passes", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			ctx := e.deadline()
			return ctx, nil, &canceling{n: mib, cancel: ctx.pass}, blobstore.UploadOptions{}
		}, want: []error{context.DeadlineExceeded}, code: "deadline"},
		{name: "that is longer than its MaxSize", prepare: options(mib+1, blobstore.UploadOptions{MaxSize: mib}), want: []error{blobstore.ErrTooLarge}, code: "too_large"},
		{name: "that is longer than the store's MaxSize", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			return e.ctx, e.open(&blobstore.Options{MaxSize: 5000}), &failing{5001, io.EOF}, blobstore.UploadOptions{MaxSize: mib}
		}, want: []error{blobstore.ErrTooLarge}, code: "too_large"},
		{name: "whose announced size exceeds its MaxSize", prepare: options(10, blobstore.UploadOptions{Size: 11, MaxSize: 10}), want: []error{blobstore.ErrTooLarge}, silent: true},
		{name: "that is longer than announced", prepare: options(mib+1, blobstore.UploadOptions{Size: mib}), want: []error{blobstore.ErrTooLarge}, code: "too_large"},
		{name: "that is shorter than announced", prepare: options(mib-1, blobstore.UploadOptions{Size: mib}), want: []error{io.ErrUnexpectedEOF}, code: "truncated"},
		{name: "that is empty but announced", prepare: options(0, blobstore.UploadOptions{Size: 1}), want: []error{io.ErrUnexpectedEOF}, code: "truncated"},
		{name: "with a different SHA-256", prepare: options(mib, blobstore.UploadOptions{SHA256: sum(nil)}), want: []error{blobstore.ErrChecksum}, code: "checksum"},
		{name: "with a different SHA-256 and the correct size", prepare: options(5000, blobstore.UploadOptions{SHA256: sum(nil), Size: 5000}), want: []error{blobstore.ErrChecksum}, code: "checksum"},
		{name: "with a SHA-256 of 31 bytes", prepare: options(10, blobstore.UploadOptions{SHA256: make([]byte, 31)}), want: []error{blobstore.ErrChecksum}, silent: true},
		{name: "whose detected type is not allowed", prepare: text(blobstore.UploadOptions{AllowedTypes: []string{"application/pdf", "image/*"}}), want: []error{blobstore.ErrContentType}, code: "type"},
		{name: "whose declared type is not allowed", prepare: text(blobstore.UploadOptions{AllowedTypes: []string{"text/html"}, ContentType: "text/css"}), want: []error{blobstore.ErrContentType}, code: "type"},
		{name: "that declares a false type", prepare: text(blobstore.UploadOptions{AllowedTypes: []string{"application/pdf"}, ContentType: "application/pdf"}), want: []error{blobstore.ErrContentType}, code: "type"},
		{name: "that the authorizer refuses", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			s := e.open(&blobstore.Options{Authorize: func(context.Context, audit.Event) error { return denied }})
			return e.ctx, s, &failing{10, io.EOF}, blobstore.UploadOptions{}
		}, want: []error{blobstore.ErrDenied, denied}, code: "denied", outcome: audit.OutcomeDenied},
		{name: "without an actor", prepare: func(e *env) (context.Context, *blobstore.Store, io.Reader, blobstore.UploadOptions) {
			return audit.WithActor(e.ctx, audit.Actor{}), nil, &failing{10, io.EOF}, blobstore.UploadOptions{}
		}, want: []error{audit.ErrNoActor}, silent: true},
	}
	var cases []testCase
	for _, w := range ways {
		cases = append(cases,
			testCase{"an upload " + w.name + " MUST leave no object", func(e *env) { w.run(e, false) }},
			testCase{"an upload " + w.name + " MUST leave the old object as it was", func(e *env) { w.run(e, true) }})
	}
	return cases
}

func (w failedUpload) run(e *env, overOld bool) {
	key := e.key("a")
	old := content(7000)
	var was *blobstore.Object
	if overOld {
		e.put(key, old, rich(false))
		was = e.stat(key)
	}
	added := e.since(func() {
		ctx, s, r, opts := w.prepare(e)
		if s == nil {
			s = e.store
		}
		opts.Overwrite = overOld
		obj, err := s.Upload(ctx, key, r, &opts)
		assert.Nil(e, obj)
		e.isError(err, "upload", key, w.want...)
		assert.NotErrorIs(e, err, errNotStopped)
	})
	if w.silent {
		assert.Empty(e, added, "entries")
	} else if assert.Len(e, added, 1, "entries") {
		outcome := w.outcome
		if outcome == "" {
			outcome = audit.OutcomeFailed
		}
		assert.Equal(e, outcome, added[0].Outcome)
		assert.Equal(e, w.code, added[0].ErrorCode)
		assert.Equal(e, audit.ActionUpload, added[0].Action)
	}
	e.settled()
	if !overOld {
		_, err := e.store.Stat(e.ctx, key)
		require.ErrorIs(e, err, fs.ErrNotExist)
		e.has()
		// The key can still be used.
		e.put(key, []byte("next"), nil)
		return
	}
	e.has("a")
	e.same(was, old)
}
