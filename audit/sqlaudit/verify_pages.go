package sqlaudit

// This file implements reading the log of one writer in pages, which are bounded in
// entries and in bytes.

import (
	"context"
	"fmt"
	"math"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"
)

// verifyPage is how many entries are read at a time, and verifyBytes is after how
// many bytes a page ends early.
const (
	verifyPage  = 1000
	verifyBytes = 2 << 20
)

// page is a run of entries and the checkpoints among them.
type page struct {
	rows        []raw
	seqs        []int64  // of rows
	broken      []string // why the log can't be read any further
	checkpoints []checkpointRow
	beyond      []checkpointRow // of more entries than the log has, the largest first
}

// pages reads the log and has it checked.
func (c *logReader) pages(ctx context.Context, tx *sqlx.Tx) error {
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan *page, 2)
	free := make(chan *page, 4)
	for range cap(free) {
		free <- new(page)
	}
	g.Go(func() error {
		defer close(ready)
		c.from, c.limit = c.first, verifyPage
		for done := false; !done; {
			var p *page
			select {
			case p = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			p.rows, p.seqs, p.broken, p.checkpoints, p.beyond = p.rows[:0], p.seqs[:0], nil, p.checkpoints[:0], nil
			var err error
			if done, err = c.readPage(ctx, tx, p); err != nil {
				return err
			}
			to := c.end
			if n := len(p.seqs); n > 0 {
				to = max(to, p.seqs[n-1]+1)
			}
			if err := c.readCheckpoints(ctx, tx, p, c.end, to); err != nil {
				return err
			}
			c.end = to
			if done {
				if err := c.readBeyond(ctx, tx, p); err != nil {
					return err
				}
				to = math.MaxInt64
			}
			if err := c.loadErasures(ctx, tx, to); err != nil {
				return err
			}
			select {
			case ready <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	g.Go(func() error {
		for p := range ready {
			c.check(p)
			free <- p
		}
		return ctx.Err()
	})
	return g.Wait()
}

// readPage reads the next entries. It returns done with the last of them.
func (c *logReader) readPage(ctx context.Context, tx *sqlx.Tx, p *page) (done bool, err error) {
	rows, err := tx.QueryContext(ctx, sqlx.Rebind(c.d.bind(), "SELECT "+c.d.columns()+
		" FROM file_access_logs WHERE writer_id = ? AND seq >= ?"+inLogs.and(c.d)+" ORDER BY seq LIMIT "+fmt.Sprint(c.limit+1)), c.id, c.from)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	form, size, more := c.d.form(), 0, false
	for rows.Next() {
		if len(p.rows) == c.limit || size > verifyBytes {
			more = true
			break
		}
		p.rows = append(p.rows, raw{})
		v := &p.rows[len(p.rows)-1]
		if err := v.scan(rows); err != nil {
			return false, err
		}
		seq, err := v.place(form)
		if err != nil {
			// Nothing leads from here to the entries beyond it.
			p.broken = append(p.broken, fmt.Sprintf("entry %s: %v; those beyond it were not read", v.text(idColumn), err))
			p.rows = p.rows[:len(p.rows)-1]
			return true, nil
		}
		p.seqs = append(p.seqs, seq)
		size += v.bytes()
	}
	if !more {
		return true, rows.Err()
	}
	// The next page asks for no more than it is going to take.
	c.limit = min(verifyPage, 2*c.limit)
	if size > verifyBytes {
		c.limit = max(len(p.rows), 2)
	}
	// The last place may have more entries, which have to come together.
	n := len(p.seqs)
	last, keep := p.seqs[n-1], n
	for keep > 0 && p.seqs[keep-1] == last {
		keep--
	}
	if keep == 0 {
		p.broken = append(p.broken, fmt.Sprintf("there are at least %d entries in place %d, of which no more were read", n, last))
		c.from = last + 1
		return false, nil
	}
	p.rows, p.seqs, c.from = p.rows[:keep], p.seqs[:keep], last
	return false, nil
}

// readCheckpoints reads those of trees that are larger than after and not larger
// than to: as many as there are entries on the page, and one more.
func (c *logReader) readCheckpoints(ctx context.Context, tx *sqlx.Tx, p *page, after, to int64) error {
	if to == after {
		return nil
	}
	most := len(p.rows)
	return selectRaw(ctx, tx, c.checkpointQuery("tree_size > ? AND tree_size <= ?", " ORDER BY tree_size", most+1), []any{c.id, after, to}, 2, func(v []any) {
		if len(p.checkpoints) == most {
			p.broken = append(p.broken, fmt.Sprintf("there are more checkpoints than entries up to %d", to))
			return
		}
		p.checkpoints = append(p.checkpoints, c.checkpointOf(v))
	})
}

// checkpointsTried bounds the checkpoints beyond the end of a log that are read to
// find one that its writer signed.
const checkpointsTried = 100

// readBeyond reads the checkpoints of more entries than the log has.
func (c *logReader) readBeyond(ctx context.Context, tx *sqlx.Tx, p *page) error {
	return selectRaw(ctx, tx, c.checkpointQuery("tree_size > ?", " ORDER BY tree_size DESC", checkpointsTried), []any{c.id, c.end}, 2, func(v []any) {
		p.beyond = append(p.beyond, c.checkpointOf(v))
	})
}
