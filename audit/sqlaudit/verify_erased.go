package sqlaudit

// Orders of erasure, read alongside the entries that they name.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/jmoiron/sqlx"
)

// erasureCursor holds the orders that may name the entries of the page at hand.
type erasureCursor struct {
	c      *streamCheck
	loaded bool  // something was
	first  int64 // of the last order that was read, and its operation
	op     string

	mu     sync.Mutex // one goroutine loads while the other one asks
	active []*erasureOrder
}

type erasureOrder struct{ spans []span }

// erasureRow is a row of file_access_erasures.
type erasureRow struct {
	first    int64
	op, note string
	err      error // why it is not one that this package stored
}

// erasuresRead is how many orders are read at a time.
const erasuresRead = 100

// load reads the orders that begin before to, which were not read yet. Orders that
// aren't valid are findings, and not kept.
func (e *erasureCursor) load(ctx context.Context, tx *sqlx.Tx, to int64) error {
	for {
		list, err := e.read(ctx, tx, to)
		if err != nil {
			return err
		}
		for _, f := range list {
			e.loaded, e.first, e.op = true, f.first, f.op
			spans, err := e.order(ctx, tx, f)
			var failed *queryError
			if errors.As(err, &failed) {
				return err
			}
			if err != nil {
				e.c.find(e.c.finding(FindingErasure, f.first, "the order of erasure %s is not valid: %v", printable(f.op), err))
				continue
			}
			e.mu.Lock()
			e.active = append(e.active, &erasureOrder{spans})
			e.mu.Unlock()
		}
		if len(list) < erasuresRead {
			return nil
		}
	}
}

// read returns the next orders in the order of the primary key.
func (e *erasureCursor) read(ctx context.Context, tx *sqlx.Tx, to int64) (list []erasureRow, err error) {
	op := "op_id"
	if e.c.d.name() != "postgres" {
		op = e.c.d.short(value{column: op, limit: 36})
	}
	where, args := "", []any{e.c.id}
	if e.loaded {
		where, args = "first_seq >= ? AND (first_seq > ? OR op_id > ?) AND ", append(args, e.first, e.first, e.op)
	}
	query := "SELECT first_seq, " + op + ", " + e.c.d.short(value{column: "note", limit: maxOrder}) + " FROM file_access_erasures WHERE writer_id = ? AND " +
		where + "first_seq < ?" + inErasures.and(e.c.d) + " ORDER BY first_seq, op_id LIMIT " + strconv.Itoa(erasuresRead)
	form := e.c.d.form()
	err = selectRaw(ctx, tx, sqlx.Rebind(e.c.d.bind(), query), append(args, to), 3, func(v []any) {
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

// order returns the entries that an order names.
func (e *erasureCursor) order(ctx context.Context, tx *sqlx.Tx, f erasureRow) ([]span, error) {
	if f.err != nil {
		return nil, fmt.Errorf("its row %w", f.err)
	}
	text, err := e.c.checkOrder(ctx, tx, f.note)
	if err != nil {
		return nil, err
	}
	spans, err := parseErasure(text, f.op, e.c.id)
	if err == nil && spans[0].first != f.first {
		err = errors.New("it begins with another entry")
	}
	return spans, err
}

// allowed reports whether an order names the entry. Entries are asked for in
// ascending order.
func (e *erasureCursor) allowed(seq int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	named := false
	e.active = slices.DeleteFunc(e.active, func(o *erasureOrder) bool {
		for len(o.spans) > 0 && o.spans[0].last < seq {
			o.spans = o.spans[1:]
		}
		named = named || len(o.spans) > 0 && o.spans[0].first <= seq
		return len(o.spans) == 0
	})
	return named
}
