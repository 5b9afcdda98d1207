package sqlaudit_test

// This file tests the removal and replacement of an open database file.

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// overwrite copies a file over another one without changing its identity.
func overwrite(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	defer out.Close()
	_, err = io.Copy(out, in)
	require.NoError(t, err)
}

// another returns the file of another trail.
func another(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "other.db")
	j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), event("theirs")))
	require.NoError(t, j.Close(t.Context()))
	return path
}

// losses are the ways to lose the file at path, or the link to it. backup is an
// older copy.
var losses = map[string]func(t *testing.T, path, link, backup string){
	"removed with its log": func(t *testing.T, path, _, _ string) {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Remove(path+"-wal"))
	},
	"all removed": func(t *testing.T, path, _, _ string) {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			require.NoError(t, os.Remove(path+suffix))
		}
	},
	"database removed": func(t *testing.T, path, _, _ string) { require.NoError(t, os.Remove(path)) },
	"log removed":      func(t *testing.T, path, _, _ string) { require.NoError(t, os.Remove(path+"-wal")) },
	"log replaced": func(t *testing.T, path, _, _ string) {
		require.NoError(t, os.Rename(path+"-wal", path+"-old"))
		require.NoError(t, os.WriteFile(path+"-wal", nil, 0o600))
	},
	"index removed": func(t *testing.T, path, _, _ string) { require.NoError(t, os.Remove(path+"-shm")) },
	"moved away":    func(t *testing.T, path, _, _ string) { require.NoError(t, os.Rename(path, path+".old")) },
	"folder renamed": func(t *testing.T, path, _, _ string) {
		require.NoError(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"))
	},
	"emptied":  func(t *testing.T, path, _, _ string) { require.NoError(t, os.Truncate(path, 0)) },
	"restored": func(t *testing.T, path, _, backup string) { require.NoError(t, os.Rename(backup, path)) },
	"another":  func(t *testing.T, path, _, _ string) { require.NoError(t, os.Rename(another(t), path)) },
	"link to another": func(t *testing.T, _, link, _ string) {
		require.NoError(t, os.Remove(link))
		require.NoError(t, os.Symlink(another(t), link))
	},
}

// checkpoint moves the content of the write-ahead log to the file.
func checkpoint(t *testing.T, path string) {
	t.Helper()
	db := testdb.Connect(t, "sqlite:"+path)
	wait(t, "all is moved", func() bool { // when there are no readers
		var busy, log, moved int
		require.NoError(t, db.QueryRow("PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &moved))
		return log == moved
	})
	require.NoError(t, db.Close())
}

func TestNothingIsStoredInARemovedFile(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "trail")
			require.NoError(t, os.Mkdir(dir, 0o700))
			path, link, backup := filepath.Join(dir, "trail.db"), filepath.Join(dir, "link.db"), filepath.Join(t.TempDir(), "backup.db")
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			require.NoError(t, os.Symlink(path, link))
			j, err := sqlaudit.Open(t.Context(), "sqlite:"+link, &sqlaudit.Options{Logger: quiet})
			require.NoError(t, err)
			defer func() { require.NoError(t, j.Close(context.Background())) }()
			require.NoError(t, j.Log(t.Context(), event("first")))
			checkpoint(t, path)
			require.NoError(t, os.WriteFile(backup, nil, 0o600))
			overwrite(t, path, backup)
			require.NoError(t, j.Log(t.Context(), event("second")))
			checkpoint(t, path)
			in, err := j.Begin(t.Context(), event("open"), 0)
			require.NoError(t, err)

			lose(t, path, link, backup)
			what := "while it was open"
			require.ErrorContains(t, j.Log(t.Context(), event("third")), what)
			require.ErrorContains(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), what)
			_, err = j.Begin(t.Context(), event("third"), 0)
			require.ErrorContains(t, err, what)
			require.NotErrorIs(t, err, os.ErrNotExist, "which would be taken for that of an object")
			if name[:3] != "log" && name[:3] != "ind" {
				require.ErrorContains(t, in.Renew(t.Context(), time.Minute), what)
				_, err = j.Verify(t.Context(), nil)
				require.Error(t, err)
			}
			if strings.HasSuffix(name, "removed") || name == "removed with its log" || name == "moved away" {
				for _, err := range j.Entries(t.Context(), audit.Query{}) {
					t.Log("reading:", err) // the result does not matter
				}
				require.NoError(t, j.Close(t.Context()))
				if name != "log removed" && name != "index removed" {
					assert.NoFileExists(t, path, "nothing makes it anew")
				}
			}
		})
	}
}

// The journal works again when the file is back.
func TestAFileThatComesBack(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	_, path, _ := cutDSN(db.dsn)
	require.NoError(t, j.Log(t.Context(), event("before")))
	require.NoError(t, os.Rename(path, path+".old"))
	require.Error(t, j.Log(t.Context(), event("while it was away")))
	require.NoError(t, os.Rename(path+".old", path))
	require.NoError(t, j.Log(t.Context(), event("after")))
	assert.Equal(t, []string{"before", "after"}, keys(entries(t, j, audit.Query{})))
	report, err := j.Verify(t.Context(), nil)
	require.NoError(t, err)
	requireSound(t, report)
}

func cutDSN(dsn string) (scheme, path string, ok bool) { return dsn[:6], dsn[7:], true }

// Permitted changes are not mistaken for a loss: other processes write, move
// pages from the log to the file, shrink it, or touch it.
func TestTheFileMayChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.db")
	dsn := "sqlite:" + path
	var journals []*sqlaudit.Journal
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 { // they create the file concurrently
		wg.Go(func() {
			j, err := sqlaudit.Open(t.Context(), dsn, &sqlaudit.Options{Logger: quiet})
			if assert.NoError(t, err) {
				mu.Lock()
				defer mu.Unlock()
				journals = append(journals, j)
			}
		})
	}
	wg.Wait()
	require.Len(t, journals, 4)
	db := newRaw(t, dsn)
	own, err := sqlaudit.New(t.Context(), db.DB.DB, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	db.SetMaxIdleConns(0) // each write opens a new connection
	for _, j := range append(journals, own) {
		wg.Go(func() {
			for range 40 {
				assert.NoError(t, j.Log(t.Context(), event("k")))
			}
		})
	}
	other := newRaw(t, dsn)
	for range 20 {
		other.exec(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	wg.Wait()
	other.exec(t, "CREATE TABLE ballast AS SELECT randomblob(1000000) AS b")
	checkpoint(t, path)
	require.NoError(t, own.Log(t.Context(), event("k")))
	other.exec(t, "DROP TABLE ballast")
	other.exec(t, "VACUUM")
	other.exec(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, os.Chtimes(path, time.Now(), time.Now()))
	for _, j := range append(journals, own) {
		require.NoError(t, j.Log(t.Context(), event("k")))
		require.NoError(t, j.Close(t.Context()))
	}
	assert.Equal(t, 5*41+1, other.count(t, "file_access_logs"))
}
