// This file cleans up after crashed writers.

package localblob

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// Sweep removes the leftovers of crashed writers and deleters: temporary files
// not used by any process, and attributes without an object. They are never
// visible as objects and only take space. Sweep returns the number of removed
// files.
//
// If key is not empty, Sweep handles the temporary files and the attributes of
// that key. If key is empty, it reads every folder once. It is safe while this
// and other processes read and write. On systems without flock it does not
// remove temporary files, because it cannot recognize those in use.
func (bk *Bucket) Sweep(ctx context.Context, key string) (removed int, err error) {
	b := bk.b
	if err := b.fs.present(); err != nil {
		return 0, err
	}
	if removed, err = b.sweepTemp(ctx); err != nil {
		return removed, keyError("sweep", tempDir, err)
	}
	if key == "" {
		err = b.sweepSidecars(ctx, ".", &removed)
		return removed, err
	}
	name, err := fileName(key, false)
	if err != nil {
		return removed, err
	}
	if _, err := b.fs.root.Lstat(name + attrsExt); err != nil {
		if gone(err) == nil || errors.Is(err, syscall.ENAMETOOLONG) {
			return removed, nil
		}
		return removed, b.explain("sweep", key, name, err)
	}
	swept, err := b.sweepSidecar(ctx, name)
	if swept {
		removed++
	}
	return removed, keyError("sweep", key, err)
}

func (b *bucket) readDir(name string) ([]fs.DirEntry, error) {
	d, err := b.fs.root.Open(name)
	if err != nil {
		return nil, gone(err)
	}
	defer d.Close()
	entries, err := readDir(d)
	return entries, gone(err)
}

func (b *bucket) sweepTemp(ctx context.Context) (removed int, err error) {
	entries, err := b.readDir(tempDir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		if !e.Type().IsRegular() {
			continue
		}
		name := tempDir + "/" + e.Name()
		f, err := b.fs.root.OpenFile(name, openFlags, 0)
		if err != nil {
			if gone(err) == nil {
				continue
			}
			return removed, err
		}
		// The writer holds the lock while it is alive. If it is about to take
		// the lock, it checks afterwards whether the file still exists.
		if flock(f, false) == nil && b.fs.remove(name) == nil {
			removed++
		}
		f.Close()
	}
	return removed, nil
}

func (b *bucket) sweepSidecars(ctx context.Context, dir string, removed *int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := b.readDir(dir)
	if err != nil {
		return keyError("sweep", dir, err)
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Name()] = true
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			if strings.EqualFold(name, privateDir) {
				continue
			}
			if err := b.sweepSidecars(ctx, name, removed); err != nil {
				return err
			}
			continue
		}
		data, ok := strings.CutSuffix(name, attrsExt)
		if !ok || !e.Type().IsRegular() || there[path.Base(data)] {
			continue
		}
		gone, err := b.sweepSidecar(ctx, data)
		if err != nil {
			return keyError("sweep", name, err)
		}
		if gone {
			*removed++
		}
	}
	return nil
}

// sweepSidecar removes the sidecar of the data file name if the data file does
// not exist. The lock of the key ensures that no writer is between placing the
// two. A file that only happens to have the name of a sidecar remains.
func (b *bucket) sweepSidecar(ctx context.Context, name string) (bool, error) {
	unlock, err := b.lock(ctx, name)
	if err != nil {
		return false, err
	}
	defer unlock()
	if _, err := b.fs.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	s, err := b.readSidecar(name)
	if errors.Is(err, errSidecar) || s == nil || s.Tag == nil && s.ContentType == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := b.fs.remove(name + attrsExt); err != nil {
		return false, err
	}
	b.fs.prune(path.Dir(name))
	return true, nil
}
