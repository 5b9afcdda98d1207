//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// This file reads folders without a system call for each entry.

package localblob

import (
	"io/fs"
	"os"
	"syscall"
)

// readDir reads all entries of d in the order of the file system. d was opened
// through an os.Root, so its ReadDir would look up every entry at once. A
// listing first needs only names and types. readDir therefore reads through a
// duplicate descriptor without a root. Never call Info on the result, because
// it would use a path.
func readDir(d *os.File) ([]fs.DirEntry, error) {
	conn, err := d.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := conn.Control(func(orig uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(orig)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	plain := os.NewFile(uintptr(fd), ".")
	defer plain.Close()
	return plain.ReadDir(-1)
}
