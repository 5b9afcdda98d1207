package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
	"github.com/blobtrail/blobtrail/internal/keyrule"
)

func TestFileConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket:  func(tb testing.TB) driver.Bucket { return openDir(tb, tb.TempDir()) },
		Residue: residue,
	})
}

func openDir(tb testing.TB, dir string) driver.Bucket {
	tb.Helper()
	b, err := driver.Open(context.Background(), "file://"+filepath.ToSlash(dir), driver.Credentials{})
	require.NoError(tb, err)
	return b
}

// residue lists temporary files, and attributes without an object.
func residue(tb testing.TB, b driver.Bucket, _ string) []string {
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
			return nil
		}
		if keyrule.IsTemp(d.Name()) {
			left = append(left, path)
		}
		return nil
	}))
	return left
}
