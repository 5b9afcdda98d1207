package sqlaudit_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("SQLAUDIT_TEST_WRITER"); path != "" {
		os.Exit(childWriter(path))
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a journal on a new SQLite file, with a second pool to look behind
// it.
func open(t testing.TB, opts *sqlaudit.Options) (*sqlaudit.Journal, *sqlx.DB) {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "trail.db"), opts)
}

func openAt(t testing.TB, path string, opts *sqlaudit.Options) (*sqlaudit.Journal, *sqlx.DB) {
	t.Helper()
	if opts == nil {
		opts = &sqlaudit.Options{}
	}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	db := rawDB(t, path)
	return j, db
}

// rawDB is the attacker's, or the auditor's, own connection.
func rawDB(t testing.TB, path string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func event(key string) audit.Event {
	return audit.Event{
		Action: audit.ActionUpload, Key: key, Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: "u-1", TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: "42"},
	}
}

func entries(t testing.TB, r audit.Reader, q audit.Query) []audit.Entry {
	t.Helper()
	var out []audit.Entry
	for e, err := range r.Entries(context.Background(), q) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

func keys(entries []audit.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Key)
	}
	return out
}

func count(t testing.TB, db *sqlx.DB, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.Get(&n, "SELECT count(*) FROM "+from, args...))
	return n
}

// requireWholeStreams checks that each writer's entries are numbered from 0
// without a gap and that their ids ascend with their numbers.
func requireWholeStreams(t testing.TB, entries []audit.Entry) {
	t.Helper()
	streams := make(map[string][]audit.Entry)
	for _, e := range entries {
		streams[e.WriterID] = append(streams[e.WriterID], e)
	}
	for writer, list := range streams {
		require.True(t, slices.IsSortedFunc(list, func(a, b audit.Entry) int { return int(a.Seq - b.Seq) }), "writer %s: order of ids", writer)
		for i, e := range list {
			require.EqualValues(t, i, e.Seq, "writer %s", writer)
		}
	}
}

// wait gives a condition ten seconds.
func wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond, what)
}

// refusing is a database that can't be reached.
type refusing struct{}

func (refusing) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("refused") }
func (refusing) Driver() driver.Driver                        { return nil }
