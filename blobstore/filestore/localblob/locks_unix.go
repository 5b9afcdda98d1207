//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

// File locks between processes, where the system has flock.

package localblob

import (
	"os"
	"syscall"
)

// openFlags keeps the opening of a named pipe that was put among the objects from waiting for its other end.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// flock locks f for as long as it is open. Without wait, a lock held elsewhere is syscall.EWOULDBLOCK.
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

// removed reports whether the open file f has no name any more.
func removed(f *os.File) (bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0, nil
}
