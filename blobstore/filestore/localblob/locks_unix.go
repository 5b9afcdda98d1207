//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// This file implements file locks between processes, on systems with flock.

package localblob

import (
	"os"
	"syscall"
)

// openFlags prevents the opening of a named pipe in the folder from waiting for
// its other end.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// flock locks f until it is closed. If wait is false and another process holds
// the lock, the error is syscall.EWOULDBLOCK.
func flock(f *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if lockErr = syscall.Flock(int(fd), how); lockErr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return lockErr
}

// removed reports whether the name of the open file f was removed.
func removed(f *os.File) (bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0, nil
}
