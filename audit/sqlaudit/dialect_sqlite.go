package sqlaudit

// This file implements the dialect of SQLite. Round trips cost nothing here, so
// a flush is a short transaction of prepared statements in a few fixed sizes.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

type sqlite struct {
	mu    sync.Mutex
	stmts map[string]*sqlx.Stmt
	file  *sqliteFile // nil for a database in memory
}

func (*sqlite) name() string   { return "sqlite" }
func (*sqlite) moment() string { return "" }
func (*sqlite) strays() bool   { return false }
func (*sqlite) bind() int      { return sqlx.QUESTION }

// now has a resolution of milliseconds, like SQLite's clock.
func (*sqlite) now() string { return "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)" }

func (*sqlite) form() form { return form{layout: timeFormat} }

// short checks the length first. SQLite can do this by reading only the row
// header.
func (*sqlite) short(v value) string {
	return fmt.Sprintf("CASE WHEN octet_length(%[1]s) NOT BETWEEN 1 AND %[2]d THEN char(1) || octet_length(%[1]s) ELSE %[1]s END", v.column, v.limit)
}

// odd is needed because in a table without STRICT, a column accepts values of
// any type.
func (*sqlite) odd(ids, integers []string) string {
	var list []string
	for _, c := range ids {
		list = append(list, "typeof("+c+") <> 'text'", "octet_length("+c+") <> 36")
	}
	for _, c := range integers {
		list = append(list, "typeof("+c+") <> 'integer'")
	}
	return "(" + strings.Join(list, " OR ") + ")"
}

var sqliteColumns = listOf(func(c string) string { return new(sqlite).short(valueOf(c)) })

func (*sqlite) columns() string { return sqliteColumns }

func (*sqlite) equal(column, value string) (string, []any) { return column + " = ?", []any{value} }

func (*sqlite) maintain(context.Context, *sqlx.DB) error { return nil }

func (*sqlite) monthsBefore(context.Context, *sqlx.DB, time.Time) ([]string, error) { return nil, nil }

func (d *sqlite) timeText(column string) string { return d.short(valueOf(column)) }

func (*sqlite) formatTime(t time.Time) any { return t.UTC().Format(timeFormat) }

// firstSQLite opens the first connection to a file and thereby switches the
// file to WAL mode. If two processes do this at the same time, SQLite fails
// immediately and ignores busy_timeout: both hold a read lock, so neither can
// write. firstSQLite therefore retries for as long as other statements wait.
func firstSQLite(ctx context.Context, db *sqlx.DB) error {
	ctx, cancel := context.WithTimeout(ctx, sqliteBusyTimeout)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := db.PingContext(ctx)
		var e sqliteError
		if !errors.As(err, &e) || e.Code()&0xff != sqliteBusy {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// busy always returns false, because a transaction locks the whole database.
func (*sqlite) busy(context.Context, *sqlx.DB, *job) (bool, error) { return false, nil }

func (*sqlite) updateIntent(set, where string) string {
	return "UPDATE file_access_intents SET " + set + " WHERE " + where
}

// sqliteSizes are the numbers of rows of the prepared statements.
var sqliteSizes = []int{64, 16, 4, 1}

func (d *sqlite) flush(ctx context.Context, db *sqlx.DB, b *batch) error {
	if err := d.check(); err != nil {
		return err
	}
	steps, err := d.plan(ctx, db, b)
	if err != nil {
		return err
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var session any
	if err := conn.Raw(func(c any) error { session = c; return nil }); err != nil {
		return err
	}
	tx, err := conn.BeginTxx(ctx, nil)
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
	if err := d.checkLog(ctx, tx, session); err != nil {
		return err
	}
	err = tx.Commit()
	var e sqliteError
	switch {
	case err == nil:
		return d.committed()
	case errors.As(err, &e) && e.Code()&0xff == sqliteFull:
		return err // no room for the pages, so nothing was committed
	}
	return unclearError{err}
}

// Result codes of SQLite.
const (
	sqliteBusy = 5
	sqliteFull = 13
)

// step is a prepared statement of a flush and the number of rows it must
// change.
type step struct {
	stmt *sqlx.Stmt
	args []any
	rows int64
}

// plan prepares the statements before the transaction begins, because the pool
// may be limited to one connection.
func (d *sqlite) plan(ctx context.Context, db *sqlx.DB, b *batch) ([]step, error) {
	var steps []step
	for _, p := range parts(d, b) {
		tail := ""
		if p.key == partBegin {
			tail = " ON CONFLICT (op_id) DO NOTHING"
		}
		for _, size := range sqliteSizes {
			for ; len(p.items) >= size; p.items = p.items[size:] {
				stmt, err := d.prepared(ctx, db, p.key+strconv.Itoa(size), func() string { return p.query(size) + tail })
				if err != nil {
					return nil, err
				}
				steps = append(steps, step{stmt, slices.Concat(p.items[:size]...), int64(size)})
			}
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
	stmt, err := db.PreparexContext(ctx, query()) //nolint:sqlclosecheck // closed by close
	if err != nil {
		return nil, err
	}
	if d.stmts == nil {
		d.stmts = make(map[string]*sqlx.Stmt)
	}
	d.stmts[key] = stmt
	return stmt, nil
}

// sqliteError is the part of the errors of modernc.org/sqlite that this package
// uses.
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
		return poison // the driver rejected a value, or the error is unknown
	}
	switch e.Code() & 0xff {
	case sqliteBusy, 6, 9, 15: // LOCKED, INTERRUPT, PROTOCOL
		return retry
	case 18, 19, 20, 25: // TOOBIG, CONSTRAINT, MISMATCH, RANGE
		return poison
	}
	return fatal // sqliteFull, READONLY, IOERR, CORRUPT, no such table, …
}

func (*sqlite) refuses(err error) bool {
	var e sqliteError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case 1, 11, 18, 20: // ERROR, such as no such column; CORRUPT, TOOBIG, MISMATCH
		return true
	}
	return false
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
	return lockedTx(ctx, db, "BEGIN IMMEDIATE", "", fn)
}

func (*sqlite) apply(ctx context.Context, conn *sqlx.Conn, m migration) error {
	return applyStatements(ctx, conn, m, sqlx.QUESTION)
}
