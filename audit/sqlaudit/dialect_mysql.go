package sqlaudit

// This file implements the dialect of MariaDB and MySQL.

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

type mysql struct {
	// whole makes flush send one compound statement. MariaDB supports this if
	// the driver sends statements as text.
	whole atomic.Bool
	// maria reports whether the server is MariaDB, which can limit the lock
	// wait of a single statement.
	maria atomic.Bool
	// packet is the maximum size of a statement in bytes.
	packet atomic.Int64

	mu      sync.Mutex
	checked []any // driver connections whose settings were checked
}

func (*mysql) name() string   { return "mysql" }
func (*mysql) moment() string { return "" }
func (*mysql) strays() bool   { return false }
func (*mysql) bind() int      { return sqlx.QUESTION }

// now does not depend on the session's time zone.
func (*mysql) now() string {
	return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
}

// formatTime returns text, so that the time zones of the driver and the session
// do not affect the value.
func (*mysql) formatTime(t time.Time) any { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// timeText converts in the database, so that the driver does not convert times.
func (*mysql) timeText(column string) string { return "CAST(" + column + " AS CHAR(26))" }

func (*mysql) form() form { return form{octets: true, layout: "2006-01-02 15:04:05.000000"} }

func (*mysql) short(v value) string {
	return fmt.Sprintf("CASE WHEN OCTET_LENGTH(%[1]s) NOT BETWEEN 1 AND %[2]d THEN CONCAT(CHAR(1), OCTET_LENGTH(%[1]s)) ELSE %[1]s END", v.column, v.limit)
}

// odd returns "" because the types of the columns are exact.
func (*mysql) odd([]string, []string) string { return "" }

var mysqlColumns = listOf(func(c string) string {
	switch c {
	case "occurred_at", "created_at":
		return new(mysql).timeText(c)
	case "seq", "size", "schema_version":
		return c
	}
	return new(mysql).short(valueOf(c))
})

func (*mysql) columns() string { return mysqlColumns }
func (*mysql) close() error    { return nil }

func (*mysql) maintain(context.Context, *sqlx.DB) error { return nil }

func (*mysql) monthsBefore(context.Context, *sqlx.DB, time.Time) ([]string, error) { return nil, nil }

// equal also compares the length, because comparisons ignore trailing spaces.
func (*mysql) equal(column, value string) (string, []any) {
	return "(" + column + " = ? AND OCTET_LENGTH(" + column + ") = ?)", []any{value, len(value)}
}

func (*mysql) countTables() string {
	return "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
}

// mysqlRows limits the rows of one statement. It stays well below the limit of
// 65,535 arguments of a prepared statement.
const mysqlRows = 1000

// mysqlRoom is reserved for the text of a statement around its arguments:
// column names, commas and placeholders.
const mysqlRoom = 256 << 10

// mysqlPacket is the size of the largest statement that the driver sends.
const mysqlPacket = 64 << 20

// mysqlSize returns the maximum size of one row's arguments in a statement.
// Each byte may be escaped.
func mysqlSize(item []any) (n int64) {
	for _, arg := range item {
		n += 16
		switch v := arg.(type) {
		case string:
			n += 2 * int64(len(v))
		case []byte:
			n += 2 * int64(len(v))
		}
	}
	return n
}

// mysqlChunks splits items into chunks that fit into one statement. If a
// statement is too large, the server closes the connection.
func mysqlChunks(items [][]any, packet int64) iter.Seq[[][]any] {
	return func(yield func([][]any) bool) {
		from, size := 0, int64(0)
		for i, item := range items {
			n := mysqlSize(item)
			if i > from && (i-from == mysqlRows || size+n > packet) {
				if !yield(items[from:i]) {
					return
				}
				from, size = i, 0
			}
			size += n
		}
		if from < len(items) {
			yield(items[from:])
		}
	}
}

func (d *mysql) flush(ctx context.Context, db *sqlx.DB, b *batch) error {
	list, packet, size := parts(d, b), d.packet.Load()-mysqlRoom, int64(0)
	for _, p := range list {
		for _, item := range p.items {
			size += mysqlSize(item)
		}
	}
	if d.whole.Load() && size <= packet {
		err := d.flushWhole(ctx, db, list)
		if mysqlNumber(err) != mysqlNotPrepared {
			return err
		}
		d.whole.Store(false)
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return retryError{err}
	}
	defer conn.Close()
	if err := d.check(ctx, conn); err != nil {
		return err
	}
	tx, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return retryError{err}
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := d.lockIntents(ctx, tx, b); err != nil {
		return err
	}
	for _, p := range list {
		for chunk := range mysqlChunks(p.items, packet) {
			res, err := tx.ExecContext(ctx, d.unwaiting(p.key, p.query(len(chunk))), slices.Concat(chunk...)...)
			if p.key == partBegin && mysqlNumber(err) == mysqlDuplicate {
				return errConflict
			}
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n != int64(len(chunk)) {
				return errConflict
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return unclearError{err}
	}
	return nil
}

// unwaiting makes a statement on intents fail at once if one of them is locked.
// The error is the same as after a lock wait timeout.
func (d *mysql) unwaiting(key, query string) string {
	if key == partRelease {
		// Without the index, the server would read a small table row by row and
		// lock each row.
		query = strings.Replace(query, "DELETE FROM file_access_intents", "DELETE i FROM file_access_intents AS i FORCE INDEX (PRIMARY)", 1)
	}
	if d.maria.Load() && (key == partRelease || key == partBegin) {
		return mariaUnwaiting + query
	}
	return query
}

const mariaUnwaiting = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "

// lockIntents locks the intents to delete, or fails immediately. MySQL needs
// this because it cannot limit the lock wait of a DELETE.
func (d *mysql) lockIntents(ctx context.Context, tx *sqlx.Tx, b *batch) error {
	if d.maria.Load() {
		return nil
	}
	for chunk := range slices.Chunk(b.settles, mysqlRows) {
		args := make([]any, len(chunk))
		for i, h := range chunk {
			args[i] = h.opID
		}
		var found []string
		if err := tx.SelectContext(ctx, &found, "SELECT op_id FROM file_access_intents FORCE INDEX (PRIMARY) WHERE op_id IN "+marks(len(chunk))+" FOR UPDATE NOWAIT", args...); err != nil {
			return err
		}
	}
	return nil
}

// busy also checks intents to insert: another transaction may have locked a
// range of the index or a missing row. MySQL cannot check this without waiting.
func (d *mysql) busy(ctx context.Context, db *sqlx.DB, jb *job) (bool, error) {
	switch {
	case jb.settle != nil:
		return busyRow(ctx, db, d, jb.settle.opID)
	case jb.begin == nil || !d.maria.Load():
		return false, nil
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // the statements were only a test
	for _, p := range parts(d, &batch{begins: []*intentRow{jb.begin}}) {
		_, err = tx.ExecContext(ctx, d.unwaiting(p.key, p.query(1)), p.items[0]...)
	}
	if err != nil && d.classify(err) == locked {
		return true, nil
	}
	return false, nil // the flush handles all other errors
}

// updateIntent may wait for a lock on MySQL.
func (d *mysql) updateIntent(set, where string) string {
	query := "UPDATE file_access_intents SET " + set + " WHERE " + where
	if d.maria.Load() {
		return mariaUnwaiting + query
	}
	return query
}

// The error numbers that this package handles.
const (
	mysqlDuplicate   = 1062
	mysqlLockTimeout = 1205
	mysqlNotPrepared = 1295  // the statement cannot be prepared
	mysqlLocked      = 3572  // NOWAIT found a lock
	mysqlConflict    = 31001 // signaled by flushWhole
	mysqlWrongly     = 31002 // signaled by flushWhole: the session has wrong settings
)

// flushWhole stores a batch in two round trips, while single statements take
// four or more. One statement does everything except the commit. If this
// statement hangs until all callers have given up, it is never committed.
func (d *mysql) flushWhole(ctx context.Context, db *sqlx.DB, list []part) error {
	const conflict = "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31001, MESSAGE_TEXT = 'conflict'"
	var text strings.Builder
	var args []any
	text.WriteString("BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;\n")
	text.WriteString("IF NOT (" + mysqlSettings + ") THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31002, MESSAGE_TEXT = 'settings'; END IF;\n")
	text.WriteString("START TRANSACTION;\n")
	for _, p := range list {
		for chunk := range slices.Chunk(p.items, mysqlRows) {
			if p.key == partBegin {
				text.WriteString("BEGIN DECLARE EXIT HANDLER FOR 1062 " + conflict + "; " + d.unwaiting(p.key, p.query(len(chunk))) + "; END;\n")
			} else {
				fmt.Fprintf(&text, "%s; IF ROW_COUNT() <> %d THEN %s; END IF;\n", d.unwaiting(p.key, p.query(len(chunk))), len(chunk), conflict)
			}
			args = append(args, slices.Concat(chunk...)...)
		}
	}
	text.WriteString("END")
	conn, err := db.Connx(ctx)
	if err != nil {
		return retryError{err}
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, text.String(), args...); err != nil {
		switch mysqlNumber(err) {
		case mysqlConflict:
			return errConflict
		case mysqlWrongly:
			return cmp.Or(d.settings(ctx, conn), error(retryError{err})) // the settings may have been corrected since
		}
		return err
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		// The connection must not return to the pool with an open transaction.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		return unclearError{err}
	}
	return nil
}

const packetTooLarge = "packet for query is too large"

var mysqlErrorText = regexp.MustCompile(`^Error (\d+)(?: \([0-9A-Z]{5}\))?: `)

// mysqlNumber returns the server's error number, or 0. It parses the text,
// because using the driver's error type would link the driver.
func mysqlNumber(err error) int {
	for ; err != nil; err = errors.Unwrap(err) {
		if m := mysqlErrorText.FindStringSubmatch(err.Error()); m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
	}
	return 0
}

func (*mysql) classify(err error) class {
	if c, ok := classifyCommon(err); ok {
		return c
	}
	switch mysqlNumber(err) {
	case 0: // a connection error: nothing was committed yet
		if strings.Contains(err.Error(), packetTooLarge) {
			return poison
		}
		return retry
	case 3, 20, 1021, 1026, 1030, 1114, 1041, 1037, 1044, 1045, 1049, 1054, 1142, 1143, 1146: // full, out of memory, no right, no such table
		return fatal
	case mysqlLockTimeout, mysqlLocked:
		return locked
	case 1040, 1053, 1152, 1184, 1203, 1213, 1226, 1290, 1317, 1836, 1927: // too many, shutdown, locks, read only, killed
		return retry
	}
	return poison
}

func (*mysql) refuses(err error) bool {
	switch mysqlNumber(err) {
	case 1051, 1054, 1109, 1146, 1267, 1292, 1305, 1347, 1356, 1366, 1411, 1525, 1690: // names, types, views, values
		return true
	}
	return false
}

func (d *mysql) weakness(ctx context.Context, db *sqlx.DB) (string, error) {
	var s struct {
		Flush   int    `db:"f"`
		Version string `db:"v"`
		Packet  int64  `db:"p"`
	}
	if err := db.GetContext(ctx, &s, "SELECT @@innodb_flush_log_at_trx_commit AS f, VERSION() AS v, @@max_allowed_packet AS p"); err != nil {
		return "", err
	}
	d.packet.Store(min(s.Packet, mysqlPacket))
	maria := strings.Contains(s.Version, "MariaDB")
	d.maria.Store(maria)
	d.whole.Store(maria)
	if s.Flush != 1 {
		return fmt.Sprintf("innodb_flush_log_at_trx_commit is %d", s.Flush), nil
	}
	return "", nil
}

// locked holds a named lock of the server while fn runs. There is no
// transaction, because MySQL commits every CREATE implicitly.
func (*mysql) locked(ctx context.Context, db *sqlx.DB, fn func(*sqlx.Conn) error) error {
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const name = "SHA1(CONCAT('file_access_migrations ', DATABASE()))"
	for locked := 0; locked != 1; {
		if err := conn.GetContext(ctx, &locked, "SELECT COALESCE(GET_LOCK("+name+", 5), 0)"); err != nil {
			return err
		}
	}
	err = fn(conn)
	if _, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+name+")"); unlockErr != nil {
		// The lock ends with the connection, which must not return to the pool.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}

func (*mysql) apply(ctx context.Context, conn *sqlx.Conn, m migration) error {
	return applyStatements(ctx, conn, m, sqlx.QUESTION)
}
