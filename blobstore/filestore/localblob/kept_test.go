package localblob

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

// A cached record must not outlive its version, no matter who replaces the
// version.
func TestKeptRecords(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	mine, err := open(dir, nil)
	require.NoError(t, err)
	bkt := blob.NewBucket(mine)
	defer bkt.Close()
	other, err := openBlob(dir, nil) // as another process
	require.NoError(t, err)
	defer other.Close()

	put := func(b *blob.Bucket, version string) {
		t.Helper()
		require.NoError(t, b.WriteAll(ctx, "a/k", []byte(version), &blob.WriterOptions{Metadata: map[string]string{"version": version}}))
	}
	get := func() string {
		t.Helper()
		r, a, err := of(bkt).OpenRange(ctx, "a/k", 0, -1)
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, string(content), a.Metadata["version"], "content and record are of one version")
		again, err := bkt.Attributes(ctx, "a/k")
		require.NoError(t, err)
		require.Equal(t, string(content), again.Metadata["version"])
		return string(content)
	}
	kept := func() bool {
		mine.kept.mu.RLock()
		defer mine.kept.mu.RUnlock()
		return mine.kept.m["a/k"].fi != nil
	}

	put(bkt, "v1")
	require.Equal(t, "v1", get())
	require.Eventually(t, func() bool { get(); return kept() }, time.Minute, 10*time.Millisecond)
	sidecar := filepath.Join(dir, "a", "k"+attrsExt)
	raw, err := os.ReadFile(sidecar)
	require.NoError(t, err)
	require.NoError(t, os.Remove(sidecar))
	require.Equal(t, "v1", get(), "not read again")
	require.NoError(t, os.WriteFile(sidecar, raw, 0o600))

	put(other, "v2")
	require.Equal(t, "v2", get())
	put(bkt, "v3")
	require.Equal(t, "v3", get())
	require.NoError(t, other.Delete(ctx, "a/k"))
	_, _, err = of(bkt).OpenRange(ctx, "a/k", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	for i := range 200 { // the same length, and often the same inode and the same tick of the clock
		want := fmt.Sprintf("w%03d", i)
		put(other, want)
		require.Equal(t, want, get())
		require.NoError(t, other.Delete(ctx, "a/k"))
	}

	fi, err := os.Stat(dir)
	require.NoError(t, err)
	old := keptFileInfo{fi, time.Unix(0, 0)}
	for i := range maxKept + 10 {
		mine.kept.put(fmt.Sprint(i), old, record{Tag: &tag{}})
	}
	require.Len(t, mine.kept.m, maxKept)
	mine.kept.put("foreign", old, record{})
	require.NotContains(t, mine.kept.m, "foreign", "a record that names no version may be of any")
	mine.kept.put("young", keptFileInfo{fi, time.Now().Add(time.Hour)}, record{Tag: &tag{}})
	require.NotContains(t, mine.kept.m, "young", "another version of this moment could look the same")
}

// keptFileInfo describes the same file with another time.
type keptFileInfo struct {
	fs.FileInfo
	modTime time.Time
}

func (f keptFileInfo) ModTime() time.Time { return f.modTime }

func TestOpenRangeRefuses(t *testing.T) {
	bkt, err := openBlob(t.TempDir(), nil)
	require.NoError(t, err)
	defer bkt.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = of(bkt).OpenRange(ctx, "k", 0, -1)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = of(bkt).OpenRange(t.Context(), "k", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
