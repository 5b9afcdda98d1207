package sqlaudit

// Verify for one writer: one goroutine reads pages, another one hashes them.

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
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

// streamCheck checks one writer.
type streamCheck struct {
	*verification
	id       string
	row      *writerRow
	bucket   *anchors
	lastBody string // the text of the last published checkpoint
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
	beyond     int64 // one beyond the end of the log; 0: none
	from       int64 // where the next page begins
	limit      int   // how many entries the next page has at most
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
	c.row = w
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
	if err := c.published(ctx); err != nil {
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
	return c.gone(ctx)
}

// frontiersTried is how many frontiers of a writer are looked at for one that is
// valid.
const frontiersTried = 100

// begin starts from the last valid frontier, if the beginning of the log was
// removed. Others beyond it are findings.
func (c *streamCheck) begin(ctx context.Context, tx *sqlx.Tx) error {
	var list []frontierRow
	err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), frontierQuery(c.d, frontiersTried)), []any{c.id}, 3, func(v []any) { list = append(list, readFrontier(c.d, c.id, v)) })
	if err != nil {
		return err
	}
	for _, f := range list {
		t, err := c.frontier(ctx, tx, f)
		var failed *queryError
		if errors.As(err, &failed) {
			return err
		}
		if err == nil {
			c.tree, c.stream.First = t, f.Size
			c.next, c.good, c.covered = f.Size, f.Size, f.Size
			break
		}
		c.find(c.finding(FindingFrontier, f.Size, "the entries before this one are said to be gone: %v", err))
	}
	if c.next == 0 && len(list) > 0 {
		if err := c.beginAnyway(ctx, tx, list); err != nil {
			return err
		}
	}
	c.first = c.tree.clone()
	c.erasures = erasureCursor{c: c}

	// Entries before the beginning were put there.
	query := "SELECT seq, " + c.id36() + " FROM file_access_logs WHERE writer_id = ? AND seq < ?" + inLogs.and(c.d) + " ORDER BY seq LIMIT 100"
	if err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), query), []any{c.id, c.next}, 2, func(v []any) {
		seq, _ := c.d.form().integer(v[0])
		f := c.finding(FindingSequence, seq, "an entry before the beginning of the log, which is at %d", c.next)
		if id, err := c.d.form().text(v[1]); err == nil && isUUID(id) {
			f.EntryID = id
		}
		c.find(f)
	}); err != nil {
		return err
	}
	var n int
	if err := tx.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), "SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size < 1"+inCheckpoints.and(c.d)), c.id); err != nil {
		return err
	}
	if n > 0 {
		c.find(c.finding(FindingSignature, -1, "%d checkpoints are stored for fewer than one entry", n))
	}
	return nil
}

// beginAnyway begins where the entries do, if one of the frontiers that are not
// valid says that this is the beginning: what is missing before it was reported.
func (c *streamCheck) beginAnyway(ctx context.Context, tx *sqlx.Tx, list []frontierRow) error {
	var first sql.NullInt64
	if err := tx.GetContext(ctx, &first, sqlx.Rebind(c.d.bind(), "SELECT min(seq) FROM file_access_logs WHERE writer_id = ?"+inLogs.and(c.d)), c.id); err != nil {
		return err
	}
	for _, f := range list {
		if f.err != nil || f.Size < 1 || f.Size > maxPlace || !first.Valid || f.Size != first.Int64 {
			continue
		}
		// Without the right hashes, with those of some tree of that size.
		t, err := treeOf(f.Size, f.Hashes)
		if err != nil {
			t, err = treeOf(f.Size, make([]byte, bits.OnesCount64(uint64(f.Size))*tlog.HashSize))
		}
		if err != nil {
			return err
		}
		c.tree, c.stream.First, c.lost = t, f.Size, true
		c.next, c.good, c.covered = f.Size, f.Size, f.Size
		return nil
	}
	return nil
}

// id36 is an expression for the id of an entry.
func (c *streamCheck) id36() string {
	if c.d.name() == "postgres" {
		return "id"
	}
	return c.d.short(value{column: "id", limit: 36})
}

// selectRaw calls each with the n values of each row.
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

