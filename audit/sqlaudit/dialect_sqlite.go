package sqlaudit

// SQLite. A round trip costs nothing here, so a flush is a short transaction of
// prepared statements of a few fixed sizes.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

type sqlite struct {
	mu    sync.Mutex
	stmts map[string]*sqlx.Stmt
}

func (*sqlite) name() string { return "sqlite" }
func (*sqlite) bind() int    { return sqlx.QUESTION }

// now has milliseconds, which is what SQLite's clock gives.
func (*sqlite) now() string { return "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)" }

func (*sqlite) formatTime(t time.Time) any { return t.UTC().Format(timeFormat) }

// sqliteSizes are the numbers of rows that prepared statements take.
var sqliteSizes = []int{64, 16, 4, 1}

func (d *sqlite) flush(ctx context.Context, db *sqlx.DB, b *batch) error {
	steps, err := d.plan(ctx, db, b)
	if err != nil {
		return err
	}
	// The first statement writes, so that even a deferred transaction, as a
	// host's pool may begin it, waits for its turn and never has to start anew.
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, s := range steps {
		res, err := tx.StmtxContext(ctx, s.stmt).ExecContext(ctx, s.args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != s.rows {
			return errConflict
		}
	}
	if err := tx.Commit(); err != nil {
		return unclearError{err}
	}
	return nil
}

// step is a prepared statement of a flush and the number of rows it must touch.
type step struct {
	stmt *sqlx.Stmt
	args []any
	rows int64
}

// plan prepares the statements before the transaction begins, since the pool
// may have one connection only.
func (d *sqlite) plan(ctx context.Context, db *sqlx.DB, b *batch) ([]step, error) {
	var steps []step
	// add cuts a list of items, each with its args, into statements.
	add := func(key string, items [][]any, query func(n int) string) error {
		for _, size := range sqliteSizes {
			for ; len(items) >= size; items = items[size:] {
				stmt, err := d.prepared(ctx, db, fmt.Sprint(key, size), func() string { return query(size) })
				if err != nil {
					return err
				}
				steps = append(steps, step{stmt, slices.Concat(items[:size]...), int64(size)})
			}
		}
		return nil
	}
	rows := func(row string, n int) string { return strings.Repeat(row+", ", n-1) + row }

	if w := b.writer; w != nil {
		if err := add("writer", [][]any{{w.id, w.origin, []byte(b.identity.public), []byte(b.identity.certificate), d.formatTime(w.startedAt)}}, func(n int) string {
			return "INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) VALUES " + rows("(?, ?, ?, ?, ?)", n)
		}); err != nil {
			return nil, err
		}
	}

	var out [][]any
	for _, h := range b.settles {
		out = append(out, []any{h.opID, h.holder})
	}
	if err := add("release", out, func(n int) string {
		return "DELETE FROM file_access_intents WHERE (op_id, holder) IN (VALUES " + rows("(?, ?)", n) + ")"
	}); err != nil {
		return nil, err
	}

	var in [][]any
	for _, i := range b.begins {
		in = append(in, []any{i.opID, i.holder, i.writer, null(i.backend), null(i.bucket), null(i.key), i.lease.Microseconds(), i.event})
	}
	if err := add("begin", in, func(n int) string {
		return "INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event) VALUES " +
			rows("(?, ?, ?, ?, ?, ?, "+d.now()+", "+d.now()+" + ?, ?)", n) + " ON CONFLICT (op_id) DO NOTHING"
	}); err != nil {
		return nil, err
	}

	var entries [][]any
	for _, r := range b.rows {
		entries = append(entries, r.args(make([]any, 0, len(columns)), d.formatTime))
	}
	if err := add("entry", entries, func(n int) string {
		return "INSERT INTO file_access_logs (" + strings.Join(columns, ", ") + ") VALUES " + rows(marks(len(columns)), n)
	}); err != nil {
		return nil, err
	}
	if c := b.checkpoint; c != nil {
		if err := add("checkpoint", [][]any{{c.WriterID, c.Size, c.Note}}, func(n int) string {
			return "INSERT INTO file_access_checkpoints (writer_id, tree_size, note) VALUES " + rows("(?, ?, ?)", n)
		}); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

func (d *sqlite) prepared(ctx context.Context, db *sqlx.DB, key string, query func() string) (*sqlx.Stmt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stmt := d.stmts[key]; stmt != nil {
		return stmt, nil
	}
	stmt, err := db.PreparexContext(ctx, query())
	if err != nil {
		return nil, err
	}
	if d.stmts == nil {
		d.stmts = make(map[string]*sqlx.Stmt)
	}
	d.stmts[key] = stmt
	return stmt, nil
}

// marks returns "(?, ?, …)".
func marks(n int) string { return "(" + strings.Repeat("?, ", n-1) + "?)" }

// sqliteError is what modernc.org/sqlite's errors can tell.
type sqliteError interface {
	error
	Code() int
}

func (*sqlite) classify(err error) class {
	if c, ok := classifyCommon(err); ok {
		return c
	}
	var e sqliteError
	if !errors.As(err, &e) {
		return poison // the driver refused a value, or something unheard of
	}
	switch e.Code() & 0xff {
	case 5, 6, 9, 15: // BUSY, LOCKED, INTERRUPT, PROTOCOL
		return retry
	case 18, 19, 20, 25: // TOOBIG, CONSTRAINT, MISMATCH, RANGE
		return poison
	}
	return fatal // FULL, READONLY, IOERR, CORRUPT, no such table, …
}

func (*sqlite) countTables() string {
	return "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
}

func (d *sqlite) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, stmt := range d.stmts {
		errs = append(errs, stmt.Close())
	}
	d.stmts = nil
	return errors.Join(errs...)
}

func (*sqlite) weakness(ctx context.Context, db *sqlx.DB) (string, error) {
	var level int
	if err := db.GetContext(ctx, &level, "PRAGMA synchronous"); err != nil {
		return "", err
	}
	if level < 2 {
		return "PRAGMA synchronous is below FULL", nil
	}
	return "", nil
}

func (*sqlite) locked(ctx context.Context, db *sqlx.DB, fn func(*sqlx.Conn) error) error {
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Not BeginTx: in the host's database that may be a deferred transaction,
	// in which two processes could both find that nothing was applied yet.
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = fn(conn)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	if _, endErr := conn.ExecContext(context.WithoutCancel(ctx), end); endErr != nil {
		if err == nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
		err = errors.Join(err, endErr)
	}
	return err
}

func (*sqlite) apply(ctx context.Context, conn *sqlx.Conn, m migration) error {
	for _, stmt := range m.statements() {
		if _, err := conn.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	return m.record(ctx, conn, sqlx.QUESTION)
}
