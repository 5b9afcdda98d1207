package sqlaudit

// This file implements the reading of proof tables. Their content is untrusted.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// selectRaw calls each with the n values of every row.
func selectRaw(ctx context.Context, db sqlx.QueryerContext, query string, args []any, n int, each func(v []any)) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, dst := make([]any, n), make([]any, n)
	for i := range values {
		dst[i] = &values[i]
	}
	for rows.Next() {
		clear(values)
		if err := rows.Scan(dst...); err != nil {
			return err
		}
		each(values)
	}
	return rows.Err()
}

// checkpointQuery returns a query for checkpoints of the writer, for
// checkpointOf.
func (c *logReader) checkpointQuery(where, order string, limit int) string {
	return sqlx.Rebind(c.d.bind(), "SELECT tree_size, "+c.d.short(value{column: "note", limit: maxSigned})+" FROM file_access_checkpoints WHERE writer_id = ? AND "+
		where+inCheckpoints.and(c.d)+order+" LIMIT "+fmt.Sprint(limit))
}

func (c *logReader) checkpointOf(v []any) checkpointRow { return readCheckpoint(c.d, c.id, v) }

// readCheckpoint converts a size and a note to a row.
func readCheckpoint(d dialect, id string, v []any) checkpointRow {
	p := checkpointRow{WriterID: id}
	p.Size, p.err = d.form().integer(v[0])
	if p.err == nil {
		p.Note, p.err = d.form().text(v[1])
	}
	return p
}

// lastFrontier returns the last frontier of a log, or nil if nothing was
// removed.
func lastFrontier(ctx context.Context, db sqlx.QueryerContext, d dialect, writer string) (*frontierRow, error) {
	var found *frontierRow
	err := selectRaw(ctx, db, sqlx.Rebind(d.bind(), frontierQuery(d, 1)), []any{writer}, 3, func(v []any) {
		f := readFrontier(d, writer, v)
		found = &f
	})
	if err == nil && found != nil && found.err != nil {
		err = fmt.Errorf("%w: the frontier's row %w", proof.ErrTampered, found.err)
	}
	return found, err
}

// frontierQuery selects the last frontiers of a writer, for readFrontier.
func frontierQuery(d dialect, limit int) string {
	return "SELECT tree_size, " + d.short(value{"hashes", true, maxHashes}) + ", " + d.short(value{column: "note", limit: maxSigned}) +
		" FROM file_access_frontiers WHERE writer_id = ?" + inFrontiers.and(d) + " ORDER BY tree_size DESC LIMIT " + strconv.Itoa(limit)
}

func readFrontier(d dialect, writer string, v []any) frontierRow {
	f := frontierRow{WriterID: writer}
	f.Size, f.err = d.form().integer(v[0])
	if f.err == nil {
		f.Hashes, f.err = octets(v[1])
	}
	if f.err == nil {
		f.Note, f.err = d.form().text(v[2])
	}
	return f
}

// writerRow is a row of file_access_writers.
type writerRow struct {
	proof.Writer
	odd error // why reading the row failed
}

type getter interface {
	QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row
}

// loadWriter returns the writer with the given ID, or nil.
func loadWriter(ctx context.Context, db getter, d dialect, id string) (*writerRow, error) {
	w := writerRow{Writer: proof.Writer{ID: id}}
	query := "SELECT " + d.short(value{column: "origin", limit: maxText}) + ", " + d.short(value{"public_key", true, 64}) + ", " +
		d.short(value{"certificate", true, maxCertificate}) + ", " + d.timeText("started_at") + " FROM file_access_writers WHERE writer_id = ?"
	var v [4]any
	err := db.QueryRowxContext(ctx, sqlx.Rebind(d.bind(), query), id).Scan(&v[0], &v[1], &v[2], &v[3])
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	odd := func(column string, err error) {
		if err != nil && w.odd == nil {
			w.odd = fmt.Errorf("%w: column %s %w", errWriterUnreadable, column, err)
		}
	}
	w.Origin, err = d.form().text(v[0])
	odd("origin", err)
	w.PublicKey, err = octets(v[1])
	odd("public_key", err)
	certificate, err := octets(v[2])
	w.Certificate = string(certificate)
	odd("certificate", err)
	w.StartedAt, err = d.form().time(v[3])
	odd("started_at", err)
	return &w, nil
}

// octets returns the bytes of a column. It rejects NULL.
func octets(v any) ([]byte, error) {
	b, ok := v.([]byte)
	switch {
	case !ok:
		return nil, fmt.Errorf("holds a value of type %s instead of bytes", kindOf(v))
	case isOddLength(b):
		return nil, errors.New(oddLengthText(string(b)))
	}
	return b, nil
}

// certified implements [proof.Writer.Certified] for a row.
func (w *writerRow) certified(keys []note.Verifier) (_ note.Verifier, by string, _ error) {
	if w.odd != nil {
		return nil, "", w.odd
	}
	return w.Certified(keys...)
}
