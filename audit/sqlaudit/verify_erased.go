package sqlaudit

// Orders of erasure, read alongside the entries that they name.

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jmoiron/sqlx"
)

// erasureCursor holds the orders that may name the entries of the page at hand.
type erasureCursor struct {
	c    *streamCheck
	from int64 // orders that begin before it are loaded

	mu     sync.Mutex // one goroutine loads while the other one asks
	active []*erasureOrder
	loaded bool // those that begin before the first page
}

type erasureOrder struct{ spans []span }

// load reads the orders that begin within p.
func (e *erasureCursor) load(ctx context.Context, tx *sqlx.Tx, p *page) error {
	if len(p.places) == 0 {
		return nil
	}
	to := p.places[len(p.places)-1].seq
	var found []struct {
		First int64  `db:"first_seq"`
		OpID  string `db:"op_id"`
		Note  string `db:"note"`
	}
	from := e.from
	if !e.loaded {
		from, e.loaded = -1, true
	}
	if to < from {
		return nil
	}
	err := tx.SelectContext(ctx, &found, sqlx.Rebind(e.c.d.bind(),
		"SELECT first_seq, op_id, note FROM file_access_erasures WHERE writer_id = ? AND first_seq >= ? AND first_seq <= ? ORDER BY first_seq"), e.c.id, from, to)
	if err != nil {
		return err
	}
	e.from = to + 1
	for _, f := range found {
		text, err := e.c.checkOrder(ctx, tx, f.Note)
		var failed *queryError
		if errors.As(err, &failed) {
			return err
		}
		var spans []span
		if err == nil {
			spans, err = parseErasure(text, f.OpID, e.c.id)
		}
		if err == nil && spans[0].first != f.First {
			err = errors.New("it begins with another entry")
		}
		if err != nil {
			e.c.find(e.c.finding(FindingErasure, f.First, "the order of erasure %s is not valid: %v", f.OpID, err))
			continue
		}
		e.mu.Lock()
		e.active = append(e.active, &erasureOrder{spans})
		e.mu.Unlock()
	}
	return nil
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
