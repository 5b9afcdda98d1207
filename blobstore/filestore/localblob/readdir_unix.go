//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// Reading a folder without a system call for each entry.

package localblob

import (
	"io/fs"
	"os"
	"syscall"
)

// readDir reads all entries of d, which was opened through an os.Root, in the order of the file system. Such a file
// would describe every entry at once, so that nobody does it by path later. A listing needs only names and types at
// first, so this reads through a second descriptor that is not bound to the root. Never call Info on the result: it
// would use a path.
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
