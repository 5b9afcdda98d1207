// This file starts writing files to disk before they are synced.

package localblob

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriting makes the kernel start writing f to disk and returns at once. If
// two such files are then synced concurrently, one commit of the file system's
// journal usually covers both. Otherwise the second file may just miss the
// commit of the first. startWriting guarantees nothing and ignores errors,
// because the sync follows.
func startWriting(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), 0, 0, unix.SYNC_FILE_RANGE_WRITE) })
	}
}
