// This file tests folders written by fileblob: this driver reads everything and
// can write to them.

package localblob

import (
	"context"
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

var oddKeys = []string{
	"a//b", "a///b", "trailing/", "trailing/x", "../up", "x/../y", "x../y", "x../../y..", "..hidden", ".hidden", "tab\there",
	"new\nline", "nul\x00byte", "del\x7f", "__0x2f__", "a__0x2f__b", "a__0x", "_/_//_", "Rechnung März.pdf", "☺☺☺", "a b",
	"back\\slash", "..\\up", "quote\"s", "x.attrs/y", "/", "percent%2f", "a-b", "a/c", "a0", "a.b/c", "deep/" + strings.Repeat("d/", 40) + "x",
	"name.1f3a.tmp", strings.Repeat("n", 230),
}

func TestReadsFileblobFolder(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	theirs, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true})
	require.NoError(t, err)
	defer theirs.Close()

	rnd := rand.New(rand.NewPCG(1, 2))
	all := append([]string(nil), oddKeys...)
	for i := len(all); i < *fileblobCount; i++ {
		all = append(all, fmt.Sprintf("tenant-%d/%02d/%08d_file.pdf", rnd.IntN(5), rnd.IntN(20), i))
	}
	content := func(key string) []byte { return []byte(strings.Repeat(key, 1+len(key)%3)) }
	options := func(i int, key string) *blob.WriterOptions {
		sum := md5.Sum(content(key))
		return &blob.WriterOptions{
			ContentType:        fmt.Sprintf("application/x-%d", i),
			ContentDisposition: "attachment", ContentEncoding: "identity", ContentLanguage: "de", CacheControl: "private",
			ContentMD5: sum[:],
			Metadata:   map[string]string{"name": key, "n": fmt.Sprint(i)},
		}
	}
	for i, key := range all {
		require.NoError(t, theirs.WriteAll(ctx, key, content(key), options(i, key)), "%q", key)
	}

	ours, _ := openTest(t, dir, nil)
	check := func(i int, key string) {
		got, err := ours.ReadAll(ctx, key)
		require.NoError(t, err, "%q", key)
		require.Equal(t, content(key), got)
		a, err := ours.Attributes(ctx, key)
		require.NoError(t, err)
		b, err := theirs.Attributes(ctx, key)
		require.NoError(t, err)
		require.Equal(t, b.ETag, a.ETag)
		require.Equal(t, b.MD5, a.MD5)
		require.Equal(t, b.ModTime, a.ModTime)
		require.Equal(t, b.Metadata, a.Metadata)
		o := options(i, key)
		require.Equal(t, []string{o.ContentType, o.ContentDisposition, o.ContentEncoding, o.ContentLanguage, o.CacheControl},
			[]string{a.ContentType, a.ContentDisposition, a.ContentEncoding, a.ContentLanguage, a.CacheControl})
	}
	for i, key := range all {
		check(i, key)
	}
	want := append([]string(nil), all...)
	sort.Strings(want)
	found := keys(t, ours, nil)
	require.Len(t, found, len(want))
	for i := range want {
		require.Equal(t, want[i], found[i])
	}

	// fileblob reads objects written by this driver.
	withMD5, _ := openTest(t, dir, &Options{MD5: true})
	for i, key := range all[:len(oddKeys)] {
		require.NoError(t, withMD5.WriteAll(ctx, key, content(key), options(i, key)), "%q", key)
		got, err := theirs.ReadAll(ctx, key)
		require.NoError(t, err)
		require.Equal(t, content(key), got)
		check(i, key)
	}
	// All of them can be deleted.
	for _, key := range all {
		require.NoError(t, ours.Delete(ctx, key), "%q", key)
	}
	assert.Empty(t, files(t, dir))
}

func TestSidecarsLeftBroken(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ name, sidecar, contentType, err string }{
		{"missing", "-", defaultType, ""},
		{"empty, as a crash of fileblob leaves it", "", defaultType, ""},
		{"cut off", `{"user.content_ty`, "", "attributes file is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "k"), []byte("content"), 0o600))
			if c.sidecar != "-" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "k.attrs"), []byte(c.sidecar), 0o600))
			}
			bkt, _ := openTest(t, dir, nil)
			a, err := bkt.Attributes(ctx, "k")
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
			} else {
				require.NoError(t, err)
				assert.Equal(t, c.contentType, a.ContentType)
			}
			require.NoError(t, put(ctx, bkt, "k", "v2", false), "it can be replaced")
			same(t, bkt, "k", "v2")
		})
	}
}

// A folder copied without its modification times keeps types and metadata, but
// not the checksums, because the bytes may have changed.
func TestCopiedFolder(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, &Options{MD5: true})
	ctx := context.Background()
	require.NoError(t, put(ctx, bkt, "k", "v1", false))
	raw, err := os.ReadFile(filepath.Join(dir, "k"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "k")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "k"), raw, 0o600))
	a, err := bkt.Attributes(ctx, "k")
	require.NoError(t, err)
	assert.Equal(t, "text/v1", a.ContentType)
	assert.Nil(t, a.MD5)
}
