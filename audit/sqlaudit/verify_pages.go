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
	last        bool
}

// pages reads the log and has it checked.
func (c *streamCheck) pages(ctx context.Context, tx *sqlx.Tx) error {
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan *page, 2)
	free := make(chan *page, 4)
	for range cap(free) {
		free <- new(page)
	}
	g.Go(func() error {
		defer close(ready)
		c.from, c.limit = c.next, verifyPage
		after := c.next
		for done := false; !done; {
			var p *page
			select {
			case p = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			p.rows, p.seqs, p.broken, p.checkpoints = p.rows[:0], p.seqs[:0], nil, p.checkpoints[:0]
			var err error
			if done, err = c.readPage(ctx, tx, p); err != nil {
				return err
			}
			to := after
			if n := len(p.seqs); n > 0 {
				to = max(to, p.seqs[n-1]+1)
			}
			if err := c.readCheckpoints(ctx, tx, p, after, to); err != nil {
				return err
			}
			after, p.last = to, done
			if done {
				if c.beyond, err = c.checkpointBeyond(ctx, tx, after); err != nil {
					return err
				}
				to = math.MaxInt64
			}
			if err := c.erasures.load(ctx, tx, to); err != nil {
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
func (c *streamCheck) readPage(ctx context.Context, tx *sqlx.Tx, p *page) (done bool, err error) {
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
func (c *streamCheck) readCheckpoints(ctx context.Context, tx *sqlx.Tx, p *page, after, to int64) error {
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

// checkpointsTried is how many checkpoints beyond the end of a log are looked at
// for one that its writer signed.
const checkpointsTried = 100

// checkpointBeyond returns the largest size beyond the end of the log that the
// writer signed, or 0.
func (c *streamCheck) checkpointBeyond(ctx context.Context, tx *sqlx.Tx, after int64) (size int64, err error) {
	err = selectRaw(ctx, tx, c.checkpointQuery("tree_size > ?", " ORDER BY tree_size DESC", checkpointsTried), []any{c.id, after}, 2, func(v []any) {
		p := c.checkpointOf(v)
		if c.verifier == nil || size > 0 {
			size = max(size, p.Size) // the certificate is a finding already
			return
		}
		text, err := p.open(c.verifier)
		if err == nil {
			var n int64
			if _, n, _, err = parseCheckpoint(text); err == nil && n != p.Size {
				err = fmt.Errorf("it is for %d entries", n)
			}
		}
		if err != nil {
			c.find(c.finding(FindingSignature, -1, "the checkpoint stored for %d entries, which are not there, is not one that its writer signed: %v", p.Size, err))
			return
		}
		size = p.Size
	})
	return size, err
}
