package sqlaudit_test

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// folder of the migrations of a kind of database.
func (r *raw) folder() string { return r.kind }

func (r *raw) tables(t testing.TB, like string) (n int) {
	t.Helper()
	query := map[string]string{
		"sqlite":   "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE ?",
		"postgres": "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE ?",
		"mysql":    "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ?",
	}[r.kind]
	require.NoError(t, r.Get(&n, r.Rebind(query), like))
	return n
}

func TestMigrationsRunOnceAndConcurrently(t *testing.T) {
	onEach(t, testMigrationsRunOnceAndConcurrently)
}

func testMigrationsRunOnceAndConcurrently(t *testing.T, s *system) {
	dsn := s.dsn(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			j, err := sqlaudit.Open(t.Context(), dsn, &sqlaudit.Options{Logger: quiet})
			if assert.NoError(t, err) {
				assert.NoError(t, j.Log(t.Context(), event("k")))
				assert.NoError(t, j.Close(t.Context()))
			}
		})
	}
	wg.Wait()
	j, db := openDSN(t, dsn, nil)
	assert.Len(t, entries(t, j, audit.Query{}), 6)
	files, err := fs.Glob(sqlaudit.Migrations(), db.folder()+"/*.sql")
	require.NoError(t, err)
	assert.Equal(t, len(files), db.count(t, "file_access_migrations"))
}

func TestChangedMigrationIsNoticed(t *testing.T) { onEach(t, testChangedMigrationIsNoticed) }

func testChangedMigrationIsNoticed(t *testing.T, s *system) {
	_, db := s.open(t, nil)
	db.exec(t, "UPDATE file_access_migrations SET checksum = 'abc' WHERE version = 1")
	_, err := sqlaudit.Open(t.Context(), db.dsn, nil)
	require.ErrorContains(t, err, "0001_journal.sql was applied with different content")

	j, err := sqlaudit.Open(t.Context(), db.dsn, &sqlaudit.Options{SkipMigrate: true, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
}

// allFiles are the embedded migrations of one folder.
func allFiles(t testing.TB, folder string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(sqlaudit.Migrations(), folder+"/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		text, err := fs.ReadFile(sqlaudit.Migrations(), name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func TestLaterMigrations(t *testing.T) { onEach(t, testLaterMigrations) }

func testLaterMigrations(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	files := allFiles(t, db.folder())
	n := len(files)
	bad := path.Join(db.folder(), "9999_bad.sql")
	files[bad] = &fstest.MapFile{}
	require.ErrorContains(t, sqlaudit.Migrate(j, files), "want number")
	delete(files, bad)

	next := path.Join(db.folder(), fmt.Sprintf("%04d_next.sql", n+1))
	files[next] = &fstest.MapFile{Data: []byte("CREATE TABLE file_access_new (x INTEGER);\n\nCREATE TABLE file_access_logs (x INTEGER);\n")}
	require.ErrorContains(t, sqlaudit.Migrate(j, files), "already exists")
	assert.Equal(t, n, db.count(t, "file_access_migrations"), "a migration that failed is not recorded")
	if db.kind == "mysql" {
		db.exec(t, "DROP TABLE file_access_new") // where every CREATE commits implicitly
	}
	assert.Zero(t, db.tables(t, "file_access_new"))

	files[next] = &fstest.MapFile{Data: []byte("CREATE TABLE file_access_new (x INTEGER);\r\n")}
	require.NoError(t, sqlaudit.Migrate(j, files))
	files[next] = &fstest.MapFile{Data: []byte("CREATE TABLE file_access_new (x INTEGER);\n")}
	require.NoError(t, sqlaudit.Migrate(j, files), "line ends make no difference")
	assert.Equal(t, 1, db.tables(t, "file_access_new"))
	assert.Equal(t, n+1, db.count(t, "file_access_migrations"))

	older, err := sqlaudit.Open(t.Context(), db.dsn, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err, "a program that knows fewer migrations still opens")
	require.NoError(t, older.Close(t.Context()))
}

// A migration that was interrupted between two statements continues the next
// time.
func TestMigrationCutShort(t *testing.T) {
	dsn := systems[2].dsn(t)
	db := newRaw(t, dsn)
	for name, file := range allFiles(t, "mysql") {
		statements := strings.SplitAfter(string(file.Data), ";\n\n")
		for _, statement := range statements[:len(statements)/2] {
			_, err := db.Exec(statement)
			require.NoError(t, err, name)
		}
		break
	}
	j, _ := openDSN(t, dsn, nil)
	require.NoError(t, j.Log(t.Context(), event("k")))
}

// The exported files create the same tables with any tool that runs SQL.
func TestExportedMigrationsSuffice(t *testing.T) { onEach(t, testExportedMigrationsSuffice) }

func testExportedMigrationsSuffice(t *testing.T, s *system) {
	dsn := s.dsn(t)
	db := newRaw(t, dsn)
	files := allFiles(t, db.folder())
	names, err := fs.Glob(files, db.folder()+"/*.sql")
	require.NoError(t, err)
	for _, name := range names {
		for statement := range strings.SplitSeq(string(files[name].Data), ";\n\n") {
			_, err := db.Exec(strings.TrimSuffix(strings.TrimSpace(statement), ";"))
			require.NoError(t, err, statement)
		}
	}
	j, err := sqlaudit.New(t.Context(), db.DB.DB, &sqlaudit.Options{SkipMigrate: true, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), event("k")))
	require.NoError(t, j.Close(t.Context()))
	assert.Zero(t, db.tables(t, "file_access_migrations"))
}

func TestNewInTheApplicationsDatabase(t *testing.T) { onEach(t, testNewInTheHostsDatabase) }

// An application's pool of one connection with the driver's defaults is enough.
func testNewInTheHostsDatabase(t *testing.T, s *system) {
	db := newRaw(t, s.dsn(t))
	db.SetMaxOpenConns(1)
	db.exec(t, "CREATE TABLE invoices (id INTEGER PRIMARY KEY)")
	j, err := sqlaudit.New(t.Context(), db.DB.DB, &sqlaudit.Options{Logger: quiet})
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
	for _, err := range j.Dangling(t.Context(), audit.DanglingQuery{}) {
		require.NoError(t, err)
	}
	assert.Len(t, entries(t, j, audit.Query{}), 32)
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, db.Ping(), "the pool remains the host's")
	assert.Equal(t, db.tables(t, "%"), db.tables(t, "file\\_access\\_%")+db.tables(t, "invoices")+db.sqliteEscape(t))
}

// sqliteEscape adapts a pattern to SQLite's LIKE, which has no backslash.
func (r *raw) sqliteEscape(t testing.TB) int {
	if r.kind == "sqlite" {
		return r.tables(t, "file_access_%")
	}
	return 0
}
