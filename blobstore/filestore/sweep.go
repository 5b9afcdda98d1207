package filestore

// This file cleans up a file:// bucket after a crash.

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // fileblob stores an MD5; it secures nothing
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// Sweep implements [driver.Bucket]. It removes the temporary files of key if
// their writer is dead, and attributes without an object. If a writer died
// between storing the attributes and the content of a replacement, Sweep
// completes the replacement.
func (b *fileBucket) Sweep(_ context.Context, key string) error {
	if err := b.present(); err != nil {
		return err
	}
	defer b.lock(key)()
	path := b.path(key)
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(b.mapError(err), fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	live := false
	for _, e := range entries {
		if name := e.Name(); len(name) == len(filepath.Base(path))+len(".0123456789abcdef.tmp") && strings.HasPrefix(name, filepath.Base(path)+".") && keyrule.IsTemp(name) {
			removed, err := removeDead(filepath.Join(filepath.Dir(path), name), func(tmp string) error {
				return b.finish(tmp, path)
			})
			if err != nil {
				return err
			}
			live = live || !removed
		}
	}
	if live {
		return nil // its writer may be about to use the attributes
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(path + ".attrs"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// finish renames tmp, a file of a dead writer, to path if the attributes at
// path already belong to tmp and the object does not. In this case the old
// object cannot be restored. The new content is complete, because it was synced
// before.
func (b *fileBucket) finish(tmp, path string) error {
	var attrs struct {
		MD5 []byte `json:"md5"`
	}
	data, err := os.ReadFile(path + ".attrs")
	if errors.Is(err, fs.ErrNotExist) || err == nil && (json.Unmarshal(data, &attrs) != nil || attrs.MD5 == nil) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := fileMD5(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(old, attrs.MD5) {
		return nil
	}
	if err != nil {
		return err
	}
	if written, err := fileMD5(tmp); err != nil || !bytes.Equal(written, attrs.MD5) {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return b.syncPath(path)
}

// fileMD5 computes the MD5 that fileblob stores with its objects.
func fileMD5(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
