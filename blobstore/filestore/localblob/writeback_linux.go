// Starting to write a file out before waiting for it.

package localblob

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriting lets the disk begin with what f holds and returns at once. Two files that are then synced at the same
// time become durable in one commit of the file system's journal, where otherwise the second may just miss the commit
// of the first. It promises nothing: that is the sync's part, and so are errors.
func startWriting(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), 0, 0, unix.SYNC_FILE_RANGE_WRITE) })
	}
}
