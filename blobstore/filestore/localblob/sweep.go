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

// Swept says what Sweep removed.
type Swept struct {
	TempFiles int // of writers that crashed
	Sidecars  int // attributes without an object
}

// Sweep removes what crashed writers and deleters left behind: temporary files that no
// process holds, and attributes whose object is gone. Neither is ever visible as an object; they only take space.
//
// It reads every folder once and is safe while this and other processes read and write. On systems without flock
// temporary files are left alone, because those in use cannot be told apart.
func (bk *Bucket) Sweep(ctx context.Context) (Swept, error) {
	var swept Swept
	b := bk.b
	var err error
	if swept.TempFiles, err = b.sweepTemp(ctx); err != nil {
		return swept, keyError("sweep", tempDir, err)
	}
	err = b.sweepSidecars(ctx, ".", &swept.Sidecars)
	return swept, err
}

// SweepKey is Sweep for what is known to have happened to one key: it looks at the temporary files, and at the
// attributes of that key alone.
func (bk *Bucket) SweepKey(ctx context.Context, key string) error {
	b := bk.b
	if err := b.fs.present(); err != nil {
		return err
	}
	if _, err := b.sweepTemp(ctx); err != nil {
		return keyError("sweep", tempDir, err)
	}
	name, err := fileName(key, false)
	if err != nil {
		return err
	}
	if _, err := b.fs.root.Lstat(name + attrsExt); err != nil {
		if gone(err) == nil || errors.Is(err, syscall.ENAMETOOLONG) {
			return nil
		}
		return b.explain("sweep", key, name, err)
	}
	_, err = b.sweepSidecar(ctx, name)
	return keyError("sweep", key, err)
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
