package localblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

const received = uploadsDir + "/01900000-0000-7000-8000-000000000000"

// adoptNew adopts the received content as the version "new".
func adoptNew(ctx context.Context, bkt *blob.Bucket, dst string) error {
	a, err := bkt.Attributes(ctx, received)
	if err != nil {
		return err
	}
	return of(bkt).Adopt(ctx, dst, received, a.ETag, "text/new", map[string]string{"version": "new"})
}

func TestAdopt(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	bkt, _ := openTest(t, dir, &Options{MD5: true})
	require.NoError(t, bkt.WriteAll(ctx, received, []byte(body("new")), &blob.WriterOptions{
		ContentType: "text/evil", CacheControl: "public", Metadata: map[string]string{"owner": "eve"},
	}))
	before, err := os.Stat(filepath.Join(dir, received))
	require.NoError(t, err)
	require.NoError(t, adoptNew(ctx, bkt, "deep/a"))
	same(t, bkt, "deep/a", "new")
	require.Equal(t, "new", version(t, bkt, "deep/a"))
	a, err := bkt.Attributes(ctx, "deep/a")
	require.NoError(t, err)
	assert.Empty(t, a.CacheControl)
	assert.Len(t, a.MD5, 16)
	after, err := os.Stat(filepath.Join(dir, "deep/a"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "it is not written again")

	require.ErrorIs(t, adoptNew(ctx, bkt, "deep/a"), fs.ErrExist)
	require.ErrorIs(t, adoptNew(ctx, bkt, "deep/a/below"), fs.ErrExist)
	require.ErrorIs(t, adoptNew(ctx, bkt, "deep"), fs.ErrExist)
	const another = `"another"`
	require.ErrorIs(t, of(bkt).Adopt(ctx, "b", received, another, "text/new", nil), ErrReplaced)

	// Bytes received later do not reach the object.
	require.NoError(t, put(ctx, bkt, received, "later", false))
	require.Equal(t, "new", version(t, bkt, "deep/a"))
	require.NoError(t, bkt.Delete(ctx, received))
	require.Equal(t, "new", version(t, bkt, "deep/a"))
	same(t, bkt, "deep/a", "new")
	require.ErrorIs(t, of(bkt).Adopt(ctx, "b", received, another, "text/new", nil), fs.ErrNotExist)
	assert.Equal(t, []string{"deep/a", "deep/a.attrs"}, files(t, dir))
	assert.Equal(t, []string{"deep/a"}, keys(t, bkt, nil))
}

// Received content is listed only by its prefix.
func TestReceivedIsPrivate(t *testing.T) {
	bkt, _ := openTest(t, t.TempDir(), nil)
	require.NoError(t, put(t.Context(), bkt, received, "new", true))
	require.NoError(t, put(t.Context(), bkt, "a", "new", true))
	for _, prefix := range []string{"", ".", ".blobtrail", ".blobtrail/", ".blobtrail/up"} {
		assert.NotContains(t, keys(t, bkt, &blob.ListOptions{Prefix: prefix}), received, prefix)
	}
	assert.Equal(t, []string{received}, keys(t, bkt, &blob.ListOptions{Prefix: uploadsDir + "/"}))
}

// If any step fails or is the last one before a crash, the object is either
// missing or complete, and the received content can still be read.
func TestEveryStepOfAnAdoptionFails(t *testing.T) {
	ctx := t.Context()
	for _, fault := range []error{syscall.EIO, errKilled} {
		for at := 0; ; at++ {
			dir := t.TempDir()
			setup, _ := openTest(t, dir, nil)
			require.NoError(t, put(ctx, setup, received, "new", true))
			bkt, b := openTest(t, dir, nil)
			f := &faults{at: at, err: fault, unsynced: map[string]bool{}}
			b.fs.step = f.step
			err := adoptNew(ctx, bkt, "deep/a")
			b.fs.step = nil
			if f.n <= at {
				require.NoError(t, err)
				break
			}
			where := fmt.Sprintf("step %d, %s: %v", at, f.steps[at], err)
			if fault == errKilled {
				f.losePower(t, dir)
			}
			require.NoError(t, bkt.Close())
			again, _ := openTest(t, dir, nil)
			exists, statErr := again.Exists(ctx, "deep/a")
			require.NoError(t, statErr)
			if exists {
				require.True(t, err == nil || errors.Is(err, ErrNotSynced) || fault == errKilled, where)
				require.Equal(t, "new", version(t, again, "deep/a"), where)
				same(t, again, "deep/a", "new")
			} else {
				require.Error(t, err, where)
				require.NoError(t, adoptNew(ctx, again, "deep/a"), where)
			}
			require.Equal(t, "new", version(t, again, received), where)
		}
	}
}
