package sqlaudit_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// system is a kind of database that the tests run on.
type system struct {
	name string
	dsn  func(tb testing.TB) string // of a new, empty database
}

var systems = []*system{
	{"sqlite", func(tb testing.TB) string { return "sqlite:" + filepath.Join(tb.TempDir(), "trail.db") }},
	{"postgres", func(tb testing.TB) string { return testdb.Postgres(tb).New(tb) }},
	{"mariadb", func(tb testing.TB) string { return testdb.MariaDB(tb).New(tb) }},
}

var sqliteSystem = systems[0]

// onEach runs a test on every kind of database concurrently, because one can
// work while another waits. The race detector only needs the code under test,
// which is the same for each kind. With the race detector, half of the tests
// therefore run on PostgreSQL and half on MariaDB. SQLite is C code translated
// to Go and many times slower under the detector. Tests that are about SQLite
// do not use onEach.
// through onEach.
func onEach(t *testing.T, test func(t *testing.T, s *system)) {
	t.Helper()
	chosen := systems
	if testdb.RaceDetector {
		n := 1 + len(t.Name())%2
		chosen = systems[n : n+1]
	}
	for _, s := range chosen {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// open opens a journal on a new database, with a second pool for checks.
func (s *system) open(t testing.TB, opts *sqlaudit.Options) (*sqlaudit.Journal, *raw) {
	t.Helper()
	return openDSN(t, s.dsn(t), opts)
}

func openDSN(t testing.TB, dsn string, opts *sqlaudit.Options) (*sqlaudit.Journal, *raw) {
	t.Helper()
	if opts == nil {
		opts = &sqlaudit.Options{}
	}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	j, err := sqlaudit.Open(t.Context(), dsn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	return j, newRaw(t, dsn)
}

// raw is the attacker's or the auditor's connection to the database.
type raw struct {
	*sqlx.DB
	kind, dsn string
}

func newRaw(t testing.TB, dsn string) *raw {
	t.Helper()
	kind, _, _ := strings.Cut(dsn, ":")
	return &raw{testdb.Connect(t, dsn), kind, dsn}
}

func (r *raw) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	_, err := r.Exec(r.Rebind(query), args...)
	require.NoError(t, err, query)
}

func (r *raw) count(t testing.TB, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, r.Get(&n, r.Rebind("SELECT count(*) FROM "+from), args...))
	return n
}

// block prevents all other sessions from writing until the returned function is
// called, like a hanging database.
func (r *raw) block(t testing.TB) (release func()) {
	t.Helper()
	ctx := context.Background()
	conn, err := r.Connx(ctx)
	require.NoError(t, err)
	begin, end := []string{"BEGIN IMMEDIATE"}, "ROLLBACK"
	switch r.kind {
	case "postgres":
		begin = []string{"BEGIN", "LOCK TABLE file_access_logs, file_access_intents, file_access_writers IN EXCLUSIVE MODE"}
	case "mysql":
		begin, end = []string{"LOCK TABLES file_access_logs READ, file_access_intents READ, file_access_writers READ"}, "UNLOCK TABLES"
	}
	for _, statement := range begin {
		_, err = conn.ExecContext(ctx, statement)
		require.NoError(t, err)
	}
	done := false
	release = func() {
		if !done {
			done = true
			_, err := conn.ExecContext(ctx, end)
			assert.NoError(t, err)
			conn.Close()
		}
	}
	t.Cleanup(release)
	return release
}

// poison makes the database reject the entries with one key.
func (r *raw) poison(t testing.TB, key string) {
	t.Helper()
	switch r.kind {
	case "sqlite":
		r.exec(t, "CREATE TRIGGER poison BEFORE INSERT ON file_access_logs WHEN NEW.file_key = '"+key+"' BEGIN SELECT RAISE(ABORT, 'poisoned'); END")
	case "postgres":
		r.exec(t, "ALTER TABLE file_access_logs ADD CONSTRAINT poisoned CHECK (file_key <> '"+key+"')")
	case "mysql":
		r.exec(t, "CREATE TRIGGER poison BEFORE INSERT ON file_access_logs FOR EACH ROW IF NEW.file_key = '"+key+
			"' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poisoned'; END IF")
	}
}
