package sqlaudit

// This file declares dialect, the differences between databases. Queries use
// '?' as placeholder and pass through sqlx.Rebind if the database wants another
// one.

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

// dialect is everything that differs between the databases.
type dialect interface {
	// name returns the database's name, which is also the folder of its
	// migrations.
	name() string
	// bind returns the sqlx.BindType.
	bind() int
	// now is an SQL expression for the time of the database's clock: an integer
	// of microseconds since 1970.
	now() string
	// formatTime returns the argument for a time column.
	formatTime(time.Time) any
	// timeText is an SQL expression that converts a time column to text in UTC.
	// The text has the form of timeFormat, possibly without T and Z.
	timeText(column string) string
	// columns is the column list of a SELECT on file_access_logs for raw.scan.
	// Each value is limited like in short.
	columns() string
	// short is an SQL expression for the value of a column. If the value is
	// empty or longer than its limit, the result is oddLength followed by the
	// number of bytes.
	short(v value) string
	// form describes how values arrive from the driver.
	form() form
	// odd is a condition that an ID column or an integer column holds a value
	// of another type. It is "" if the types of the columns rule this out.
	odd(ids, integers []string) string
	// equal is a condition that a text column equals value byte for byte.
	equal(column, value string) (condition string, args []any)
	// moment is a statement for read transactions. It prevents other sessions
	// from dropping partitions until the transaction ends. "" means that no
	// statement is needed.
	moment() string
	// strays reports whether the database may search for the entries of one
	// user by reading all entries in the order of their IDs.
	strays() bool
	// flush stores a batch atomically. It stores nothing and returns
	// errConflict if it cannot insert and delete all intents of the batch.
	flush(ctx context.Context, db *sqlx.DB, b *batch) error
	// busy reports whether jb would have to wait for a lock on its intent.
	busy(ctx context.Context, db *sqlx.DB, jb *job) (bool, error)
	// updateIntent returns an UPDATE of the intents selected by where. The
	// statement fails immediately if one of them is locked.
	updateIntent(set, where string) string
	// classify returns the class of an error of the database.
	classify(error) class
	// refuses reports whether an error is caused by the tables or their
	// content, not by the connection, the server or the session's rights.
	refuses(error) bool
	// countTables is a query for the number of tables of a given name, 0 or 1.
	countTables() string
	// settings returns a *settingsError if the connection's settings would
	// alter values sent to the database or read from it.
	settings(ctx context.Context, q sqlx.QueryerContext) error
	// weakness returns the reason why a commit may not be durable, or "".
	weakness(ctx context.Context, db *sqlx.DB) (string, error)
	// locked runs fn on one connection. No other process runs its fn at the
	// same time.
	locked(ctx context.Context, db *sqlx.DB, fn func(*sqlx.Conn) error) error
	// apply runs the statements of one migration and records the migration,
	// atomically if the database supports it.
	apply(ctx context.Context, conn *sqlx.Conn, m migration) error
	// maintain creates the partitions of future months. It runs every six
	// hours.
	maintain(ctx context.Context, db *sqlx.DB) error
	// monthsBefore lists the partitions of file_access_logs for months that
	// ended by t, starting with the oldest. It returns only those that the
	// session's role may drop.
	monthsBefore(ctx context.Context, db *sqlx.DB, t time.Time) ([]string, error)
	// close releases the dialect's resources in the pool.
	close() error
}

// class determines how the journal handles an error.
type class int

const (
	fatal    class = iota // would happen to any event: fail now
	retry                 // nothing is stored; another attempt may succeed
	unclear               // the response to the commit is missing
	conflict              // an intent already exists, or is no longer held
	poison                // the database rejects one of the values
	locked                // an open transaction has locked an intent; nothing is stored
	gone                  // stored in a file that is no longer at its path
)

// transient reports whether the same statement may succeed if it is repeated.
func (c class) transient() bool { return c == retry || c == locked }

// errConflict reports that the intents of a batch were not in the expected
// state. The transaction was rolled back.
var errConflict = errors.New("sqlaudit: an intent of the batch is not as expected")

// unclearError marks an error that leaves it unknown whether the transaction
// was committed.
type unclearError struct{ error }

func (e unclearError) Unwrap() error { return e.error }

// retryError marks an error that occurred before anything was sent.
type retryError struct{ error }

func (e retryError) Unwrap() error { return e.error }

// classifyCommon classifies errors that are the same for all databases. If ok
// is false, the dialect must classify the error.
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

// readTx begins a transaction that reads a snapshot of the trail. The caller
// must roll it back.
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

// dialectOf detects the type of a database with a query, because a driver's
// name may belong to a wrapper.
func dialectOf(ctx context.Context, db *sqlx.DB) (dialect, error) {
	var version string
	if err := db.GetContext(ctx, &version, "SELECT sqlite_version()"); err == nil {
		return &sqlite{}, nil
	}
	if err := db.GetContext(ctx, &version, "SELECT version()"); err != nil {
		return nil, fmt.Errorf("sqlaudit: detecting the database type: %w", err)
	}
	switch {
	case strings.HasPrefix(version, "PostgreSQL"):
		return &postgres{}, nil
	case version != "" && version[0] >= '0' && version[0] <= '9': // "8.0.36", "10.11.6-MariaDB"
		return &mysql{}, nil
	}
	return nil, fmt.Errorf("sqlaudit: unsupported database %q: want SQLite, PostgreSQL, MariaDB or MySQL", version)
}
