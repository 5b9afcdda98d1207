package sqlaudit_test

// This file tests each database on an in-memory file system of a few megabytes.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// tinyDisk mounts a file system of the given size at dir, with the same owner
// as before. The test can fill it and free it.
func tinyDisk(t *testing.T, dir string, size int) (full, free func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("left out: mounting a small file system needs root")
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,uid=%d,gid=%d,mode=0700", size, owner.Uid, owner.Gid)); err != nil {
		t.Skipf("left out: can't mount a small file system: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }) // the server may still use it
	ballast := filepath.Join(dir, "ballast")
	full = func() {
		// A database may rely on holes in its files. MariaDB creates its tables
		// with holes and ends if it cannot fill them.
		files, err := filepath.Glob(filepath.Join(dir, "*.ibd"))
		require.NoError(t, err)
		for _, path := range files {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			info, err := f.Stat()
			require.NoError(t, err)
			require.NoError(t, syscall.Fallocate(int(f.Fd()), 0, 0, info.Size()))
			require.NoError(t, f.Close())
		}
		f, err := os.Create(ballast)
		require.NoError(t, err)
		defer f.Close()
		for page := make([]byte, 4096); err == nil; {
			_, err = f.Write(page)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("filling the disk: %v", err)
		}
	}
	return full, func() { require.NoError(t, os.Remove(ballast)) }
}

func TestDiskFull(t *testing.T) {
	opts := &sqlaudit.Options{Timeout: 5 * time.Second}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		full, free := tinyDisk(t, dir, 8<<20)
		j, db := openDSN(t, "sqlite:"+filepath.Join(dir, "trail.db"), opts)
		testFull(t, j, db, full, free)
	})
	// PostgreSQL's write-ahead log is elsewhere: the server ends if there is no
	// room for it.
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := testdb.OwnPostgres(t)
		dir := filepath.Join(server.Dir(), "tiny")
		chownLike(t, dir, server.Dir())
		full, free := tinyDisk(t, dir, 24<<20)
		admin := server.Admin(t)
		_, err := admin.Exec("CREATE TABLESPACE tiny LOCATION '" + dir + "'")
		require.NoError(t, err)
		require.NoError(t, admin.Close())
		j, db := openDSN(t, server.New(t)+"&default_tablespace=tiny", opts)
		testFull(t, j, db, full, free)
	})
	// MariaDB may end if it has no room to roll back a statement. Then the
	// server must be restarted, but not the program.
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		server := testdb.OwnMariaDB(t)
		dsn := server.New(t)
		full, free := tinyDisk(t, filepath.Join(server.Dir(), "data", dsn[strings.LastIndex(dsn, "/")+1:]), 24<<20)
		j, db := openDSN(t, dsn, opts)
		testFull(t, j, db, full, func() {
			free()
			if err := db.Ping(); err != nil {
				t.Log("MariaDB ended itself:", err)
				server.Kill()
				server.Start(t)
			}
		})
	})
}

// chownLike sets the owner of a folder to the owner of another one.
func chownLike(t *testing.T, dir, like string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o700))
	info, err := os.Stat(like)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	require.NoError(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
}
