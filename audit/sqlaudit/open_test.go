package sqlaudit_test

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		dsn  string
		opts *sqlaudit.Options
		want string
	}{
		"nothing":         {dsn: "", want: "has no scheme"},
		"a bare path":     {dsn: "./trail.db", want: "has no scheme"},
		"unknown scheme":  {dsn: "oracle:secret@x", want: `scheme "oracle"`},
		"no path":         {dsn: "sqlite:", want: "names no file"},
		"missing folder":  {dsn: "sqlite:" + dir + "/no/trail.db", want: "no such file or directory"},
		"a folder":        {dsn: "sqlite:" + dir, want: "unable to open database file"},
		"NUL":             {dsn: "sqlite:a\x00b", want: "NUL"},
		"timeout":         {dsn: "sqlite::memory:", opts: &sqlaudit.Options{Timeout: -1}, want: "Options.Timeout"},
		"lease":           {dsn: "sqlite::memory:", opts: &sqlaudit.Options{Lease: -1}, want: "Options.Lease"},
		"batch":           {dsn: "sqlite::memory:", opts: &sqlaudit.Options{MaxBatch: 1001}, want: "Options.MaxBatch"},
		"queue":           {dsn: "sqlite::memory:", opts: &sqlaudit.Options{QueueLength: -1}, want: "Options.QueueLength"},
		"origin":          {dsn: "sqlite::memory:", opts: &sqlaudit.Options{Origin: strings.Repeat("x", 256)}, want: "Options.Origin"},
		"tables missing":  {dsn: "sqlite::memory:", opts: &sqlaudit.Options{SkipMigrate: true}, want: "file_access_logs can't be read"},
		"not a database":  {dsn: "sqlite:" + textFile(t), want: "file is not a database"},
		"secret is quiet": {dsn: "postgrs://u:hunter2@h/db", want: `scheme "postgrs"`},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := sqlaudit.Open(t.Context(), tc.dsn, tc.opts)
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "hunter2")
			assert.Nil(t, j)
		})
	}
	_, err := sqlaudit.New(t.Context(), nil, nil)
	require.Error(t, err)
}

func textFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("these are my notes\n", 100)), 0o600))
	return path
}

func TestOpenPaths(t *testing.T) {
	for name, file := range map[string]string{
		"plain": "trail.db", "space": "my trail.db", "marks": "a?b#c%41&_pragma=synchronous(0).db", "umlaut": "spür.db",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), file)
			j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, nil)
			require.NoError(t, err)
			defer j.Close(t.Context())
			require.NoError(t, j.Log(t.Context(), event("k")))
			for _, p := range []string{path, path + "-wal"} {
				info, err := os.Stat(p)
				require.NoError(t, err)
				assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), p)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(t.TempDir())
		j, err := sqlaudit.Open(t.Context(), "sqlite:trail.db", nil)
		require.NoError(t, err)
		require.NoError(t, j.Close(t.Context()))
		require.FileExists(t, "trail.db")
	})
}

func TestOpenSetsUpSQLite(t *testing.T) {
	j, _ := sqliteSystem.open(t, nil)
	write, read := sqlaudit.Pools(j)
	for _, db := range []*sqlx.DB{write, read} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1"} {
			var got string
			require.NoError(t, db.Get(&got, "PRAGMA "+pragma))
			assert.Equal(t, want, got, pragma)
		}
	}
	assert.Equal(t, 1, write.Stats().MaxOpenConnections)
	_, err := read.Exec("DELETE FROM file_access_intents")
	require.Error(t, err, "readers can't write")
}

func TestMemoryDatabase(t *testing.T) {
	j, err := sqlaudit.Open(t.Context(), "sqlite::memory:", nil)
	require.NoError(t, err)
	other, err := sqlaudit.Open(t.Context(), "sqlite::memory:", nil)
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), event("k")))
	for e, err := range j.Entries(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		require.NoError(t, j.Log(t.Context(), event("during the loop")), "no connection is held for %s", e.ID)
	}
	assert.Empty(t, entries(t, other, audit.Query{}), "each is private")
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, other.Close(t.Context()))
}

