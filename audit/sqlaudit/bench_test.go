package sqlaudit

// Each benchmark measures the journal and what it is compared with in one run,
// on equal tables, and reports both sides and their ratio.

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

func benchEvent(i int64) audit.Event {
	return audit.Event{
		Action: audit.ActionUpload, Key: fmt.Sprintf("invoices/%d.pdf", i), Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: fmt.Sprint("user-", i%1000), TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: fmt.Sprint(i)}, ContentType: "application/pdf", SHA256: make([]byte, 32),
	}
}

// spread has n operations done by that many callers and returns the time.
func spread(callers int, n int64, do func(i int64) error) (time.Duration, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= n; i = next.Add(1) {
				if err := do(i); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		return took, *err
	}
	return took, nil
}

// benchSystems are the databases to measure, with fsync on. Each is asked for
// a new, empty database.
var benchSystems = []struct {
	name  string
	start func(b *testing.B) (dsn func() string)
}{
	{"sqlite", func(b *testing.B) func() string {
		return func() string { return "sqlite:" + filepath.Join(b.TempDir(), uuid.NewString()+".db") }
	}},
	{"postgres", func(b *testing.B) func() string {
		s := testdb.OwnPostgres(b)
		return func() string { return s.New(b) }
	}},
	{"mariadb", func(b *testing.B) func() string {
		s := testdb.OwnMariaDB(b)
		return func() string { return s.New(b) }
	}},
}

func benchJournal(b *testing.B, dsn string) *Journal {
	j, err := Open(b.Context(), dsn, &Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, j.Close(context.Background())) })
	if !strings.HasPrefix(dsn, "sqlite") {
		j.db.SetMaxOpenConns(70) // as many as there are callers, for the plain side
		j.db.SetMaxIdleConns(70)
	}
	return j
}

// eachSystem gives fn two journals on equal, new databases.
func eachSystem(b *testing.B, callers []int, fn func(b *testing.B, callers int, single, group *Journal)) {
	for _, s := range benchSystems {
		b.Run(s.name, func(b *testing.B) {
			dsn := s.start(b)
			for _, n := range callers {
				b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
					fn(b, n, benchJournal(b, dsn()), benchJournal(b, dsn()))
				})
			}
		})
	}
}

func report(b *testing.B, plain, journal time.Duration, unit string) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/plain.Seconds(), "plain-"+unit)
	b.ReportMetric(float64(b.N)/journal.Seconds(), "journal-"+unit)
	b.ReportMetric(plain.Seconds()/journal.Seconds(), "ratio")
}

// insertEntry returns a plain, prepared INSERT of one entry in a transaction of
// its own.
func insertEntry(b *testing.B, db *sqlx.DB, d dialect) func(i int64) error {
	stmt, err := db.Preparex(sqlx.Rebind(d.bind(), "INSERT INTO file_access_logs ("+strings.Join(columns, ", ")+") VALUES "+marks(len(columns))))
	require.NoError(b, err)
	b.Cleanup(func() { stmt.Close() })
	return func(i int64) error {
		e, err := audit.PrepareLog(benchEvent(i))
		if err != nil {
			return err
		}
		r, err := newRow(e, "")
		if err != nil {
			return err
		}
		if err := r.place("00000000-0000-7000-8000-000000000000", i, now(), make([]byte, 32)); err != nil {
			return err
		}
		_, err = stmt.Exec(r.args(nil, d.formatTime)...)
		return err
	}
}

// BenchmarkEntry compares one durable entry with a plain INSERT.
func BenchmarkEntry(b *testing.B) {
	eachSystem(b, []int{1, 8, 64}, func(b *testing.B, callers int, single, group *Journal) {
		insert := insertEntry(b, single.db, single.d)
		b.ResetTimer()
		plain, err := spread(callers, int64(b.N), insert)
		require.NoError(b, err)
		took, err := spread(callers, int64(b.N), func(i int64) error { return group.Log(context.Background(), benchEvent(i)) })
		require.NoError(b, err)
		report(b, plain, took, "entries/s")
	})
}

// BenchmarkOperation compares the strict protocol, an intent and its
// settlement, with the two plain transactions that it takes at least.
func BenchmarkOperation(b *testing.B) {
	eachSystem(b, []int{1, 64}, func(b *testing.B, callers int, single, group *Journal) {
		insert := insertEntry(b, single.db, single.d)
		b.ResetTimer()
		plain, err := spread(callers, int64(b.N), func(i int64) error {
			if err := insert(2 * i); err != nil {
				return err
			}
			return insert(2*i + 1)
		})
		require.NoError(b, err)
		took, err := spread(callers, int64(b.N), func(i int64) error {
			in, err := group.Begin(context.Background(), benchEvent(i), 0)
			if err != nil {
				return err
			}
			return in.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK})
		})
		require.NoError(b, err)
		report(b, plain, took, "ops/s")
	})
}