func (c *streamCheck) frontier(ctx context.Context, tx *sqlx.Tx, f frontierRow) (t tree, err error) {
	if f.err != nil {
		return t, f.err
	}
	if f.Size < 1 || f.Size > maxPlace {
		return t, fmt.Errorf("no log has %d entries", f.Size)
	}
	if t, err = treeOf(f.Size, f.Hashes); err != nil {
		return t, err
	}
	text, err := c.checkOrder(ctx, tx, f.Note)
	if err != nil {
		return t, fmt.Errorf("the order to remove them is not valid: %w", err)
	}
	op := ""
	if lines := strings.SplitN(text, "\n", 3); len(lines) == 3 {
		op = strings.TrimPrefix(lines[1], "op ")
	}
	if text != frontierText(op, c.id, f.Size, t.root()) {
		return t, errors.New("the order to remove them is for other entries")
	}
	found := false
	var signed checkpointRow
	query := c.checkpointQuery("tree_size = ?", "", 1)
	if err := selectRaw(ctx, tx, query, []any{c.id, f.Size}, 2, func(v []any) { signed, found = c.checkpointOf(v), true }); err != nil {
		return t, &queryError{err}
	}
	if !found {
		return t, errors.New("no checkpoint says what they were")
	}
	if c.verifier != nil {
		text, err := signed.open(c.verifier)
		if err != nil {
			return t, fmt.Errorf("the checkpoint that says what they were: %w", err)
		}
		if text != checkpointText(c.id, f.Size, t.root()) {
			return t, errors.New("the checkpoint that says what they were has another root")
		}
	}
	return t, nil
}

// checkpointQuery selects checkpoints of the writer for checkpointOf.
func (c *streamCheck) checkpointQuery(where, order string, limit int) string {
	return sqlx.Rebind(c.d.bind(), "SELECT tree_size, "+c.d.short(value{column: "note", limit: maxSigned})+" FROM file_access_checkpoints WHERE writer_id = ? AND "+
		where+inCheckpoints.and(c.d)+order+" LIMIT "+fmt.Sprint(limit))
}

func (c *streamCheck) checkpointOf(v []any) checkpointRow { return readCheckpoint(c.d, c.id, v) }

// readCheckpoint makes a row of a size and a note.
func readCheckpoint(d dialect, id string, v []any) checkpointRow {
	p := checkpointRow{WriterID: id}
	p.Size, p.err = d.form().integer(v[0])
	if p.err == nil {
		p.Note, p.err = d.form().text(v[1])
	}
	return p
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

// check goes through the entries and checkpoints of a page in their order.
func (c *streamCheck) check(p *page) {
	form, rest := c.d.form(), p.checkpoints
	for i := range p.rows {
		var r row
		err := r.decode(&p.rows[i], form)
		for len(rest) > 0 && rest[0].Size <= p.seqs[i] {
			c.checkpoint(&rest[0])
			rest = rest[1:]
		}
		if err != nil {
			c.unreadable(&p.rows[i], p.seqs[i], err)
			continue
		}
		c.entry(&r)
	}
	for i := range rest {
		c.checkpoint(&rest[i])
	}
	for _, why := range p.broken {
		c.find(c.finding(FindingUnreadable, -1, "the log can't be read as it was written: %s", why))
		c.lost = true
	}
	if p.last && c.beyond > c.covered {
		c.covered = c.beyond // reported at the end
	}
}

// unreadable reports an entry that is not stored as this package stores one. It
// has its place in the log all the same.
func (c *streamCheck) unreadable(v *raw, seq int64, err error) {
	f := c.finding(FindingUnreadable, seq, "the entry is not stored as it was written: %v", err)
	if id := v.text(idColumn); isUUID(id) {
		f.EntryID = id
	}
	c.find(f)
	c.entries++
	c.lost = true
	if seq == c.next {
		c.append(tlog.Hash{})
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
	c.append(leaf)
	if leaf != r.leaf {
		c.lost = true
	}
	if c.next == c.covered+1 {
		c.firstExtra = r.ID
	}
}

// append goes on to the next place.
func (c *streamCheck) append(leaf tlog.Hash) {
	c.tree.append(leaf)
	c.next++
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
	text, err := p.open(c.verifier)
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
