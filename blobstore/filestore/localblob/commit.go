// This file implements the commit of a write. Data and attributes are two
// files, but a replacement is atomic:
//
//	1. A new sidecar replaces the old one. It has two records: that of the new
//	   object and that of the existing one. Each record contains the size and
//	   the time of its data file, so a reader knows which record belongs to the
//	   file it has opened.
//	2. One rename of the data file (or link, for create-only) makes the new
//	   object visible.
//
// Both files are complete and durable before the first step. They are prepared
// before the key is locked. Under the lock, the writer only checks that the
// existing object is still the expected one, and moves both files.

package localblob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"
	"time"
)

// commit gives the written file its final name and its attributes.
func (w *writer) commit() error {
	b := w.b
	if err := b.fs.chtimes(w.temp.name, time.Now()); err != nil {
		return keyError("write", w.key, err)
	}
	if err := b.fs.present(); err != nil {
		return err
	}
	p, err := w.prepare()
	if err != nil {
		return err
	}
	defer func() { p.discard() }() // p may be replaced below

	unlock, err := b.lock(w.ctx, w.name)
	if err != nil {
		return keyError("write", w.key, err)
	}
	locked := true
	defer func() {
		if locked {
			unlock()
		}
	}()
	present, err := w.present()
	if err != nil {
		return err
	}
	if !p.replaces(present) {
		p.discard()
		if p, err = w.prepare(); err != nil {
			return err
		}
	}
	if err := b.usable(w.key, w.name, false); err != nil {
		return err
	}
	if err := w.install(p); err != nil {
		return err
	}
	unlock()
	locked = false

	if err := b.fs.syncDir(path.Dir(w.name)); err != nil {
		err = keyError("write", w.key, err)
		if p.present != nil || !w.undo(p) {
			return fmt.Errorf("%w: %w", ErrNotSynced, err)
		}
		return err
	}
	return nil
}

// ErrNotSynced reports that an object was stored or removed, but the folder
// could not be synced. After a power failure the folder may contain the
// previous state. Both states are complete objects.
var ErrNotSynced = errors.New("localblob: completed but not synced to disk")

// plan is a commit that is ready, provided that the existing object is still
// the expected one.
type plan struct {
	present fs.FileInfo // nil if the object does not exist
	sidecar *tempFile
	written fs.FileInfo
}

func (p *plan) discard() {
	if p != nil {
		p.sidecar.discard()
	}
}

func (p *plan) replaces(present fs.FileInfo) bool {
	if p.present == nil || present == nil {
		return p.present == nil && present == nil
	}
	return sameVersion(p.present, present)
}

// present describes the existing object. It returns nil if the object does not
// exist, and an error if no commit can succeed.
func (w *writer) present() (fs.FileInfo, error) {
	fi, err := w.b.fs.root.Lstat(w.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, syscall.ENOTDIR):
		return nil, nestedError(w.key, err)
	case err != nil:
		return nil, keyError("write", w.key, err)
	case fi.IsDir():
		// A crash may leave a folder without objects. A folder with objects
		// cannot be removed.
		if err := w.b.fs.remove(w.name); err != nil {
			return nil, nestedError(w.key, err)
		}
		return nil, nil
	case w.ifNotExist:
		return nil, existsError(w.key)
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		// Readers follow the link. The commit replaces the link itself.
		if fi, err = w.b.stat(w.name); err != nil {
			return nil, nil
		}
	}
	return fi, nil
}

// prepare completes both files and makes them durable.
func (w *writer) prepare() (_ *plan, err error) {
	p := new(plan)
	if p.present, err = w.present(); err != nil {
		return nil, err
	}
	fail := func(err error) (*plan, error) {
		p.sidecar.discard()
		return nil, keyError("write", w.key, err)
	}
	if p.written, err = w.temp.Stat(); err != nil {
		return fail(err)
	}
	s := sidecar{record: w.rec}
	if p.present != nil {
		if err := w.stampAfter(p); err != nil {
			return fail(err)
		}
		old, err := w.b.readSidecar(w.name)
		if err != nil && !errors.Is(err, errSidecar) {
			return fail(err)
		}
		previous, _ := old.pick(tagOf(p.present))
		t := tagOf(p.present)
		previous.Tag = &t
		s.Previous = &previous
	}
	t := tagOf(p.written)
	s.Tag = &t

	raw, err := json.Marshal(s)
	if err != nil {
		return fail(err)
	}
	if p.sidecar, err = w.b.createTemp(); err != nil {
		return fail(err)
	}
	if _, err := p.sidecar.Write(append(raw, '\n')); err != nil {
		return fail(err)
	}
	if err := w.b.fs.syncFiles(w.temp, p.sidecar); err != nil {
		return fail(err)
	}
	return p, nil
}

// stampAfter makes the time of the written file later than the time of the
// existing one, even if the file system stores times with a low resolution.
func (w *writer) stampAfter(p *plan) (err error) {
	before := p.present.ModTime()
	for step := time.Nanosecond; !p.written.ModTime().After(before); step *= 10 {
		if step > time.Minute {
			return errors.New("the file system does not store modification times")
		}
		if err := w.b.fs.chtimes(w.temp.name, before.Add(step)); err != nil {
			return err
		}
		if p.written, err = w.temp.Stat(); err != nil {
			return err
		}
	}
	return nil
}

// install moves both files to their final names. The key must be locked.
func (w *writer) install(p *plan) error {
	fsys := &w.b.fs
	dir := path.Dir(w.name)
	err := fsys.rename(p.sidecar.name, w.name+attrsExt)
	// A concurrent deletion may remove the folder while it is still empty, so
	// several attempts may be necessary.
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 100; try++ {
		if err = fsys.mkdirs(dir, w.b.opts.DirMode); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = fsys.rename(p.sidecar.name, w.name+attrsExt)
		}
	}
	if err != nil {
		fsys.prune(dir)
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
			return nestedError(w.key, errors.Unwrap(err))
		}
		return keyError("write", w.key, err)
	}
	p.sidecar.moved = true

	if w.ifNotExist {
		err = fsys.link(w.temp.name, w.name)
	} else if err = fsys.rename(w.temp.name, w.name); err == nil {
		w.temp.moved = true
	}
	if err == nil {
		return nil
	}
	if p.present == nil {
		_ = fsys.remove(w.name + attrsExt) // if this fails, a sweep removes it
		fsys.prune(dir)
	}
	if errors.Is(err, fs.ErrExist) && w.ifNotExist {
		return existsError(w.key)
	}
	return keyError("write", w.key, err)
}

// undoTimeout limits the wait for the lock that undo needs.
const undoTimeout = 15 * time.Second

// undo removes a new object that could not be made durable. It reports whether
// the object is gone.
func (w *writer) undo(p *plan) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), undoTimeout)
	defer cancel()
	unlock, err := w.b.lock(ctx, w.name)
	if err != nil {
		return false
	}
	defer unlock()
	return w.takeBack(p)
}

// takeBack implements undo. The key must be locked.
func (w *writer) takeBack(p *plan) bool {
	switch fi, err := w.b.stat(w.name); {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		return false
	case !sameVersion(fi, p.written):
		return true
	}
	if w.b.fs.remove(w.name) != nil {
		return false
	}
	_ = w.b.fs.remove(w.name + attrsExt) // if this fails, a sweep removes it
	w.b.fs.prune(path.Dir(w.name))
	return true
}
