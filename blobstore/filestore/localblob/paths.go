// This file checks paths. The folder of the bucket must still be the one that
// was opened, and the path to a file must consist of folders only. A link in
// place of a folder could give one file two keys, or leave the folder.

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

// ErrNoFolder reports that the folder of the bucket no longer exists, or that
// another folder is in its place. It was removed or renamed, or its volume was
// unmounted, or another volume was mounted over it. ErrNoFolder does not match
// fs.ErrNotExist.
var ErrNoFolder = errors.New("localblob: the folder of the bucket is missing")

// ErrPath reports that a part of the path of a key is a symbolic link, or a
// name that the file system does not accept. A write that fails with ErrPath
// has stored nothing.
var ErrPath = errors.New("localblob: the path of the key cannot be used")

// present returns nil if the folder is still at its path and is the one that
// was opened. While the folder is open, no other folder gets its inode number.
func (f *fsys) present() error {
	fi, err := os.Stat(f.dir)
	switch {
	case err == nil && os.SameFile(fi, f.info):
		return nil
	case err == nil:
		return fmt.Errorf("%w: the folder at %s is not the one that was opened: if it is the right one, open the bucket again", ErrNoFolder, f.dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: there is no folder %s", ErrNoFolder, f.dir)
	}
	return err
}

// pathError identifies the unusable part of a path.
type pathError struct{ key, part, reason string }

func (e *pathError) Error() string {
	return fmt.Sprintf("localblob: the key %q cannot be used: %q %s", e.key, e.part, e.reason)
}

func (e *pathError) Is(target error) bool { return target == ErrPath }

const (
	isLink  = "is a symbolic link, which is not followed: put a folder in its place, or mount the other folder there"
	tooLong = "is longer than the names that this file system accepts"
)

// usable returns an error if no object can be stored under the path of a key.
// It accepts missing folders, and a file in place of a folder, which its
// callers handle. With file, it also refuses a link in place of the file,
// unless the link can be read.
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

// Precheck returns the predictable error of storing, replacing or removing the
// object under key: ErrNoFolder, ErrPath, or the error of a folder without
// search permission. Otherwise it returns nil.
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

// shortName is a length that every file system accepts for a name including the
// extension of the sidecar.
const shortName = 100

// explain returns the error of an operation on a key. It reports a missing
// bucket folder instead of a missing file, and names the part of the path in
// the way.
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
			return keyError(op, key, fs.ErrNotExist) // such an object never existed
		}
		return &pathError{key, name, tooLong}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if missing := b.fs.present(); missing != nil {
			return missing
		}
	case errors.As(err, &errno) && errno != syscall.ELOOP:
		return keyError(op, key, err)
	}
	// An os.Root returns an unnamed error for a link to the outside.
	if blocked := b.usable(key, name, true); errors.Is(blocked, ErrPath) {
		return blocked
	}
	return keyError(op, key, err)
}
