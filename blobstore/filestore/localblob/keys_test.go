// This file tests valid and refused keys, and the file of each key. No key
// leads out of the folder.

package localblob

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

var keyNames = []struct{ key, file, refused string }{
	{"a/b.pdf", "a/b.pdf", ""},
	{"a//b", "a/__0x2f__b", ""},
	{"a/", "a__0x2f__", ""},
	{"/", "__0x2f__", ""},
	{"../a", "..__0x2f__a", ""},
	{"a/../b", "a/..__0x2f__b", ""},
	{"a../b", "a..__0x2f__b", ""},
	{"a\tb", "a__0x9__b", ""},
	{"__0x2f__", "__0x5f___0x2f__", ""},
	{"a\\b", "a\\b", ""},
	{"x.attrs/y", "x.attrs/y", ""},
	{"", "", "is empty"},
	{"/a", "", `begins with "/"`},
	{"//", "", `begins with "/"`},
	{".", "", `the part "."`},
	{"..", "", `the part ".."`},
	{"./a", "", `the part "."`},
	{"a/./b", "", `the part "."`},
	{"a/..", "", `the part ".."`},
	{"a.attrs", "", `ends in ".attrs"`},
	{"a/.attrs", "", `ends in ".attrs"`},
	{".blobtrail/tmp/x", "", `inside ".blobtrail"`},
	{".Blobtrail", "", `inside ".blobtrail"`},
	{"a\xff", "", "not valid UTF-8"},
	// Unescaping the file name would give another key.
	{"__0x2f_\x01", "", "same file name as another key"},
	{strings.Repeat("n", 250), "", "at most 249"},
	{strings.Repeat("ü", 125) + "/x", strings.Repeat("ü", 125) + "/x", ""},
	{strings.Repeat("ü", 128) + "/x", "", "at most 255"},
}

func TestKeys(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	for _, c := range keyNames {
		if c.refused == "" {
			name, err := fileName(c.key, true)
			require.NoError(t, err, "%q", c.key)
			assert.Equal(t, c.file, name)
			assert.Equal(t, c.key, unescape(name))
			continue
		}
		_, b := openTest(t, dir, nil)
		_, err := b.NewTypedWriter(ctx, c.key, "text/plain", &driver.WriterOptions{})
		require.ErrorContains(t, err, c.refused, "%q", c.key)
		assert.Equal(t, gcerrors.InvalidArgument, b.ErrorCode(err))
	}
	assert.Empty(t, files(t, dir))
}

// No two keys may share a file, and no key may lead out of the folder.
func FuzzFileName(f *testing.F) {
	for _, c := range keyNames {
		f.Add(c.key, "a/b")
	}
	f.Add("x/__0x2f_\x01", "x//_0x1__")
	f.Fuzz(func(t *testing.T, one, two string) {
		a, err := fileName(one, false)
		if err != nil {
			return
		}
		if !utf8.ValidString(one) || !filepath.IsLocal(a) || filepath.Clean(a) != a || strings.HasSuffix(a, attrsExt) {
			t.Fatalf("%q has the file %q", one, a)
		}
		if b, err := fileName(two, false); err == nil && a == b && one != two {
			t.Fatalf("%q and %q have the same file %q", one, two, a)
		}
		if dir, base := filepath.Split(a); !canonical(strings.TrimSuffix(dir, "/"), base, false) {
			t.Fatalf("a listing would leave out %q", one)
		}
	})
}

func TestObjectsAndFoldersCannotShareAName(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	require.NoError(t, put(ctx, bkt, "a", "v", false))
	require.NoError(t, put(ctx, bkt, "b/c", "v", false))
	before := files(t, dir)
	for _, key := range []string{"a/x", "a/x/y", "b", "a.attrs/x"} {
		for _, create := range []bool{false, true} {
			err := put(ctx, bkt, key, "v", create)
			require.ErrorContains(t, err, "also a folder", key)
			assert.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(err))
		}
		_, err := bkt.Attributes(ctx, key)
		assert.Equal(t, gcerrors.NotFound, gcerrors.Code(err), key)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.Equal(t, gcerrors.NotFound, gcerrors.Code(bkt.Delete(ctx, key)), key)
	}
	assert.Equal(t, before, files(t, dir))

	// An empty folder, such as a leftover of a crash, is not in the way.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	require.NoError(t, put(ctx, bkt, "empty", "v", true))
}

func TestErrorsNameTheKey(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	_, readErr := bkt.ReadAll(ctx, "no/such")
	_, statErr := bkt.Attributes(ctx, "no/such")
	for _, err := range []error{readErr, statErr, bkt.Delete(ctx, "no/such"), bkt.Copy(ctx, "to", "no/such", nil)} {
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
		assert.NotContains(t, err.Error(), dir)
		var pe *fs.PathError
		require.ErrorAs(t, err, &pe)
		assert.Equal(t, "no/such", pe.Path)
		assert.True(t, bkt.ErrorAs(err, &pe))
	}
	_, err := bkt.SignedURL(ctx, "k", nil)
	assert.Equal(t, gcerrors.Unimplemented, gcerrors.Code(err))

	_, err = openBlob(filepath.Join(dir, "missing"), nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "CreateDir")
	_, err = openBlob("", nil)
	assert.ErrorContains(t, err, "no folder")
}

func TestSymlinks(t *testing.T) {
	ctx := context.Background()
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	require.NoError(t, put(ctx, bkt, "real/object", "v", false))
	link := func(to, name string) { require.NoError(t, os.Symlink(to, filepath.Join(dir, name))) }
	link(secret, "absolute")
	rel, err := filepath.Rel(dir, secret)
	require.NoError(t, err)
	link(rel, "relative")
	link(outside, "folder")
	link("real/object", "inside")
	link("real/object.attrs", "inside.attrs")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("x"), 0o600))
	link(secret, "plain.attrs")

	for _, key := range []string{"absolute", "relative", "folder/secret", "plain"} {
		_, err := bkt.ReadAll(ctx, key)
		assert.Error(t, err, key)
		assert.Error(t, bkt.Copy(ctx, "copy", key, nil), key)
	}
	assert.Error(t, put(ctx, bkt, "folder/new", "v", false))
	assert.Error(t, bkt.Delete(ctx, "folder/secret"))
	require.Equal(t, "v", version(t, bkt, "inside"), "a link that stays inside can be read")
	require.Equal(t, []string{"plain", "real/object"}, keys(t, bkt, nil), "links are not listed")

	// Writing replaces a link; it does not write through it.
	require.ErrorIs(t, put(ctx, bkt, "absolute", "new", true), fs.ErrExist)
	require.NoError(t, put(ctx, bkt, "absolute", "new", false))
	require.Equal(t, "new", version(t, bkt, "absolute"))
	content, err := os.ReadFile(secret)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(content))
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}
