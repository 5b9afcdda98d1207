package sqlaudit

// This file implements the check of one writer's log. One goroutine reads
// pages, and another one passes them to the checker.

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// logReader reads the log of one writer.
type logReader struct {
	*verification
	id     string
	log    *proof.Log
	bucket *anchors

	first    int64 // entries before it were removed by order
	end      int64 // the last seq read, plus 1
	from     int64 // seq where the next page begins
	limit    int   // maximum number of entries on the next page
	erasures erasureReader
}

// verifyWriter checks the log of the writer id, as seen by one transaction.
func (v *verification) verifyWriter(ctx context.Context, id string, bucket *anchors) error {
	if bucket == nil {
		bucket = new(anchors)
	}
	c := &logReader{verification: v, id: id, bucket: bucket}
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
	c.log = v.checker.Log(id, &w.Writer, w.odd)
	certificate, err := c.publishedCertificate(ctx)
	if err != nil {
		return err
	}
	if !c.log.Anchors(certificate, bucket.sizes) {
		bucket.sizes = nil
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
	c.log.End()
	return c.published(ctx)
}

// missing handles a writer that has no row in file_access_writers.
func (c *logReader) missing(ctx context.Context) error {
	// The writer may have been added since. An existing row cannot have
	// disappeared, because it is never deleted.
	if w, err := loadWriter(ctx, c.db, c.d, c.id); err != nil {
		return err
	} else if w != nil {
		return c.verifyWriter(ctx, c.id, c.bucket)
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
		c.find(kindWriter, c.id, -1, "the writer is missing from file_access_writers, so its %d entries cannot be verified", n)
	}
	c.log = c.checker.Log(c.id, nil, nil)
	certificate, err := c.publishedCertificate(ctx)
	if err != nil {
		return err
	}
	if !c.log.Anchors(certificate, c.bucket.sizes) {
		return nil
	}
	return c.published(ctx)
}

// frontiersTried limits the frontiers of a writer that begin reads until one is
// valid.
const frontiersTried = 100

// begin passes the frontiers to the checker and reports rows before the start
// of the log.
func (c *logReader) begin(ctx context.Context, tx *sqlx.Tx) error {
	var list []frontierRow
	err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), frontierQuery(c.d, frontiersTried)), []any{c.id}, 3, func(v []any) { list = append(list, readFrontier(c.d, c.id, v)) })
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := c.loadSigner(ctx, tx, f.Note); err != nil {
			return err
		}
		var signed checkpointRow
		if f.err == nil {
			if err := selectRaw(ctx, tx, c.checkpointQuery("tree_size = ?", "", 1), []any{c.id, f.Size}, 2, func(v []any) { signed = c.checkpointOf(v) }); err != nil {
				return err
			}
		}
		if c.log.Frontier(f.Size, f.Hashes, f.Note, signed.Note, errors.Join(f.err, signed.err)) {
			c.first, c.end = f.Size, f.Size
			break
		}
	}
	if c.first == 0 && len(list) > 0 {
		if err := c.beginAnyway(ctx, tx, list); err != nil {
			return err
		}
	}
	query := "SELECT seq, " + c.id36() + " FROM file_access_logs WHERE writer_id = ? AND seq < ?" + inLogs.and(c.d) + " ORDER BY seq LIMIT 100"
	if err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), query), []any{c.id, c.first}, 2, func(v []any) {
		seq, _ := c.d.form().integer(v[0])
		f := findingOf(kindSequence, c.id, seq, "an entry before the start of the log, which is at %d", c.first)
		if id, err := c.d.form().text(v[1]); err == nil && isUUID(id) {
			f.EntryID = id
		}
		c.checker.Find(f)
	}); err != nil {
		return err
	}
	var n int
	if err := tx.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), "SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size < 1"+inCheckpoints.and(c.d)), c.id); err != nil {
		return err
	}
	if n > 0 {
		c.find(kindSignature, c.id, -1, "%d checkpoints have a tree_size below 1", n)
	}
	return nil
}

// beginAnyway handles a log without a valid frontier. If an invalid frontier
// matches the first existing entry, the checkpoints are read from there.
func (c *logReader) beginAnyway(ctx context.Context, tx *sqlx.Tx, list []frontierRow) error {
	var first sql.NullInt64
	if err := tx.GetContext(ctx, &first, sqlx.Rebind(c.d.bind(), "SELECT min(seq) FROM file_access_logs WHERE writer_id = ?"+inLogs.and(c.d)), c.id); err != nil {
		return err
	}
	for _, f := range list {
		if f.err == nil && first.Valid && f.Size == first.Int64 && f.Size > 0 {
			c.end = f.Size
		}
	}
	return nil
}

// id36 is an SQL expression for the ID of an entry.
func (c *logReader) id36() string {
	if c.d.name() == "postgres" {
		return "id"
	}
	return c.d.short(value{column: "id", limit: 36})
}

// loadSigner passes the writer that signed an order to the checker, unless the
// checker already knows the writer.
func (c *logReader) loadSigner(ctx context.Context, db getter, order string) error {
	id := c.checker.Signer(order)
	if id == "" {
		return nil
	}
	w, err := loadWriter(ctx, db, c.d, id)
	if err != nil {
		return err
	}
	if w == nil {
		c.checker.Log(id, nil, nil)
		return nil
	}
	c.checker.Log(id, &w.Writer, w.odd)
	return nil
}

// check passes the entries and checkpoints of a page to the checker, in order.
func (c *logReader) check(p *page) {
	form, rest := c.d.form(), p.checkpoints
	feed := func(n *checkpointRow) { c.log.Checkpoint(n.Size, n.Note, n.err) }
	for i := range p.rows {
		var r row
		err := r.decode(&p.rows[i], form)
		for len(rest) > 0 && rest[0].Size <= p.seqs[i] {
			feed(&rest[0])
			rest = rest[1:]
		}
		if err != nil {
			c.log.Unreadable(p.seqs[i], p.rows[i].text(idColumn), err)
			continue
		}
		c.log.Entry(&r.stored)
	}
	for i := range rest {
		feed(&rest[i])
	}
	for _, why := range p.broken {
		c.log.Unreadable(-1, "", errors.New(why))
	}
	for i := range p.beyond {
		feed(&p.beyond[i])
	}
}