// A host's pool of one connection and with deferred transactions must do.
func TestNewInTheHostsDatabase(t *testing.T) {
	db := newRaw(t, "sqlite:"+filepath.Join(t.TempDir(), "host.db"))
	db.SetMaxOpenConns(1)
	db.MustExec("CREATE TABLE invoices (id INTEGER PRIMARY KEY)")
	j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			in, err := j.Begin(t.Context(), event("k"), 0)
			if assert.NoError(t, err) {
				assert.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
			}
		})
	}
	wg.Wait()
	assert.Len(t, entries(t, j, audit.Query{}), 32)
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, db.Ping(), "the pool remains the host's")

	var others []string
	require.NoError(t, db.Select(&others, "SELECT tbl_name FROM sqlite_master WHERE tbl_name NOT LIKE 'file\\_access\\_%' ESCAPE '\\'"))
	assert.Equal(t, []string{"invoices"}, others)
}

func TestMigrationsRunOnceAndConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
			if assert.NoError(t, err) {
				assert.NoError(t, j.Log(t.Context(), event("k")))
				assert.NoError(t, j.Close(t.Context()))
			}
		})
	}
	wg.Wait()
	j, db := openDSN(t, "sqlite:"+path, nil)
	assert.Len(t, entries(t, j, audit.Query{}), 8)
	files, err := fs.Glob(sqlaudit.Migrations(), "sqlite/*.sql")
	require.NoError(t, err)
	assert.Equal(t, len(files), db.count(t, "file_access_migrations"))
}

func TestChangedMigrationIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.db")
	_, db := openDSN(t, "sqlite:"+path, nil)
	db.MustExec("UPDATE file_access_migrations SET checksum = 'abc' WHERE version = 1")
	_, err := sqlaudit.Open(t.Context(), "sqlite:"+path, nil)
	require.ErrorContains(t, err, "0001_journal.sql was applied with another content")

	j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, &sqlaudit.Options{SkipMigrate: true})
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
}

func TestMigrationsAreAtomic(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(sqlaudit.Migrations(), "sqlite", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(sqlaudit.Migrations(), path)
		files[path] = &fstest.MapFile{Data: text}
		return err
	}))
	n := len(files)
	files["sqlite/9999_bad.sql"] = &fstest.MapFile{}
	require.ErrorContains(t, sqlaudit.Migrate(j, files), "want number")
	delete(files, "sqlite/9999_bad.sql")

	next := "sqlite/000" + string(rune('1'+n)) + "_next.sql"
	files[next] = &fstest.MapFile{Data: []byte("CREATE TABLE file_access_new (x TEXT);\n\nCREATE TABLE file_access_logs (x TEXT);\n")}
	require.ErrorContains(t, sqlaudit.Migrate(j, files), "already exists")
	assert.Zero(t, db.count(t, "sqlite_master WHERE name = 'file_access_new'"))

	files[next] = &fstest.MapFile{Data: []byte("CREATE TABLE file_access_new (x TEXT);\n")}
	require.NoError(t, sqlaudit.Migrate(j, files))
	require.NoError(t, sqlaudit.Migrate(j, files))
	assert.Equal(t, 1, db.count(t, "sqlite_master WHERE name = 'file_access_new'"))
	assert.Equal(t, n+1, db.count(t, "file_access_migrations"))

	path := ""
	require.NoError(t, db.Get(&path, "SELECT file FROM pragma_database_list WHERE name = 'main'"))
	older, err := sqlaudit.Open(t.Context(), "sqlite:"+path, nil)
	require.NoError(t, err, "a program that knows fewer migrations still opens")
	require.NoError(t, older.Close(t.Context()))
}

// The exported files make the same tables in any tool that runs SQL.
func TestExportedMigrationsSuffice(t *testing.T) {
	db := newRaw(t, "sqlite:"+filepath.Join(t.TempDir(), "host.db"))
	require.NoError(t, fs.WalkDir(sqlaudit.Migrations(), "sqlite", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(sqlaudit.Migrations(), path)
		db.MustExec(string(text))
		return err
	}))
	j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{SkipMigrate: true, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), event("k")))
	require.NoError(t, j.Close(t.Context()))
}

func TestNewAsksWhatTheDatabaseIs(t *testing.T) {
	db := sqlx.NewDb(sql.OpenDB(refusing{}), "sqlite")
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := sqlaudit.New(ctx, db, nil)
	require.ErrorContains(t, err, "asking the database what it is")
}
