package sqlaudit

// Verify for one writer: one goroutine reads pages, another one hashes them.

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// verifyPage is how many entries are read at a time.
const verifyPage = 1000

// page is a run of entries and the checkpoints among them.
type page struct {
	rows        []raw
	places      []place  // of rows
	broken      []string // why rows could not be read
	checkpoints []checkpointRow
	last        bool
}

// place is what paging needs of an entry.
type place struct {
	id  string
	seq int64
}

func (v *raw) place() (place, error) {
	d := decoder{left: v[:]}
	p := place{id: d.required()}
	d = decoder{left: v[seqColumn:], err: d.err}
	p.seq = d.required64()
	return p, d.err
}

var seqColumn = slices.Index(columns, "seq")

// streamCheck checks one writer.
type streamCheck struct {
	*verification
	id       string
	bucket   *anchors
	stream   Stream
	verifier note.Verifier // of the writer's signatures; nil if it can't be had
	tree     tree
	first    tree // what it began with
	// lost is set once the tree can't be that of the writer any more, so that
	// one change is one finding.
	lost       bool
	good       int64 // the size up to which the tree is known to be the writer's
	next       int64 // the place of the next entry
	covered    int64 // the last checkpoint
	erasures   erasureCursor
	roots      []tlog.Hash // at the published sizes
	entries    int64
	erased     int64
	checked    int64
	firstExtra string // the id of the first entry beyond the last checkpoint
}

// stream checks the writer id in a transaction that sees one moment.
func (v *verification) stream(ctx context.Context, id string, bucket *anchors) error {
	c := &streamCheck{verification: v, id: id, bucket: bucket, stream: Stream{WriterID: id}}
	if c.bucket == nil {
		c.bucket = new(anchors)
	}
	tx, err := readTx(ctx, v.db, v.d)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	w, err := loadWriter(ctx, tx, v.d, id)
	if err != nil {
		return err
	}
	if w == nil {
		if err := tx.Rollback(); err != nil {
			return err
		}
		return c.missing(ctx)
	}
	c.stream.Origin, c.stream.StartedAt = w.origin, w.startedAt
	if c.verifier, c.stream.CertifiedBy, err = w.certified(v.keys); err != nil {
		c.find(c.finding(FindingCertificate, -1, "%v", err))
	}
	if err := c.begin(ctx, tx); err != nil {
		return err
	}
	if err := c.pages(ctx, tx); err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}
	c.end()
	if err := c.published(ctx, w); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.r.Entries += c.entries
	v.r.Erased += c.erased
	v.r.Checkpoints += c.checked
	v.r.Streams = append(v.r.Streams, c.stream)
	return nil
}

func (c *streamCheck) finding(kind FindingKind, seq int64, format string, args ...any) Finding {
	return Finding{Kind: kind, WriterID: c.id, Seq: seq, Last: seq, Detail: fmt.Sprintf(format, args...)}
}

