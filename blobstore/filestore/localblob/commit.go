// The commit of a write. Data and attributes are two files, but a replacement is one step:
//
//  1. The sidecar is replaced by one with two records: the new object's and the present one's. Each carries the size and
//     the time of its data file, so that a reader knows which one belongs to the file that it has opened.
//  2. One rename (or link, to create only) of the data file is the step itself.
//
// Both files are complete and durable before the first step. They are prepared before the key is locked; under the lock
// it is only checked that the present object is still the one that was assumed, and both files are moved.

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

// commit gives the written file its final name, with its attributes.
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
	defer func() { p.discard() }() // whichever plan it is by then

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

// ErrNotSynced: an object was stored or removed, but the folder could not be synced, so that after a loss of power there
// may be what was there before. Either is whole.
var ErrNotSynced = errors.New("localblob: done, but perhaps not for good")

// plan is a commit that is ready to be made, if the present object is still the one it is to replace.
type plan struct {
	present fs.FileInfo // nil: none
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

// present describes the object that is there, or is nil. It refuses what no commit could get past.
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
		// A folder without objects may be left from a crash; one with objects cannot be removed.
		if err := w.b.fs.remove(w.name); err != nil {
			return nil, nestedError(w.key, err)
		}
		return nil, nil
	case w.ifNotExist:
		return nil, existsError(w.key)
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		// Readers follow the link; the commit replaces the link itself.
		if fi, err = w.b.stat(w.name); err != nil {
			return nil, nil
		}
	}
	return fi, nil
}

// prepare makes both files ready and durable.
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

// stampAfter makes the time of the written file later than that of the one it replaces, however coarse the times of
// this file system are.
func (w *writer) stampAfter(p *plan) (err error) {
	before := p.present.ModTime()
	for step := time.Nanosecond; !p.written.ModTime().After(before); step *= 10 {
		if step > time.Minute {
			return errors.New("the file system does not keep the time of a file")
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

// install moves both files to their names; the key is locked.
func (w *writer) install(p *plan) error {
	fsys := &w.b.fs
	dir := path.Dir(w.name)
	err := fsys.rename(p.sidecar.name, w.name+attrsExt)
	// A deleter may remove the folder while it is still empty, so making it once may not be enough.
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
		_ = fsys.remove(w.name + attrsExt) // else a sweep will
		fsys.prune(dir)
	}
	if errors.Is(err, fs.ErrExist) && w.ifNotExist {
		return existsError(w.key)
	}
	return keyError("write", w.key, err)
}

// undoTimeout is how long the lock is waited for to take an object back.
const undoTimeout = 15 * time.Second

// undo takes back a new object that could not be made durable, and reports whether it is gone.
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

// takeBack is undo where the key is locked.
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
	_ = w.b.fs.remove(w.name + attrsExt) // else a sweep will
	w.b.fs.prune(path.Dir(w.name))
	return true
}
