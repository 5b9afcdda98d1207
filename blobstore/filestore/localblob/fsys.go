// This file contains all file system changes of a bucket, one method each.
// Every name is resolved inside the root. A test can make each change fail.

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
	dir    string                  // absolute path
	info   fs.FileInfo             // of the folder, when it was opened
	temp   atomic.Pointer[os.Root] // tempDir, opened once; nil until needed
	noSync bool
	step   func(op, name string) error // set by tests; if it returns an error, the operation is skipped
}

func (f *fsys) before(op, name string) error {
	if f.step == nil {
		return nil
	}
	return f.step(op, name)
}

// in returns the folder to resolve name in, and the rest of the name. An
// os.Root opens every folder on the path again for each call. For temporary
// files, this would be most of the work, so their folder stays open.
func (f *fsys) in(name string) (*os.Root, string) {
	if rest, ok := strings.CutPrefix(name, tempDir+"/"); ok {
		if temp := f.temp.Load(); temp != nil {
			return temp, rest
		}
	}
	return f.root, name
}

// keepTemp opens the folder of temporary files, if it exists, and keeps it
// open. The garbage collector closes a folder that was kept before.
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

// syncFiles makes two files durable. Both wait for the same disk, and most file
// systems write both at once if the requests are concurrent.
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

// syncDir makes the entries of a folder durable. On Windows they are always
// durable, and the call does not exist.
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

// mkdirs creates the folder dir and its parents. It makes each durable before
// it creates the next one.
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
			return nil // created concurrently, or a file: the next step reports it
		}
		return err
	}
	if err := f.syncDir(path.Dir(dir)); err != nil {
		_ = f.remove(dir) // otherwise the next writer would consider it durable
		return err
	}
	return nil
}

// prune removes the folder dir and its parents until one is not empty. It does
// not remove links.
func (f *fsys) prune(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if fi, err := f.root.Lstat(dir); err != nil || !fi.IsDir() || f.remove(dir) != nil {
			return
		}
	}
}
