// The changes a bucket makes to the file system, one method each. They are gathered here so that every name is
// resolved inside the root, and so that a test can make each of them fail in turn.

package localblob

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

type fsys struct {
	root   *os.Root
	dir    string                  // its absolute path
	info   fs.FileInfo             // what it was when it was opened
	temp   atomic.Pointer[os.Root] // tempDir, kept open; nil until it is needed
	noSync bool
	step   func(op, name string) error // set by tests; an error stands in for the operation
}

func (f *fsys) before(op, name string) error {
	if f.step == nil {
		return nil
	}
	return f.step(op, name)
}

// in gives the folder that name is in if it is kept open, and the rest of the name. An os.Root opens every folder on the
// way to a file anew, which for temporary files is most of the work.
func (f *fsys) in(name string) (*os.Root, string) {
	if rest, ok := strings.CutPrefix(name, tempDir+"/"); ok {
		if temp := f.temp.Load(); temp != nil {
			return temp, rest
		}
	}
	return f.root, name
}

// keepTemp keeps the folder of temporary files open, if it is there. One that was kept before is closed when nobody
// uses it any more.
func (f *fsys) keepTemp() error {
	temp, err := f.root.OpenRoot(tempDir)
	if err == nil {
		f.temp.Store(temp)
	}
	return gone(err)
}

func (f *fsys) makeTemp(perm fs.FileMode) error {
	if err := f.mkdirs(tempDir, perm); err != nil {
		return err
	}
	return f.keepTemp()
}

func (f *fsys) close() error {
	if temp := f.temp.Load(); temp != nil {
		temp.Close()
	}
	return f.root.Close()
}

func (f *fsys) create(name string, perm fs.FileMode) (*os.File, error) {
	if err := f.before("create", name); err != nil {
		return nil, err
	}
	dir, name := f.in(name)
	return dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
}

func (f *fsys) rename(from, to string) error {
	if err := f.before("rename", to); err != nil {
		return err
	}
	return f.root.Rename(from, to)
}

func (f *fsys) link(from, to string) error {
	if err := f.before("link", to); err != nil {
		return err
	}
	return f.root.Link(from, to)
}

func (f *fsys) remove(name string) error {
	if err := f.before("remove", name); err != nil {
		return err
	}
	dir, name := f.in(name)
	return dir.Remove(name)
}

func (f *fsys) chtimes(name string, t time.Time) error {
	if err := f.before("chtimes", name); err != nil {
		return err
	}
	dir, name := f.in(name)
	return dir.Chtimes(name, t, t)
}

// syncFiles makes two files durable. Both wait for the same disk, and most file systems write them out in one go if
// they are asked at the same time.
func (f *fsys) syncFiles(a, b *tempFile) error {
	if f.noSync {
		return nil
	}
	if err := f.before("sync", a.name); err != nil {
		return err
	}
	if err := f.before("sync", b.name); err != nil {
		return err
	}
	startWriting(a.File)
	startWriting(b.File)
	first := make(chan error, 1)
	go func() { first <- a.Sync() }()
	err := b.Sync()
	return cmp.Or(<-first, err)
}

// syncDir makes the entries of a folder durable. Windows keeps them so by itself and has no such call.
func (f *fsys) syncDir(dir string) error {
	if f.noSync || runtime.GOOS == "windows" {
		return nil
	}
	if err := f.before("syncdir", dir); err != nil {
		return err
	}
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// mkdirs makes the folder dir and those above it, each durable before the next one is made.
func (f *fsys) mkdirs(dir string, perm fs.FileMode) error {
	if dir == "." {
		return nil
	}
	if fi, err := f.root.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	if err := f.mkdirs(path.Dir(dir), perm); err != nil {
		return err
	}
	if err := f.before("mkdir", dir); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, perm); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // made meanwhile, or a file: then the next step says so
		}
		return err
	}
	if err := f.syncDir(path.Dir(dir)); err != nil {
		_ = f.remove(dir) // so that the next writer does not take it for durable
		return err
	}
	return nil
}

// prune removes the folder dir and those above it for as long as they are empty. It leaves links alone.
func (f *fsys) prune(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if fi, err := f.root.Lstat(dir); err != nil || !fi.IsDir() || f.remove(dir) != nil {
			return
		}
	}
}
