package sqlaudit

// Verify for one writer: one goroutine reads pages, another one hashes them.

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

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
