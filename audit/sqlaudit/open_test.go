package sqlaudit_test

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		"no path":         {dsn: "sqlite:", want: "has no path"},
		"missing folder":  {dsn: "sqlite:" + dir + "/no/trail.db", want: "no such file or directory"},
		"a folder":        {dsn: "sqlite:" + dir, want: "unable to open database file"},
		"NUL":             {dsn: "sqlite:a\x00b", want: "NUL"},
		"timeout":         {dsn: "sqlite::memory:", opts: &sqlaudit.Options{Timeout: -1}, want: "Options.Timeout"},
		"batch":           {dsn: "sqlite::memory:", opts: &sqlaudit.Options{MaxBatch: 1001}, want: "Options.MaxBatch"},
		"queue":           {dsn: "sqlite::memory:", opts: &sqlaudit.Options{QueueLength: -1}, want: "Options.QueueLength"},
		"origin":          {dsn: "sqlite::memory:", opts: &sqlaudit.Options{Origin: strings.Repeat("x", 256)}, want: "Options.Origin"},
		"tables missing":  {dsn: "sqlite::memory:", opts: &sqlaudit.Options{SkipMigrate: true}, want: "cannot read table file_access_logs"},
		"not a database":  {dsn: "sqlite:" + textFile(t), want: "file is not a database"},
		"secret, scheme":  {dsn: "postgrs://u:hunter2@h/db", want: `scheme "postgrs"`},
		"secret, pg URL":  {dsn: "postgres://u:hunter2%@h/db", want: "not a valid URL"},
		"secret, pg host": {dsn: "postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=2", want: "connect"},
		"secret, pg mode": {dsn: "postgres://u:hunter2@127.0.0.1:1/db?sslmode=nonsense", want: "sslmode"},
		"secret, my URL":  {dsn: "mysql://u:hunter2%@h/db", want: "not a valid URL"},
		"secret, my host": {dsn: "mysql://u:hunter2@127.0.0.1:1/db", want: "connect"},
		"secret, my form": {dsn: "mysql:u:hunter2@nonsense(x/db", want: "opening the database"},
		"secret, my name": {dsn: "mysql://u:hunter2@127.0.0.1:1", want: "has no database"},
		"secret, my args": {dsn: "mysql://u:hunter2@127.0.0.1:1/db?a=%zz", want: "parameters"},
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
	j, err := sqlaudit.Open(t.Context(), "sqlite::memory:", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close(t.Context())) }()
	for want, o := range map[string]sqlaudit.VerifyOptions{
		"VerifyOptions.Parallel": {Parallel: -1}, "VerifyOptions.MaxFindings": {MaxFindings: -1},
		"VerifyOptions.Published": {Published: sqlaudit.Checkpoints{Prefix: "checkpoints/"}},
	} {
		_, err := j.Verify(t.Context(), &o)
		require.ErrorContains(t, err, want)
	}
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

func TestNewDetectsTheDatabase(t *testing.T) {
	db := sqlx.NewDb(sql.OpenDB(refusing{}), "sqlite")
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := sqlaudit.New(ctx, db.DB, nil)
	require.ErrorContains(t, err, "detecting the database type")
}
