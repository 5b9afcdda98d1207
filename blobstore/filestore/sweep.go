package filestore

// What a crash leaves of a file:// bucket, and clearing it away.

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // it is what fileblob keeps; nothing is secured by it
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// Sweep implements [driver.Bucket]: it removes the temporary files of key whose
// writer is dead, and attributes without an object. A writer that died between
// the attributes and the content of a replacement is finished.
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
		return nil // its writer may be about to need the attributes
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(path + ".attrs"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// finish renames tmp, what a dead writer left, to path if the attributes there
// are its own already and the object is not: then the old object can't be had
// back, but the new one is whole, since it was synced before.
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

// fileMD5 computes what fileblob keeps with each of its objects.
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
