// This file checks paths. The folder of the bucket must still be the one that was opened, and the way to a file leads
// through folders only. A link in place of a folder would give one file two keys, or lead out of the folder.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// ErrNoFolder reports that the folder of the bucket does not exist any more, or that another one has taken its place: it
// was removed or renamed, or its volume was unmounted or mounted over it. It is not fs.ErrNotExist.
var ErrNoFolder = errors.New("localblob: the folder of the bucket is missing")

// ErrPath reports that a part of the path of a key is a symbolic link, or a name that the file system does not take. A
// write that fails with it has stored nothing.
var ErrPath = errors.New("localblob: the path of the key can't be used")

// present returns nil if the folder is at its path and is the one that was opened. The number of a folder is not given
// to another one while it is open.
func (f *fsys) present() error {
	fi, err := os.Stat(f.dir)
	switch {
	case err == nil && os.SameFile(fi, f.info):
		return nil
	case err == nil:
		return fmt.Errorf("%w: another folder is at %s than the one that was opened: open the bucket again if that is right", ErrNoFolder, f.dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: there is no folder %s", ErrNoFolder, f.dir)
	}
	return err
}

// pathError names the part of a path that can't be used.
type pathError struct{ key, part, reason string }

func (e *pathError) Error() string {
	return fmt.Sprintf("localblob: the key %q can't be used: %q %s", e.key, e.part, e.reason)
}

func (e *pathError) Is(target error) bool { return target == ErrPath }

const (
	isLink  = "is a symbolic link, which is not followed: put a folder in its place, or mount the other folder there"
	tooLong = "is a longer name than this file system takes"
)

// usable refuses the path of a key that no object can be stored under. It accepts missing folders, and leaves a file in
// place of a folder to its callers. With file it also refuses a link in place of the file, unless it can be
// read.
func (b *bucket) usable(key, name string, file bool) error {
	for at := 0; ; {
		part, last := name, true
		if n := strings.IndexByte(name[at:], '/'); n >= 0 {
			part, last = name[:at+n], false
			at += n + 1
		}
		if last && !file {
			return nil
		}
		fi, err := b.fs.root.Lstat(part)
		switch {
		case errors.Is(err, syscall.ENAMETOOLONG):
			return &pathError{key, part, tooLong}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil
		case err != nil:
			return keyError("stat", key, err)
		case fi.Mode()&fs.ModeSymlink != 0:
			if last {
				if _, err := b.stat(part); err == nil {
					return nil
				}
			}
			return &pathError{key, part, isLink}
		case last, !fi.IsDir():
			return nil
		}
	}
}

// Precheck returns nil, or the error that storing, replacing or removing the object of a key would fail with: ErrNoFolder,
// ErrPath, or that of a folder that can't be searched.
func (bk *Bucket) Precheck(_ context.Context, key string) error {
	b := bk.b
	name, err := fileName(key, true)
	if err != nil {
		return err
	}
	if err := b.fs.present(); err != nil {
		return err
	}
	if len(name)-strings.LastIndexByte(name, '/') > shortName {
		if _, err := b.fs.root.Lstat(name + attrsExt); errors.Is(err, syscall.ENAMETOOLONG) {
			return &pathError{key, name + attrsExt, tooLong}
		}
	}
	return b.usable(key, name, true)
}

// shortName is the length of names that every file system takes, with the extension of their attributes.
const shortName = 100

// explain returns the error of an operation on a key: that the folder is missing rather than the file, or which part of
// the path is in the way.
func (b *bucket) explain(op, key, name string, err error) error {
	var coded *codedError
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &coded), errors.Is(err, ErrPath), errors.Is(err, ErrNoFolder), errors.Is(err, ErrNotSynced),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENAMETOOLONG):
		if op != "write" {
			return keyError(op, key, fs.ErrNotExist) // and never was there
		}
		return &pathError{key, name, tooLong}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if missing := b.fs.present(); missing != nil {
			return missing
		}
	case errors.As(err, &errno) && errno != syscall.ELOOP:
		return keyError(op, key, err)
	}
	// The error of an os.Root for a link that leads out has no name.
	if blocked := b.usable(key, name, true); errors.Is(blocked, ErrPath) {
		return blocked
	}
	return keyError(op, key, err)
}
