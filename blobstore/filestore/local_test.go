package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
)

func TestLocalConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket: func(tb testing.TB) driver.Bucket {
			b, err := driver.Open(context.Background(), "local://"+filepath.ToSlash(tb.TempDir()), driver.Credentials{})
			require.NoError(tb, err)
			return b
		},
		Residue:   localResidue,
		HeapLimit: 2 << 20,
	})
}

// localResidue lists temporary files, and attributes without an object.
func localResidue(tb testing.TB, b driver.Bucket, _ string) []string {
	tb.Helper()
	var left []string
	root := b.Info().Bucket
	require.NoError(tb, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		object, isAttrs := strings.CutSuffix(path, ".attrs")
		if isAttrs {
			if _, err := os.Lstat(object); errors.Is(err, fs.ErrNotExist) {
				left = append(left, path)
			}
		} else if strings.Contains(path, "/.blobtrail/tmp/") {
			left = append(left, path)
		}
		return nil
	}))
	return left
}

func TestLocalCapabilities(t *testing.T) {
	b, err := driver.Open(t.Context(), "local://"+filepath.ToSlash(t.TempDir()), driver.Credentials{})
	require.NoError(t, err)
	defer b.Close()
	c := b.Info().Capabilities
	require.True(t, c.ExactCreate && c.ExactDelete && c.AtomicReplace && c.Durable && c.KeepsSHA256)
}

func TestLocalURLs(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	for url, want := range map[string]string{
		"local://" + dir + "/none":                        "create=true",
		"local://" + dir + "?creat=true":                  `unknown parameter "creat"`,
		"local://" + dir + "?create=maybe":                "want true or false",
		"local://" + dir + "?dir_mode=rwx":                "octal",
		"local://":                                        "the URL has no folder",
		"file://" + dir + "?metadata=skip":                "recognize its own objects",
		"file://" + dir + "?secret_key_path=k&base_url=u": "unknown parameter",
	} {
		_, err := driver.Open(t.Context(), url, driver.Credentials{})
		require.ErrorContains(t, err, want, url)
	}
	b, err := driver.Open(t.Context(), "local://"+dir+"/new/folder?create=true&dir_mode=0750&file_mode=0640&md5=true", driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Write(t.Context(), "a/b", strings.NewReader("x"), &driver.WriteOptions{ContentType: "text/plain", Size: -1}))
	require.NoError(t, b.Close())
	info, err := os.Stat(filepath.Join(dir, "new", "folder", "a", "b"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode().Perm())
}

func TestAFolderHasOneNameInTheTrail(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, scheme := range []string{"local", "file"} {
		var names []string
		for _, path := range []string{dir, link, link + "/../link"} {
			b, err := driver.Open(t.Context(), scheme+"://"+path, driver.Credentials{})
			require.NoError(t, err)
			names = append(names, b.Info().Bucket)
			require.NoError(t, b.Close())
		}
		assert.Len(t, slices.Compact(names), 1, names)
	}
}
