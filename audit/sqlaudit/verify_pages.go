package sqlaudit

// This file implements reading the log of one writer in pages of limited size,
// in entries and in bytes.

import (
	"context"
	"fmt"
	"math"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"
)

// verifyPage is the number of entries on a page. A page with more than
// verifyBytes bytes ends early.
const (
	verifyPage  = 1000
	verifyBytes = 2 << 20
)

// page holds consecutive entries and their checkpoints.
type page struct {
	rows        []raw
	seqs        []int64  // the seq of each row
	broken      []string // reasons why the log cannot be read further
	checkpoints []checkpointRow
	beyond      []checkpointRow // with a tree_size beyond the end of the log, largest first
}

// pages reads the log and passes it to the checker.
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

// readPage reads the next entries. It returns done with the last page.
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
		seq, err := v.position(form)
		if err != nil {
			// The entries after this one cannot be found.
			p.broken = append(p.broken, fmt.Sprintf("entry %s: %v; the entries after it were not read", v.text(idColumn), err))
			p.rows = p.rows[:len(p.rows)-1]
			return true, nil
		}
		p.seqs = append(p.seqs, seq)
		size += v.bytes()
	}
	if !more {
		return true, rows.Err()
	}
	// The next page should not read more than it can hold.
	c.limit = min(verifyPage, 2*c.limit)
	if size > verifyBytes {
		c.limit = max(len(p.rows), 2)
	}
	// More entries may have the last seq, and the checker needs them together.
	n := len(p.seqs)
	last, keep := p.seqs[n-1], n
	for keep > 0 && p.seqs[keep-1] == last {
		keep--
	}
	if keep == 0 {
		p.broken = append(p.broken, fmt.Sprintf("at least %d entries have seq %d; no more of them were read", n, last))
		c.from = last + 1
		return false, nil
	}
	p.rows, p.seqs, c.from = p.rows[:keep], p.seqs[:keep], last
	return false, nil
}

// readCheckpoints reads the checkpoints with a tree_size above after, up to to.
// It reads at most one more than the page has entries.
func (c *logReader) readCheckpoints(ctx context.Context, tx *sqlx.Tx, p *page, after, to int64) error {
	if to == after {
		return nil
	}
	most := len(p.rows)
	return selectRaw(ctx, tx, c.checkpointQuery("tree_size > ? AND tree_size <= ?", " ORDER BY tree_size", most+1), []any{c.id, after, to}, 2, func(v []any) {
		if len(p.checkpoints) == most {
			p.broken = append(p.broken, fmt.Sprintf("more checkpoints than entries up to %d", to))
			return
		}
		p.checkpoints = append(p.checkpoints, c.checkpointOf(v))
	})
}

// checkpointsTried limits the checkpoints beyond the end of a log that are read
// until one is signed by the log's writer.
const checkpointsTried = 100

// readBeyond reads the checkpoints with a tree_size beyond the end of the log.
func (c *logReader) readBeyond(ctx context.Context, tx *sqlx.Tx, p *page) error {
	return selectRaw(ctx, tx, c.checkpointQuery("tree_size > ?", " ORDER BY tree_size DESC", checkpointsTried), []any{c.id, c.end}, 2, func(v []any) {
		p.beyond = append(p.beyond, c.checkpointOf(v))
	})
}
