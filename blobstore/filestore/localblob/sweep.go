// Cleaning up after writers that did not live to do it.

package localblob

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// Sweep removes the files that crashed writers and deleters left behind: temporary files that no process holds, and
// attributes whose object is gone. Neither is ever visible as an object; they only take space. It returns the number of
// files that it removed.
//
// With a key, Sweep looks at the temporary files and at the attributes of that key. With an empty one it reads every
// folder once. It is safe while this and other processes read and write. On systems without flock it leaves temporary
// files alone, because it can't distinguish those in use.
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
		// Its writer holds the lock for as long as it lives. Should it be about to take it, it looks afterwards
		// whether the file is still there.
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

// sweepSidecar removes the sidecar of the data file name if that is not there. Under the key's lock no writer is
// between placing the one and the other. A file that only happens to have the name of a sidecar stays.
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
