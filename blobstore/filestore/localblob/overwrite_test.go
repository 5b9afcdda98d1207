// This file tests readers during concurrent overwriting, deletion and creation.
// The only possible error is "not found", and versions are never mixed.

package localblob

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

func TestReadersDuringOverwrites(t *testing.T) {
	dir := t.TempDir()
	one, _ := openTest(t, dir, &Options{noSync: true})
	two, _ := openTest(t, dir, &Options{noSync: true})
	ctx, cancel := context.WithTimeout(context.Background(), *overwriteTime)
	defer cancel()
	const key = "docs/contract.pdf"
	require.NoError(t, put(ctx, one, key, "first", false))

	var writes, reads atomic.Int64
	var wg sync.WaitGroup
	for i, bkt := range []*blob.Bucket{one, two} {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := put(context.Background(), bkt, key, fmt.Sprintf("w%d-%d", i, n), false); !assert.NoError(t, err) {
					return
				}
				writes.Add(1)
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				version(t, bkt, key)
				a, err := bkt.Attributes(context.Background(), key)
				if !assert.NoError(t, err) {
					return
				}
				v := a.Metadata["version"]
				assert.Equal(t, "text/"+v, a.ContentType)
				assert.Equal(t, int64(len(body(v))), a.Size)
				reads.Add(2)
			}
		})
	}
	wg.Wait()
	t.Logf("%d reads during %d overwrites", reads.Load(), writes.Load())
	assert.Len(t, files(t, dir), 2)
}

func TestReadersDuringDeletes(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, &Options{noSync: true})
	ctx, cancel := context.WithTimeout(context.Background(), *overwriteTime/4)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 3 {
		// All keys are in one folder, which is created and removed with them.
		key := fmt.Sprintf("a/b/object%d", i)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if !assert.NoError(t, put(context.Background(), bkt, key, fmt.Sprint("v", n), n%2 == 0)) ||
					!assert.NoError(t, bkt.Delete(context.Background(), key)) {
					return
				}
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				a, err := bkt.Attributes(context.Background(), key)
				if gcerrors.Code(err) == gcerrors.NotFound {
					continue
				}
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, "text/"+a.Metadata["version"], a.ContentType)
			}
		})
	}
	wg.Wait()
	assert.Empty(t, files(t, dir))
	assert.NoDirExists(t, dir+"/a")
}

// Two buckets on one folder share only the lock files, like two processes.
func TestDeleteVersionDuringOverwrites(t *testing.T) {
	dir := t.TempDir()
	one, _ := openTest(t, dir, &Options{noSync: true})
	two, _ := openTest(t, dir, &Options{noSync: true})
	ctx := context.Background()
	require.ErrorIs(t, of(one).DeleteVersion(ctx, "k", `"1-1"`), fs.ErrNotExist)
	for i := range *raceCount {
		require.NoError(t, put(ctx, one, "k", fmt.Sprint("old", i), false))
		a, err := two.Attributes(ctx, "k")
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, put(ctx, one, "k", fmt.Sprint("new", i), false)) })
		wg.Go(func() {
			if err := of(two).DeleteVersion(ctx, "k", a.ETag); err != nil {
				assert.ErrorIs(t, err, ErrReplaced)
			}
		})
		wg.Wait()
		require.Equal(t, fmt.Sprint("new", i), version(t, two, "k"))
	}
}

func TestVersionsHaveIncreasingTimes(t *testing.T) {
	dir := t.TempDir()
	bkt, b := openTest(t, dir, &Options{noSync: true})
	ctx := context.Background()
	require.NoError(t, put(ctx, bkt, "k", "v1", false))
	// The clock was set back since the last version was written.
	future := time.Now().Add(time.Hour)
	require.NoError(t, b.fs.root.Chtimes("k", future, future))
	before, err := bkt.Attributes(ctx, "k")
	require.NoError(t, err)
	require.NoError(t, put(ctx, bkt, "k", "v2", false))
	after, err := bkt.Attributes(ctx, "k")
	require.NoError(t, err)
	assert.True(t, after.ModTime.After(before.ModTime))
	assert.NotEqual(t, before.ETag, after.ETag)
	same(t, bkt, "k", "v2")
}
