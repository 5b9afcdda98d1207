package sqlaudit

// What differs between databases, and nothing else. Queries are written with
// '?' and pass through sqlx.Rebind where a database wants another mark.

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

type dialect interface {
	// name is also the folder of the migrations.
	name() string
	// bind is the sqlx.BindType.
	bind() int
	// now is an SQL expression: the database's clock in microseconds since
	// 1970, as an integer.
	now() string
	// formatTime gives the argument for a time column.
	formatTime(time.Time) any
	// timeText is an SQL expression for a time column as text in UTC, as
	// timeFormat has it or without the T and the Z.
	timeText(column string) string
	// columns lists those of file_access_logs for a SELECT that raw.scan reads,
	// bounded as short does.
	columns() string
	// short is an SQL expression for a column: its value, unless that is empty
	// or longer than its limit. Then it is oddLength and the number of bytes.
	short(v value) string
	// form is how values arrive from the driver.
	form() form
	// odd is a condition that a column of ids or of integers holds a value of
	// another kind; "" if the types of the columns exclude it.
	odd(ids, integers []string) string
	// equal is a condition that a text column holds value, byte for byte.
	equal(column, value string) (condition string, args []any)
	// moment is a statement by which a transaction that reads the log keeps
	// months from being dropped under it, or "".
	moment() string
	// strays says that the database may look for the entries of one user among
	// all entries, in the order of their ids.
	strays() bool
	// flush stores a batch atomically. It returns errConflict, and has stored
	// nothing, if not all intents of the batch could come in or go out.
	flush(ctx context.Context, db *sqlx.DB, b *batch) error
	// busy reports whether jb would have to wait for a lock on its intent.
	busy(ctx context.Context, db *sqlx.DB, jb *job) (bool, error)
	// updateIntent is an UPDATE of the intents that where selects, which fails
	// at once if one of them is locked.
	updateIntent(set, where string) string
	// classify says what an error of the database means.
	classify(error) class
	// refuses says that an error is about the tables or their content, and not
	// about the connection, the server or the rights of the session.
	refuses(error) bool
	// countTables is a query for the number of tables of one name, 0 or 1.
	countTables() string
	// settings returns a *settingsError if the connection's settings would change
	// values on their way to the database or back.
	settings(ctx context.Context, q sqlx.QueryerContext) error
	// weakness says in words why a commit of this database may not be durable;
	// "" if it is.
	weakness(ctx context.Context, db *sqlx.DB) (string, error)
	// locked runs fn while no other process does, on one connection.
	locked(ctx context.Context, db *sqlx.DB, fn func(*sqlx.Conn) error) error
	// apply runs the statements of one migration and records it, atomically
	// where the database can.
	apply(ctx context.Context, conn *sqlx.Conn, m migration) error
	// maintain does what has to be done ahead of time, about once a day.
	maintain(ctx context.Context, db *sqlx.DB) error
	// monthsBefore lists the partitions of file_access_logs, the oldest first,
	// for months that ended by then, if the session's role may drop them.
	monthsBefore(ctx context.Context, db *sqlx.DB, t time.Time) ([]string, error)
	// close frees what the dialect holds of the pool.
	close() error
}

// class is what can be done about an error.
type class int

const (
	fatal    class = iota // the same would happen to any event: fail now
	retry                 // nothing is stored; it may work in a moment
	unclear               // the commit's reply is missing
	conflict              // an intent exists already, or is no longer held
	poison                // the database refuses one of the values
	locked                // an open transaction has locked an intent; nothing is stored
	gone                  // it was stored in a file that is not at its path any more
)

// transient reports whether the same statement may succeed in a moment.
func (c class) transient() bool { return c == retry || c == locked }

// errConflict: the number of intents that came in or went out is not what the
// batch expects; the transaction was rolled back.
var errConflict = errors.New("sqlaudit: an intent of the batch is not as expected")

// unclearError marks an error after which it is not known whether the
// transaction was committed.
type unclearError struct{ error }

func (e unclearError) Unwrap() error { return e.error }

// retryError marks an error before anything was sent.
type retryError struct{ error }

func (e retryError) Unwrap() error { return e.error }

// classifyCommon handles what needs no knowledge of the database; ok is false
// if the dialect has to look.
func classifyCommon(err error) (c class, ok bool) {
	var u unclearError
	var r retryError
	var s *settingsError
	var f *fileError
	var g goneError
	switch {
	case errors.As(err, &g):
		return gone, true
	case errors.As(err, &s), errors.As(err, &f):
		return fatal, true
	case errors.Is(err, errConflict):
		return conflict, true
	case errors.As(err, &u):
		return unclear, true
	case errors.As(err, &r), errors.Is(err, driver.ErrBadConn), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return retry, true
	}
	return fatal, false
}

// readTx begins a transaction that sees the trail as it is at one moment. Whoever
// calls rolls it back.
func readTx(ctx context.Context, db *sqlx.DB, d dialect) (*sqlx.Tx, error) {
	tx, err := db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if lock := d.moment(); lock != "" {
		if _, err := tx.ExecContext(ctx, lock); err != nil {
			return nil, errors.Join(err, tx.Rollback())
		}
	}
	if err := d.settings(ctx, tx); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// dialectOf finds the dialect of a database by asking it, since the name of a
// driver may be that of a wrapper.
func dialectOf(ctx context.Context, db *sqlx.DB) (dialect, error) {
	var version string
	if err := db.GetContext(ctx, &version, "SELECT sqlite_version()"); err == nil {
		return &sqlite{}, nil
	}
	if err := db.GetContext(ctx, &version, "SELECT version()"); err != nil {
		return nil, fmt.Errorf("sqlaudit: asking the database what it is: %w", err)
	}
	switch {
	case strings.HasPrefix(version, "PostgreSQL"):
		return &postgres{}, nil
	case version != "" && version[0] >= '0' && version[0] <= '9': // "8.0.36", "10.11.6-MariaDB"
		return &mysql{}, nil
	}
	return nil, fmt.Errorf("sqlaudit: the database says it is %q: want SQLite, PostgreSQL, MariaDB or MySQL", version)
}
