package sqlaudit

// Each benchmark measures the journal and its comparison in one run, on equal
// tables. It reports both sides and their ratio.

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
)

func benchEvent(i int64) audit.Event {
	return audit.Event{
		Action: audit.ActionUpload, Key: fmt.Sprintf("invoices/%d.pdf", i), Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: fmt.Sprint("user-", i%1000), TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: fmt.Sprint(i)}, ContentType: "application/pdf", SHA256: make([]byte, 32),
	}
}

// spread runs n operations with the given number of callers and returns the
// time.
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

func benchJournal(b *testing.B, name string) *Journal {
	j, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), name), &Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, j.Close(context.Background())) })
	return j
}

func report(b *testing.B, plain, journal time.Duration, unit string) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/plain.Seconds(), "plain-"+unit)
	b.ReportMetric(float64(b.N)/journal.Seconds(), "journal-"+unit)
	b.ReportMetric(plain.Seconds()/journal.Seconds(), "ratio")
}

// insertEntry returns a plain, prepared INSERT of one entry in a separate
// transaction.
func insertEntry(b *testing.B, db *sqlx.DB, d dialect) func(i int64) error {
	stmt, err := db.Preparex(sqlx.Rebind(d.bind(), "INSERT INTO file_access_logs ("+strings.Join(columns, ", ")+") VALUES "+marks(len(columns))))
	require.NoError(b, err)
	b.Cleanup(func() { stmt.Close() })
	return func(i int64) error {
		e, err := audit.PrepareLog(b.Context(), benchEvent(i))
		if err != nil {
			return err
		}
		r, err := newRow(e, "")
		if err != nil {
			return err
		}
		r.seal(uuid.Must(uuid.NewV7()).String(), "00000000-0000-7000-8000-000000000000", i, microseconds(time.Now()), make([]byte, 32))
		_, err = stmt.Exec(r.args(nil, d.formatTime)...)
		return err
	}
}

// BenchmarkEntry compares one durable entry with a plain INSERT.
func BenchmarkEntry(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("sqlite/callers=%d", callers), func(b *testing.B) {
			single, group := benchJournal(b, "single.db"), benchJournal(b, "group.db")
			insert := insertEntry(b, single.db, single.d)
			b.ResetTimer()
			plain, err := spread(callers, int64(b.N), insert)
			require.NoError(b, err)
			took, err := spread(callers, int64(b.N), func(i int64) error { return group.Log(context.Background(), benchEvent(i)) })
			require.NoError(b, err)
			report(b, plain, took, "entries/s")
		})
	}
}

// BenchmarkOperation compares the strict protocol, an intent and its
// settlement, with the two plain transactions that it needs at least.
func BenchmarkOperation(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("sqlite/callers=%d", callers), func(b *testing.B) {
			single, group := benchJournal(b, "single.db"), benchJournal(b, "group.db")
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
}
