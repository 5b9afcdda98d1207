package main

// This file measures the trail in SQL. It compares it with handwritten code:
// single INSERTs into the same table with the same indexes and triggers, plain
// transactions, and a hash chain with a locked head.

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

var trail = []row{
	{what: "one durable entry, SQLite, 64 callers", peer: "single INSERTs", goal: speedAtLeast(2.5), open: entry(sqlite, 64)},
	{what: "one durable entry, SQLite, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(sqlite, 1)},
	{what: "one durable entry, PostgreSQL, 64 callers", peer: "single INSERTs", goal: speedAtLeast(1.6), open: entry(postgres, 64)},
	{what: "one durable entry, PostgreSQL, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(postgres, 1)},
	{what: "one durable entry, MariaDB, 64 callers", peer: "single INSERTs", goal: speedAtLeast(2.2), open: entry(mariadb, 64)},
	{what: "one durable entry, MariaDB, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(mariadb, 1)},
	{what: "strict protocol, SQLite, 64 callers", peer: "two plain transactions", goal: speedAtLeast(4), open: operation(sqlite, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, PostgreSQL, 64 callers", peer: "two plain transactions", goal: speedAtLeast(2), open: operation(postgres, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, MariaDB, 64 callers", peer: "two plain transactions", goal: speedAtLeast(2), open: operation(mariadb, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, PostgreSQL, 64 callers", peer: "a locked hash chain", goal: speedAtLeast(6), open: operation(postgres, 64, (*byHand).lockedChain)},
	{
		what: "strict protocol, PostgreSQL, 64 callers, over 2 ms", peer: "a locked hash chain", goal: speedAtLeast(30),
		open: operation(distant(postgres, 2*time.Millisecond), 64, (*byHand).lockedChain),
	},
	{what: "Verify of 100,000 entries, SQLite, one writer", peer: "SELECT of the same rows", goal: atMost(1.5), once: true, open: verifying(1)},
	{what: "Verify of 100,000 entries, SQLite, four writers", peer: "SELECT of the same rows", goal: atMost(1.5), once: true, open: verifying(4)},
	{what: "a page of 50 entries of a user, SQLite, of 1,000,000", peer: "of 10,000", goal: atMost(2), open: page(sqlite)},
}

// database returns the data source name of an empty database.
type database func(e *env) (dsn string, err error)

func sqlite(e *env) (string, error) {
	dir, err := e.dir()
	return "sqlite:" + filepath.Join(dir, "trail.db"), err
}

var quiet = &sqlaudit.Options{Logger: slog.New(slog.DiscardHandler)}

func openJournal(e *env, dsn string) (*sqlaudit.Journal, error) {
	j, err := sqlaudit.Open(e, dsn, quiet)
	if err == nil {
		e.cleanup(func() error { return j.Close(context.Background()) })
	}
	return j, err
}

func event(i int64) audit.Event {
	n := strconv.FormatInt(i, 10)
	return audit.Event{
		Action: audit.ActionUpload, Key: "invoices/" + n + ".pdf", Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: "user-" + strconv.FormatInt(i%100, 10), TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-" + n},
		Resource: audit.Resource{Type: "invoice", ID: n}, ContentType: "application/pdf", SHA256: make([]byte, 32),
	}
}

func entry(db database, callers int) func(e *env) (side, side, error) {
	return func(e *env) (side, side, error) {
		journal, hand, err := pair(e, db, callers)
		if err != nil {
			return nil, nil, err
		}
		return parallel(callers, func() error { return journal.Log(e, event(hand.n.Add(1))) }),
			parallel(callers, func() error { return hand.insert(e) }), nil
	}
}

func operation(db database, callers int, peer func(*byHand, context.Context) error) func(e *env) (side, side, error) {
	return func(e *env) (side, side, error) {
		journal, hand, err := pair(e, db, callers)
		if err != nil {
			return nil, nil, err
		}
		return parallel(callers, func() error {
				intent, err := journal.Begin(e, event(hand.n.Add(1)), 0)
				if err != nil {
					return err
				}
				return intent.Settle(e, audit.Result{Outcome: audit.OutcomeOK})
			}),
			parallel(callers, func() error { return peer(hand, e) }), nil
	}
}

// pair opens two databases of one server: one with a journal, and one with only
// its tables.
func pair(e *env, db database, connections int) (*sqlaudit.Journal, *byHand, error) {
	dsn, err := db(e)
	if err != nil {
		return nil, nil, err
	}
	journal, err := openJournal(e, dsn)
	if err != nil {
		return nil, nil, err
	}
	if dsn, err = db(e); err != nil {
		return nil, nil, err
	}
	hand, err := openByHand(e, dsn, connections)
	return journal, hand, err
}

// page reads one page from the middle of a user's entries, like a person who
// browses them.
func page(db database) func(e *env) (side, side, error) {
	return func(e *env) (ours, theirs side, err error) {
		var sides [2]side
		for i, n := range []int{1_000_000, 10_000} {
			dsn, err := db(e)
			if err != nil {
				return nil, nil, err
			}
			hand, err := openByHand(e, dsn, 1)
			if err != nil {
				return nil, nil, err
			}
			if err := hand.fill(e, n); err != nil {
				return nil, nil, err
			}
			journal, err := openJournal(e, dsn)
			if err != nil {
				return nil, nil, err
			}
			q := audit.Query{UserID: "user-7", Limit: n / 200}
			seen := ""
			for entry, err := range journal.Entries(e, q) {
				if err != nil {
					return nil, nil, err
				}
				seen = entry.ID
			}
			q.After, q.Limit = seen, 50
			sides[i] = quick(func() error {
				found := 0
				for _, err := range journal.Entries(e, q) {
					if err != nil {
						return err
					}
					found++
				}
				if found != q.Limit {
					return fmt.Errorf("a page of %d entries has %d", q.Limit, found)
				}
				return nil
			})
		}
		return sides[0], sides[1], nil
	}
}

// verifying compares checking a trail with reading its rows in the same order.
func verifying(writers int) func(e *env) (side, side, error) {
	return func(e *env) (ours, theirs side, err error) {
		const entries = 100_000
		dsn, err := sqlite(e)
		if err != nil {
			return nil, nil, err
		}
		for w := range writers {
			journal, err := sqlaudit.Open(e, dsn, quiet)
			if err != nil {
				return nil, nil, err
			}
			var n atomic.Int64
			log := func() error { return journal.Log(e, event(n.Add(1)*int64(writers)+int64(w))) }
			if _, err := parallel(64, log)(entries / writers); err != nil {
				return nil, nil, err
			}
			if err := journal.Close(e); err != nil {
				return nil, nil, err
			}
		}
		_, file, _ := strings.Cut(dsn, ":")
		db, err := sqlx.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=query_only(1)")
		if err != nil {
			return nil, nil, err
		}
		e.cleanup(db.Close)
		return timed(func() error {
				report, err := sqlaudit.Verify(e, db.DB, nil)
				if err == nil {
					err = report.Err()
				}
				return err
			}, nil),
			timed(func() error { return selectAll(e, db, entries) }, nil), nil
	}
}

func selectAll(ctx context.Context, db *sqlx.DB, want int) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM file_access_logs ORDER BY writer_id, seq")
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err returns the relevant error
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	raw, dst := make([]sql.RawBytes, len(names)), make([]any, len(names))
	for i := range raw {
		dst[i] = &raw[i]
	}
	found := 0
	for rows.Next() {
		if err := rows.Scan(dst...); err != nil {
			return err
		}
		found++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if found != want {
		return fmt.Errorf("read %d rows of %d", found, want)
	}
	return nil
}
