//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// This file tests permissions, and special files in the folder.

package localblob

import (
	"context"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamedPipeIsNoObject(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	bkt, _ := openTest(t, dir, nil)
	_, err := bkt.ReadAll(context.Background(), "pipe") // must not wait for a writer
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, bkt.Delete(context.Background(), "pipe"), fs.ErrNotExist)
	assert.Empty(t, keys(t, bkt, nil))
}

func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, c := range []struct {
		name      string
		opts      Options
		dir, file fs.FileMode
	}{
		{"default", Options{}, 0o700, 0o600},
		{"shared", Options{DirMode: 0o750, FileMode: 0o640}, 0o750, 0o640},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "root")
			c.opts.CreateDir = true
			bkt, _ := openTest(t, dir, &c.opts)
			require.NoError(t, put(context.Background(), bkt, "a/b", "v", false))
			require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(p string, d fs.DirEntry, err error) error {
				require.NoError(t, err)
				fi, err := d.Info()
				require.NoError(t, err)
				want := c.file
				if d.IsDir() {
					want = c.dir
				}
				assert.Equal(t, want, fi.Mode().Perm(), p)
				return nil
			}))
		})
	}
}
