package sqlaudit

// This file implements the dialect of PostgreSQL. Round trips are expensive
// here, so a flush is a single statement, and the statement is also the
// transaction.

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

type postgres struct {
	texts sync.Map // the statement for each combination of parts
}

func (*postgres) name() string { return "postgres" }
func (*postgres) strays() bool { return true }
func (*postgres) bind() int    { return sqlx.DOLLAR }

// moment locks the table before the transaction takes its snapshot. A dropped
// partition also disappears from older snapshots, and those do not contain the
// frontier that explains its removal.
func (*postgres) moment() string { return "LOCK TABLE ONLY file_access_logs IN ACCESS SHARE MODE" }

func (*postgres) now() string {
	return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
}
func (*postgres) formatTime(t time.Time) any { return t.UTC() }
func (*postgres) timeText(column string) string {
	return "to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
}
func (*postgres) form() form { return form{native: true, layout: "2006-01-02 15:04:05.000000"} }

// short checks the length first. PostgreSQL can do this without reading a long
// value.
func (*postgres) short(v value) string {
	odd := "chr(1) || octet_length(" + v.column + ")"
	if v.binary {
		odd = "convert_to(" + odd + ", 'UTF8')"
	}
	return fmt.Sprintf("CASE WHEN octet_length(%[1]s) NOT BETWEEN 1 AND %[2]d THEN %[3]s ELSE %[1]s END", v.column, v.limit, odd)
}

// odd returns "", because PostgreSQL stores no value whose type differs from that
// of its column.
func (*postgres) odd([]string, []string) string { return "" }

var postgresColumns = listOf(func(c string) string {
	if fixed(c) {
		return c
	}
	return new(postgres).short(valueOf(c))
})

func (*postgres) columns() string { return postgresColumns }
func (*postgres) close() error    { return nil }

func (*postgres) equal(column, value string) (string, []any) { return column + " = ?", []any{value} }

func (*postgres) countTables() string {
	return "SELECT count(*) FROM (SELECT to_regclass(?) AS t) AS x WHERE t IS NOT NULL"
}

// postgresTypes are the types of columns.
var postgresTypes = typesOf()

func typesOf() []string {
	var types []string
	for _, c := range audit.Columns() {
		types = append(types, map[string]string{
			"uuid": "uuid", "time": "timestamptz", "integer": "bigint", "digest": "bytea", "text": "text", "object": "text",
		}[c.Type])
	}
	return append(types, "integer", "bytea", "bytea", "bytea")
}

// shape describes the parts of a flush.
type shape struct {
	settles, begins, rows count
	writer, checkpoint    bool
}

// count is the number of rows of a part. A single row is passed without arrays,
// because arrays would double the server's work for a single caller.
type count int

const (
	none count = iota
	one
	many
)

func countOf[T any](list []T) count { return count(min(len(list), int(many))) }

// These are the columns of joined or inserted rows, with their types.
var (
	heldNames, heldTypes   = []string{"op_id", "holder"}, []string{"uuid", "uuid"}
	begunNames, begunTypes = []string{"op_id", "holder", "writer_id", "backend", "bucket", "key", "lease", "event", "signature"},
		[]string{"uuid", "uuid", "uuid", "text", "text", "text", "bigint", "text", "bytea"}
)

// statement returns the SQL statement of a flush. The statement first locks the
// intents to delete and skips those that are locked by others. It stores
// nothing unless it has locked all of them and none of the intents to insert
// exists.
func (d *postgres) statement(s shape) string {
	if text, ok := d.texts.Load(s); ok {
		return text.(string)
	}
	n := 0
	arg := func(cast string) string {
		n++
		return fmt.Sprintf("$%d::%s", n, cast)
	}
	// source returns a table of the arguments: one row, or one array per
	// column.
	source := func(c count, names, types []string) (table string) {
		args := make([]string, len(types))
		for i, t := range types {
			if c == many {
				t += "[]"
			}
			args[i] = arg(t)
		}
		table = strings.Join(args, ", ")
		if c == many {
			table = "unnest(" + table + ")"
		} else {
			table = "(VALUES (" + table + "))"
		}
		return table + " AS u (" + strings.Join(names, ", ") + ")"
	}
	var with, checks []string
	if s.settles != none {
		with = append(with, "expected AS MATERIALIZED (SELECT * FROM "+source(s.settles, heldNames, heldTypes)+")",
			"held AS MATERIALIZED (SELECT i.op_id FROM file_access_intents AS i JOIN expected AS s ON i.op_id = s.op_id AND i.holder = s.holder FOR UPDATE OF i SKIP LOCKED)")
		checks = append(checks, "(SELECT count(*) FROM held) = (SELECT count(*) FROM expected)")
	}
	if s.begins != none {
		with = append(with, "coming AS MATERIALIZED (SELECT * FROM "+source(s.begins, begunNames, begunTypes)+")")
		checks = append(checks, "NOT EXISTS (SELECT 1 FROM file_access_intents WHERE op_id IN (SELECT op_id FROM coming))")
	}
	checks = append(checks, postgresEncoding+" IN ('UTF8', 'SQL_ASCII')")
	with = append(with, "ready AS MATERIALIZED (SELECT "+strings.Join(checks, " AND ")+" AS ok)")
	if s.settles != none {
		with = append(with, "gone AS (DELETE FROM file_access_intents WHERE op_id IN (SELECT op_id FROM held) AND (SELECT ok FROM ready))")
	}
	if s.begins != none {
		with = append(with, "begun AS (INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event, signature) "+
			"SELECT op_id, holder, writer_id, backend, bucket, key, "+d.now()+", "+d.now()+" + lease, event, signature FROM coming WHERE (SELECT ok FROM ready))")
	}
	if s.writer {
		with = append(with, "writer AS (INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) SELECT "+
			arg("uuid")+", "+arg("text")+", "+arg("bytea")+", "+arg("bytea")+", "+arg("timestamptz")+" WHERE (SELECT ok FROM ready))")
	}
	if s.rows != none {
		names := strings.Join(columns, ", ")
		with = append(with, "logged AS (INSERT INTO file_access_logs ("+names+") SELECT "+names+" FROM "+source(s.rows, columns, postgresTypes)+" WHERE (SELECT ok FROM ready))")
	}
	if s.checkpoint {
		with = append(with, "signed AS (INSERT INTO file_access_checkpoints (writer_id, tree_size, note) SELECT "+
			arg("uuid")+", "+arg("bigint")+", "+arg("text")+" WHERE (SELECT ok FROM ready))")
	}
	text := "WITH " + strings.Join(with, ",\n") + "\nSELECT ok, " + postgresEncoding + " FROM ready"
	d.texts.Store(s, text)
	return text
}

