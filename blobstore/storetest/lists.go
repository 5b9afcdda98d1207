package storetest

// This file implements the cases of listing: order, prefixes, delimiters and
// pages.

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore"
)

func listCases() []testCase {
	fill := func(e *env, names ...string) {
		for _, n := range names {
			e.put(e.key(n), []byte(n), nil)
		}
	}
	return []testCase{
		{"an empty listing MUST be empty", func(e *env) { e.has() }},
		{"keys MUST be listed in byte order", func(e *env) {
			names := []string{"b", "a", "a-b", "a/b", "a/c/d", "a.b", "a0", "B", "ä", "z", "日本", "a b"}
			// "a" and "a/b" cannot both exist on every backend.
			names = slices.DeleteFunc(names, func(s string) bool { return s == "a" })
			fill(e, names...)
			e.has(names...)
		}},
		{"a prefix MUST select keys, even if it ends within a segment", func(e *env) {
			fill(e, "in/1", "in/2", "in-3", "out/1", "i")
			assert.Equal(e, []string{"in-3", "in/1", "in/2"}, e.list(blobstore.ListOptions{Prefix: "in"}))
			assert.Equal(e, []string{"in/1", "in/2"}, e.list(blobstore.ListOptions{Prefix: "in/"}))
			assert.Equal(e, []string{"in/2"}, e.list(blobstore.ListOptions{Prefix: "in/2"}))
			assert.Equal(e, []string{}, e.list(blobstore.ListOptions{Prefix: "in/2/"}))
			assert.Equal(e, []string{}, e.list(blobstore.ListOptions{Prefix: "none/at/all"}))
		}},
		{"a delimiter MUST fold the keys below it", func(e *env) {
			fill(e, "a/1", "a/2", "a/b/3", "c", "a-d")
			assert.Equal(e, []string{"a-d", "a/", "c"}, e.list(blobstore.ListOptions{Delimiter: "/"}))
			assert.Equal(e, []string{"a/1", "a/2", "a/b/"}, e.list(blobstore.ListOptions{Prefix: "a/", Delimiter: "/"}))
			for obj, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: e.prefix, Delimiter: "/"}) {
				require.NoError(e, err)
				assert.Equal(e, strings.HasSuffix(obj.Key, "/"), obj.IsPrefix, obj.Key)
			}
		}},
		{"an element MUST have the size and time of its object", func(e *env) {
			data := content(1234)
			e.put(e.key("a"), data, nil)
			want := e.stat(e.key("a"))
			for obj, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: e.prefix}) {
				require.NoError(e, err)
				assert.Equal(e, int64(1234), obj.Size)
				assert.WithinDuration(e, want.ModTime, obj.ModTime, 1e9) // some services truncate to seconds
			}
		}},
		{"a listing of more than one page MUST be complete", func(e *env) {
			const n = 1040
			want := make([]string, n)
			for i := range n {
				want[i] = fmt.Sprintf("%d/%04d", i/100, i)
			}
			inParallel(e, n, func(i int) {
				_, err := e.store.Upload(e.ctx, e.key(want[i]), &failing{1, io.EOF}, nil)
				assert.NoError(e, err)
			})
			require.False(e, e.Failed())
			slices.Sort(want)
			assert.Equal(e, want, e.list(blobstore.ListOptions{}))
		}},
		{"a driver's listing MUST end after its first error", func(e *env) {
			fill(e, "a", "b", "c")
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			n, failed := 0, false
			for _, err := range e.bucket.List(ctx, &blob.ListOptions{Prefix: e.prefix}) {
				require.False(e, failed, "the sequence continues after an error")
				failed = err != nil
				n++
				cancel()
			}
			assert.True(e, failed || n == 3, "a listing that was canceled ends without an error and is not complete")
		}},
		{"leaving a listing early MUST be safe", func(e *env) {
			fill(e, "a", "b", "c")
			for obj, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: e.prefix}) {
				require.NoError(e, err)
				assert.Equal(e, e.key("a"), obj.Key)
				break
			}
			assert.Equal(e, []string{"a", "b", "c"}, e.list(blobstore.ListOptions{}))
		}},
		{"listed objects MUST be usable and deletable during the listing", func(e *env) {
			fill(e, "a", "b", "c")
			for obj, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: e.prefix}) {
				require.NoError(e, err)
				require.NoError(e, e.store.Delete(e.ctx, obj.Key, nil))
			}
			e.has()
		}},
		{"the end of the context MUST end the listing", func(e *env) {
			fill(e, "a", "b", "c")
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			var got []error
			for _, err := range e.store.List(ctx, &blobstore.ListOptions{Prefix: e.prefix}) {
				got = append(got, err)
				cancel()
			}
			require.Len(e, got, 2)
			require.NoError(e, got[0])
			e.isError(got[1], "list", e.prefix, context.Canceled)
		}},
		{"an upload in progress MUST NOT be listed", func(e *env) {
			started, finish := make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() {
				_, err := e.store.Upload(e.ctx, e.key("a"), io.MultiReader(&failing{2 * mib, io.EOF}, &waiting{started: started, finish: finish}), nil)
				done <- err
			}()
			<-started
			assert.Empty(e, e.list(blobstore.ListOptions{}))
			assert.Empty(e, e.list(blobstore.ListOptions{Delimiter: "/"}))
			close(finish)
			require.NoError(e, <-done)
			e.has("a")
		}},
	}
}

// waiting is a reader that signals its first read and then waits until it may
// end.
type waiting struct {
	started, finish chan struct{}
	once            sync.Once
}

func (w *waiting) Read([]byte) (int, error) {
	w.once.Do(func() { close(w.started) })
	<-w.finish
	return 0, io.EOF
}