// missing is for a writer that is not in the database, but elsewhere.
func (c *streamCheck) missing(ctx context.Context) error {
	// It may have come since; but it did not go, if it was there.
	if w, err := loadWriter(ctx, c.db, c.d, c.id); err != nil {
		return err
	} else if w != nil {
		return c.verification.stream(ctx, c.id, c.bucket)
	}
	var n, signed int64
	for _, q := range []struct {
		dst  *int64
		what string
	}{{&n, "count(*) FROM file_access_logs"}, {&signed, "COALESCE(max(tree_size), 0) FROM file_access_checkpoints"}} {
		if err := c.db.GetContext(ctx, q.dst, sqlx.Rebind(c.d.bind(), "SELECT "+q.what+" WHERE writer_id = ?"), c.id); err != nil {
			return err
		}
	}
	if n > 0 || signed > 0 {
		c.find(c.finding(FindingWriter, -1, "the writer is not in file_access_writers, so nobody vouches for its %d entries", n))
	}
	if len(c.bucket.sizes) == 0 {
		return nil
	}
	last := c.bucket.sizes[len(c.bucket.sizes)-1]
	f := c.finding(FindingWriter, 0, "the writer is gone: it published that it had %d entries, and the database does not know it", last)
	f.Last = last - 1
	c.find(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Streams = append(c.r.Streams, Stream{WriterID: c.id, Published: last})
	return nil
}

// begin starts from the frontier, if the beginning of the log was removed.
func (c *streamCheck) begin(ctx context.Context, tx *sqlx.Tx) error {
	var f frontierRow
	err := tx.GetContext(ctx, &f, sqlx.Rebind(c.d.bind(), "SELECT writer_id, tree_size, hashes, note FROM file_access_frontiers WHERE writer_id = ? ORDER BY tree_size DESC LIMIT 1"), c.id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		if err := c.frontier(ctx, tx, f); err != nil {
			var failed *queryError
			if errors.As(err, &failed) {
				return err
			}
			c.find(c.finding(FindingFrontier, f.Size, "the entries before this one are gone: %v", err))
			c.lost = true
		}
		c.tree.size, c.stream.First = f.Size, f.Size
		c.next, c.good, c.covered = f.Size, f.Size, f.Size
	}
	c.first = c.tree.clone()
	c.erasures = erasureCursor{c: c, from: c.next}

	// What stands before the beginning was put there.
	var before []struct {
		ID  string `db:"id"`
		Seq int64  `db:"seq"`
	}
	err = tx.SelectContext(ctx, &before, sqlx.Rebind(c.d.bind(), "SELECT id, seq FROM file_access_logs WHERE writer_id = ? AND seq < ? ORDER BY seq LIMIT 100"), c.id, c.next)
	if err != nil {
		return err
	}
	for _, b := range before {
		f := c.finding(FindingSequence, b.Seq, "an entry before the beginning of the log, which is at %d", c.next)
		f.EntryID = b.ID
		c.find(f)
	}
	return nil
}

func (c *streamCheck) frontier(ctx context.Context, tx *sqlx.Tx, f frontierRow) error {
	t, err := treeOf(f.Size, f.Hashes)
	if err != nil {
		return err
	}
	c.tree = t
	text, err := c.checkOrder(ctx, tx, f.Note)
	if err != nil {
		var failed *queryError
		if errors.As(err, &failed) {
			return err
		}
		return fmt.Errorf("the order to remove them is not valid: %w", err)
	}
	op := ""
	if lines := strings.SplitN(text, "\n", 3); len(lines) == 3 {
		op = strings.TrimPrefix(lines[1], "op ")
	}
	if text != frontierText(op, c.id, f.Size, t.root()) {
		return errors.New("the order to remove them is for other entries")
	}
	var signed string
	err = tx.GetContext(ctx, &signed, sqlx.Rebind(c.d.bind(), "SELECT note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?"), c.id, f.Size)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("no checkpoint says what they were")
	}
	if err != nil {
		return &queryError{err}
	}
	if c.verifier != nil {
		text, err := openNote(signed, c.verifier)
		if err != nil {
			return fmt.Errorf("the checkpoint that says what they were: %w", err)
		}
		if text != checkpointText(c.id, f.Size, t.root()) {
			return errors.New("the checkpoint that says what they were has another root")
		}
	}
	return nil
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
		from, seen := c.next, map[string]bool{} // the ids already read at from
		after := c.next
		for done := false; !done; {
			var p *page
			select {
			case p = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			p.rows, p.places, p.broken, p.checkpoints = p.rows[:0], p.places[:0], nil, p.checkpoints[:0]
			if err := c.readPage(ctx, tx, p, from, seen); err != nil {
				return err
			}
			to := after
			if n := len(p.places); n > 0 {
				last := p.places[n-1].seq
				if to = last + 1; last != from {
					from, seen = last, map[string]bool{}
				}
				for i := n - 1; i >= 0 && p.places[i].seq == from; i-- {
					seen[p.places[i].id] = true
				}
			}
			done = len(p.rows) == 0
			if err := c.readCheckpoints(ctx, tx, p, after, to, done); err != nil {
				return err
			}
			after, p.last = to, done
			if err := c.erasures.load(ctx, tx, p); err != nil {
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

func (c *streamCheck) readPage(ctx context.Context, tx *sqlx.Tx, p *page, from int64, seen map[string]bool) error {
	// The page begins with what the last one ended with, so that two entries in
	// one place are both seen.
	rows, err := tx.QueryContext(ctx, sqlx.Rebind(c.d.bind(), "SELECT "+c.d.columns()+
		" FROM file_access_logs WHERE writer_id = ? AND seq >= ? ORDER BY seq LIMIT "+fmt.Sprint(verifyPage+len(seen))), c.id, from)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		p.rows = append(p.rows, raw{})
		v := &p.rows[len(p.rows)-1]
		err := v.scan(rows)
		var at place
		if err == nil {
			at, err = v.place()
		}
		if err != nil {
			p.broken = append(p.broken, err.Error())
		}
		if err != nil || seen[at.id] {
			p.rows = p.rows[:len(p.rows)-1]
			continue
		}
		p.places = append(p.places, at)
	}
	return rows.Err()
}

// readCheckpoints reads those of trees larger than after and, but for the last
// page, not larger than to.
func (c *streamCheck) readCheckpoints(ctx context.Context, tx *sqlx.Tx, p *page, after, to int64, rest bool) error {
	query, args := "SELECT writer_id, tree_size, note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?", []any{c.id, after}
	if rest {
		query += " ORDER BY tree_size DESC LIMIT 1"
	} else {
		query, args = query+" AND tree_size <= ? ORDER BY tree_size", append(args, to)
	}
	return tx.SelectContext(ctx, &p.checkpoints, sqlx.Rebind(c.d.bind(), query), args...)
}

// check goes through the entries and checkpoints of a page in their order.
func (c *streamCheck) check(p *page) {
	for _, why := range p.broken {
		c.find(c.finding(FindingUnreadable, -1, "an entry can't be read: %s", why))
		c.lost = true
	}
	rest := p.checkpoints
	for i := range p.rows {
		var r row
		if err := r.decode(&p.rows[i], true); err != nil {
			c.find(c.finding(FindingUnreadable, -1, "an entry can't be read: %v", err))
			c.lost = true
			continue
		}
		for len(rest) > 0 && rest[0].Size <= r.Seq {
			c.checkpoint(&rest[0])
			rest = rest[1:]
		}
		c.entry(&r)
	}
	for i := range rest {
		if p.last && rest[i].Size > c.next {
			c.covered = rest[i].Size
			continue // reported at the end
		}
		c.checkpoint(&rest[i])
	}
}

// entry checks one entry and adds it to the tree.
func (c *streamCheck) entry(r *row) {
	c.entries++
	named := func(kind FindingKind, format string, args ...any) {
		f := c.finding(kind, r.Seq, format, args...)
		f.EntryID = r.ID
		c.find(f)
	}
	leaf := tlog.RecordHash(r.canonical(make([]byte, 0, 1024)))
	if leaf != r.leaf {
		named(FindingLeaf, "its content has the hash %x, but %x was recorded: the entry was changed", leaf[:], r.leaf[:])
	}
	switch {
	case r.salt == nil:
		c.erased++
		if r.Actor.UserID != "" || r.Actor.IP != "" || r.Actor.UserAgent != "" || r.Actor.RequestID != "" {
			named(FindingCommitment, "it has personal fields, but not the salt to check them with")
		} else if !c.erasures.allowed(r.Seq) {
			named(FindingErasure, "its personal fields are gone, and no valid order of erasure names it")
		}
	case !bytes.Equal(r.commit(), r.commitment):
		named(FindingCommitment, "its personal fields are not those that were recorded")
	}
	switch {
	case r.Seq < c.next:
		named(FindingSequence, "a second entry in place %d", r.Seq)
		c.lost = true
		return
	case r.Seq > c.next:
		f := c.finding(FindingSequence, c.next, "missing: after entry %d follows entry %d", c.next-1, r.Seq)
		f.Last = r.Seq - 1
		c.find(f)
		c.lost = true
		c.next = r.Seq
	}
	// The recorded leaf, or the one that its content gives: either way the
	// tree is not the writer's any more if they differ.
	c.tree.append(leaf)
	c.next++
	if leaf != r.leaf {
		c.lost = true
	}
	if c.next == c.covered+1 {
		c.firstExtra = r.ID
	}
	if i := len(c.roots); i < len(c.bucket.sizes) {
		for ; i < len(c.bucket.sizes) && c.bucket.sizes[i] < c.tree.size; i++ {
			c.roots = append(c.roots, tlog.Hash{}) // before the frontier
		}
		if i < len(c.bucket.sizes) && c.bucket.sizes[i] == c.tree.size {
			c.roots = append(c.roots, c.tree.root())
		}
	}
}

// checkpoint checks one that the log has reached.
func (c *streamCheck) checkpoint(p *checkpointRow) {
	c.checked++
	from := c.covered
	c.covered, c.firstExtra = p.Size, ""
	if c.verifier == nil {
		return // the certificate is a finding already
	}
	text, err := openNote(p.Note, c.verifier)
	if err != nil {
		f := c.finding(FindingSignature, from, "the checkpoint at %d is not signed by its writer: %v", p.Size, err)
		f.Last = p.Size - 1
		c.find(f)
		return
	}
	if c.lost {
		return
	}
	if want := checkpointText(c.id, p.Size, c.tree.root()); p.Size != c.tree.size || text != want {
		_, size, root, err := parseCheckpoint(text)
		f := c.finding(FindingRoot, c.good, "the writer signed the root %s for these entries, they give %s: at least one of them was changed", root, c.tree.root())
		f.Last = p.Size - 1
		if err != nil || size != p.Size {
			f.Detail = fmt.Sprintf("the checkpoint stored for %d entries is not for as many", p.Size)
		}
		c.find(f)
		c.lost = true
		return
	}
	c.good = p.Size
}

// cut reports that there are fewer entries than the writer said. Behind the last
// root that is right, those that are gone could be any: the others could have
// been renumbered.
func (c *streamCheck) cut(how string, size int64) {
	f := c.finding(FindingCut, min(c.good, c.next), "cut off: the writer %s that it had %d entries, there are %d", how, size, c.next)
	if c.good < c.next {
		f.Detail += fmt.Sprintf("; entries %d to %d can't be told from others in their place", c.good, c.next-1)
	}
	f.Last = size - 1
	c.find(f)
}

// end compares where the entries end with where the checkpoints do.
func (c *streamCheck) end() {
	c.stream.Size, c.stream.Signed = c.next, min(c.covered, c.next)
	switch {
	case c.covered > c.next:
		c.cut("signed", c.covered)
	case c.covered < c.next:
		f := c.finding(FindingUnsigned, c.covered, "nobody signed them: the last checkpoint covers %d of %d entries", c.covered, c.next)
		f.Last, f.EntryID = c.next-1, c.firstExtra
		c.find(f)
	}
}