// arguments returns the arguments for the statement of shape s.
func (d *postgres) arguments(s shape, b *batch) []any {
	var args []any
	switch s.settles {
	case one:
		args = append(args, b.settles[0].opID, b.settles[0].holder)
	case many:
		n := len(b.settles)
		ops, holders := make([]string, n), make([]string, n)
		for i, h := range b.settles {
			ops[i], holders[i] = h.opID, h.holder
		}
		args = append(args, ops, holders)
	}
	switch s.begins {
	case one:
		args = append(args, b.begins[0].args()...)
	case many:
		n := len(b.begins)
		ops, holders, writers, events := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		backends, buckets, keys, leases := make([]*string, n), make([]*string, n), make([]*string, n), make([]int64, n)
		signatures := make([][]byte, n)
		for i, in := range b.begins {
			ops[i], holders[i], writers[i], events[i] = in.opID, in.holder, in.writer, in.event
			backends[i], buckets[i], keys[i], leases[i] = nullText(in.backend), nullText(in.bucket), nullText(in.key), in.lease.Microseconds()
			signatures[i] = in.signature
		}
		args = append(args, ops, holders, writers, backends, buckets, keys, leases, events, signatures)
	}
	if w := b.writer; w != nil {
		args = append(args, w.ID, w.Origin, w.PublicKey, []byte(w.Certificate), w.StartedAt)
	}
	switch s.rows {
	case one:
		args = b.rows[0].args(args, d.formatTime)
	case many:
		args = append(args, arrays(b.rows)...)
	}
	if c := b.checkpoint; c != nil {
		args = append(args, c.WriterID, c.Size, c.Note)
	}
	return args
}

func (d *postgres) flush(ctx context.Context, db *sqlx.DB, b *batch) error {
	s := shape{countOf(b.settles), countOf(b.begins), countOf(b.rows), b.writer != nil, b.checkpoint != nil}
	args := d.arguments(s, b)
	conn, err := db.Connx(ctx)
	if err != nil {
		return retryError{err}
	}
	defer conn.Close()
	var ok bool
	var encoding string
	err = conn.QueryRowxContext(ctx, d.statement(s), args...).Scan(&ok, &encoding)
	switch {
	case err == nil && !ok && !postgresText(encoding):
		return postgresEncodingError(encoding)
	case err == nil && !ok:
		return errConflict
	case err == nil:
		return nil
	}
	// An error from the server means that nothing was committed. The exceptions
	// are a server shutdown and a lost connection.
	if code := sqlState(err); code != "" && code[:2] != "57" && code[:2] != "08" || safeToRetry(err) {
		return err
	}
	return unclearError{err}
}

// busy checks only intents to delete. Nothing can block an insert.
func (d *postgres) busy(ctx context.Context, db *sqlx.DB, jb *job) (bool, error) {
	if jb.settle == nil {
		return false, nil
	}
	return busyRow(ctx, db, d, jb.settle.opID)
}

func (*postgres) updateIntent(set, where string) string {
	return "UPDATE file_access_intents SET " + set + " WHERE op_id = (SELECT op_id FROM file_access_intents WHERE " + where + " FOR UPDATE NOWAIT)"
}

func nullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// arrays converts rows to one array for each column.
func arrays(rows []*row) []any {
	var out []any
	for i, c := range audit.Columns() {
		value := func(r *row) any { return r.stored.Values[i] }
		switch c.Type {
		case "time":
			out = append(out, arrayOf[time.Time](rows, value))
		case "integer":
			out = append(out, arrayOf[int64](rows, value))
		case "digest":
			out = append(out, arrayOf[[]byte](rows, value))
		default:
			out = append(out, arrayOf[string](rows, value))
		}
	}
	return append(out,
		arrayOf[int32](rows, func(*row) any { return int32(proof.SchemaVersion) }),
		arrayOf[[]byte](rows, func(r *row) any { return nullBytes(r.stored.Salt) }),
		arrayOf[[]byte](rows, func(r *row) any { return r.stored.Commitment }),
		arrayOf[[]byte](rows, func(r *row) any { return r.stored.Leaf[:] }))
}

// arrayOf returns one value of each row, or nil if the row has no value.
func arrayOf[T any](rows []*row, value func(*row) any) []*T {
	out := make([]*T, len(rows))
	for i, r := range rows {
		if v, ok := value(r).(T); ok {
			out[i] = &v
		}
	}
	return out
}

// sqlState returns the server's error code, or "".
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) && len(e.SQLState()) == 5 {
		return e.SQLState()
	}
	return ""
}

// safeToRetry reports whether the driver is certain that nothing was sent.
func safeToRetry(err error) bool {
	var e interface{ SafeToRetry() bool }
	return errors.Is(err, driver.ErrBadConn) || errors.As(err, &e) && e.SafeToRetry()
}

func (*postgres) classify(err error) class {
	if c, ok := classifyCommon(err); ok {
		return c
	}
	code := sqlState(err)
	if code == "" {
		if safeToRetry(err) {
			return retry
		}
		return poison // the driver rejected a value, or the error is unknown
	}
	switch {
	case code == "23505" && strings.Contains(err.Error(), "file_access_intents"):
		return conflict // another process began it between the check and the insert
	case code == "55P03": // lock_not_available
		return locked
	case code == "53100": // disk full
		return fatal
	}
	switch code[:2] {
	case "22", "23", "P0": // data, integrity, RAISE
		return poison
	case "40", "53", "55", "57", "08": // rollback, resources, locks, shutdown, connection
		return retry
	}
	return fatal
}

func (*postgres) refuses(err error) bool {
	code := sqlState(err)
	switch code {
	case "": // a driver error: a column has another type than its argument
		return strings.Contains(err.Error(), "failed to encode args")
	case "42501": // insufficient privilege
		return false
	}
	switch code[:2] {
	case "22", "2F", "38", "39", "42", "54", "P0", "XX": // data, functions, names and types, limits, RAISE, corrupted
		return true
	}
	return false
}

func (*postgres) weakness(ctx context.Context, db *sqlx.DB) (string, error) {
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := db.GetContext(ctx, &value, "SHOW "+setting); err != nil {
			return "", err
		}
		if value == "off" {
			return setting + " is off", nil
		}
	}
	return "", nil
}

func (*postgres) locked(ctx context.Context, db *sqlx.DB, fn func(*sqlx.Conn) error) error {
	return lockedTx(ctx, db, "BEGIN", "SELECT pg_advisory_xact_lock(hashtext('file_access_migrations'), hashtext(current_schema()))", fn)
}

func (*postgres) apply(ctx context.Context, conn *sqlx.Conn, m migration) error {
	return applyStatements(ctx, conn, m, sqlx.DOLLAR)
}

// maintain creates the partitions of future months, unless the next month
// already has one. Without a partition, the entries of a month go to
// file_access_logs_rest. As soon as that table has entries of a month, the
// partition can no longer be created. maintain therefore creates each month
// separately.
//
// Creating a partition needs a lock. While it waits for readers, all later
// readers wait too. It therefore waits only briefly: it has weeks to try again.
func (d *postgres) maintain(ctx context.Context, db *sqlx.DB) error {
	var last bool
	if err := db.GetContext(ctx, &last, "SELECT to_regclass('file_access_logs_' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM')) IS NOT NULL"); err != nil || last {
		return err
	}
	var errs []error
	for _, month := range []int{1, 2, 3, 0} {
		err := d.locked(ctx, db, func(conn *sqlx.Conn) error {
			if _, err := conn.ExecContext(ctx, "SET LOCAL lock_timeout = '"+dropWait+"'"); err != nil {
				return err
			}
			_, err := conn.ExecContext(ctx, fmt.Sprintf("SELECT file_access_make_partitions(((now() AT TIME ZONE 'UTC') + interval '%d months')::date, 1)", month))
			return err
		})
		if sqlState(err) != "23514" { // the error for entries of the month in another partition
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *postgres) monthsBefore(ctx context.Context, db *sqlx.DB, t time.Time) (names []string, err error) {
	err = db.SelectContext(ctx, &names, `SELECT relname FROM (
		SELECT c.relname::text, c.relowner FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'file_access_logs'::regclass AND c.relname ~ '^file_access_logs_[0-9]{4}_[0-9]{2}$' OFFSET 0
	) AS p WHERE to_date(right(relname, 7), 'YYYY_MM') + interval '1 month' <= $1::timestamptz AT TIME ZONE 'UTC' AND pg_has_role(relowner, 'USAGE') ORDER BY relname`, t.UTC())
	return names, err
}
