package sqlaudit

// This file implements the reading of erasure orders together with the entries
// that they name.

import (
	"context"
	"strconv"

	"github.com/jmoiron/sqlx"
)

// erasureReader is the position in the orders read so far.
type erasureReader struct {
	loaded bool  // at least one order was read
	first  int64 // first_seq of the last order; op is its operation
	op     string
}

// erasureRow is a row of file_access_erasures.
type erasureRow struct {
	first    int64
	op, note string
	err      error // why reading the row failed
}

// erasuresRead is the number of orders that one statement reads.
const erasuresRead = 100

// loadErasures passes the orders with first_seq below to, which were not read
// yet, to the checker.
func (c *logReader) loadErasures(ctx context.Context, tx *sqlx.Tx, to int64) error {
	for {
		list, err := c.readErasures(ctx, tx, to)
		if err != nil {
			return err
		}
		for _, f := range list {
			c.erasures = erasureReader{true, f.first, f.op}
			if err := c.loadSigner(ctx, tx, f.note); err != nil {
				return err
			}
			c.log.Erasure(f.first, f.op, f.note, f.err)
		}
		if len(list) < erasuresRead {
			return nil
		}
	}
}

// readErasures returns the next orders, sorted by the primary key.
func (c *logReader) readErasures(ctx context.Context, tx *sqlx.Tx, to int64) (list []erasureRow, err error) {
	op := "op_id"
	if c.d.name() != "postgres" {
		op = c.d.short(value{column: op, limit: 36})
	}
	where, args := "", []any{c.id}
	if c.erasures.loaded {
		where, args = "first_seq >= ? AND (first_seq > ? OR op_id > ?) AND ", append(args, c.erasures.first, c.erasures.first, c.erasures.op)
	}
	query := "SELECT first_seq, " + op + ", " + c.d.short(value{column: "note", limit: maxOrder}) + " FROM file_access_erasures WHERE writer_id = ? AND " +
		where + "first_seq < ?" + inErasures.and(c.d) + " ORDER BY first_seq, op_id LIMIT " + strconv.Itoa(erasuresRead)
	form := c.d.form()
	err = selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), query), append(args, to), 3, func(v []any) {
		var f erasureRow
		if f.first, f.err = form.integer(v[0]); f.err == nil {
			f.op, f.err = form.text(v[1])
		}
		if f.err == nil {
			f.note, f.err = form.text(v[2])
		}
		list = append(list, f)
	})
	return list, err
}
