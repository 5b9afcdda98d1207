// This file tests results and costs of readers and writers.

package localblob

import (
	"context"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

func TestReaderGivesTheFile(t *testing.T) {
	ctx := context.Background()
	bkt, _ := openTest(t, t.TempDir(), nil)
	require.NoError(t, bkt.WriteAll(ctx, "k", []byte("0123456789"), nil))
	for _, c := range []struct {
		name           string
		offset, length int64
		want           string
	}{
		{"whole", 0, -1, "0123456789"},
		{"range", 3, 4, "3456"},
		{"to the end", 7, -1, "789"},
		{"past the end", 20, 5, ""},
		{"nothing", 2, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before *os.File
			r, err := bkt.NewRangeReader(ctx, "k", c.offset, c.length, &blob.ReaderOptions{
				BeforeRead: func(as func(any) bool) error {
					assert.True(t, as(&before))
					return nil
				},
			})
			require.NoError(t, err)
			defer r.Close()
			assert.Equal(t, int64(10), r.Size())
			var f *os.File
			require.True(t, r.As(&f))
			assert.Same(t, before, f)
			var plain io.Reader
			require.True(t, r.As(&plain))
			got, err := io.ReadAll(plain)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got))
			if c.length >= 0 {
				assert.Same(t, f, plain.(*io.LimitedReader).R)
			}
		})
	}
}

// The memory use of an upload does not grow with the object.
func TestUploadMemory(t *testing.T) {
	ctx := context.Background()
	bkt, _ := openTest(t, t.TempDir(), &Options{noSync: true})
	upload := func(size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := bkt.Upload(ctx, "k", io.LimitReader(zeros{}, size), &blob.WriterOptions{ContentType: "text/plain"})
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		return after.TotalAlloc - before.TotalAlloc
	}
	upload(1)
	small, large := upload(1<<10), upload(64<<20)
	t.Logf("allocated: %d bytes for 1 KiB, %d bytes for 64 MiB", small, large)
	assert.Less(t, large, uint64(2*copyBuffer))
}

func TestCopyKeepsEverything(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	withMD5, _ := openTest(t, dir, &Options{MD5: true})
	without, _ := openTest(t, dir, nil)
	opts := &blob.WriterOptions{ContentType: "text/x", CacheControl: "private", ContentLanguage: "de", Metadata: map[string]string{"a": "b"}}
	require.NoError(t, withMD5.WriteAll(ctx, "from", make([]byte, 100_000), opts))
	require.NoError(t, without.Copy(ctx, "to/here", "from", nil))
	require.NoError(t, without.Copy(ctx, "from", "from", nil), "also onto itself")
	var all []*blob.Attributes
	for _, key := range []string{"from", "to/here"} {
		a, err := without.Attributes(ctx, key)
		require.NoError(t, err)
		assert.NotEmpty(t, a.MD5)
		assert.Equal(t, "text/x", a.ContentType)
		assert.Equal(t, map[string]string{"a": "b"}, a.Metadata)
		all = append(all, a)
	}
	assert.Equal(t, all[0].MD5, all[1].MD5)
	assert.Equal(t, all[0].CacheControl+all[0].ContentLanguage, all[1].CacheControl+all[1].ContentLanguage)
}
