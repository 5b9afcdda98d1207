package sqlaudit

// Verify against the bucket, for one writer.

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"
)

// published holds what the writer published against the database.
func (c *streamCheck) published(ctx context.Context, w *writerRow) error {
	sizes := c.bucket.sizes
	if c.bucket.certificate {
		text, found, err := c.fetch(ctx, c.o.Prefix+c.id+"/"+certificateObject)
		if err != nil {
			return err
		}
		if found && text != string(w.certificate) {
			c.find(c.finding(FindingCertificate, -1, "the certificate that was published is not the one in the database: the writer's key was replaced"))
			return nil // nothing it published would verify
		}
	}
	if len(sizes) == 0 || c.verifier == nil {
		return nil
	}
	c.stream.Published = sizes[len(sizes)-1]
	if c.stream.Published > c.next {
		ok, err := c.arrived(ctx, c.stream.Published)
		if err != nil {
			return err
		}
		if !ok {
			c.cut("published", c.stream.Published)
		}
	}

	var reported atomic.Bool
	var count atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, size := range sizes {
		if size < c.stream.First || size > c.next {
			continue // removed with a valid order, or reported above
		}
		g.Go(func() error {
			text, found, err := c.fetch(ctx, objectKey(c.o.Prefix, c.id, size))
			if err != nil || !found {
				return err // gone since it was listed
			}
			count.Add(1)
			body, err := openNote(text, c.verifier)
			if err != nil {
				c.find(c.finding(FindingPublished, size-1, "the checkpoint published for %d entries is not signed by the writer: %v", size, err))
				return nil
			}
			// After a gap or a changed entry the trees differ for a reason that
			// was reported, but what was published says so by itself, once.
			root := c.rootAt(i, size)
			if root == "" || body == root || reported.Swap(true) {
				return nil
			}
			f := c.finding(FindingPublished, c.stream.First, "the checkpoint published for %d entries has another root than the entries give: they were rewritten", size)
			f.Last = size - 1
			c.find(f)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.mu.Lock()
	c.r.Published += count.Load()
	c.mu.Unlock()
	return nil
}

// rootAt is the text of the checkpoint that the entries give at the size of the
// i-th published one; "" if they were removed.
func (c *streamCheck) rootAt(i int, size int64) string {
	if i >= len(c.roots) || size == c.stream.First {
		if size != c.stream.First {
			return ""
		}
		t := c.first
		return checkpointText(c.id, size, t.root())
	}
	return checkpointText(c.id, size, c.roots[i])
}

// arrived reports whether the database has a checkpoint of that size by now: a
// trail in use grows while it is verified.
func (c *streamCheck) arrived(ctx context.Context, size int64) (bool, error) {
	var signed string
	err := c.db.GetContext(ctx, &signed, sqlx.Rebind(c.d.bind(), "SELECT note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?"), c.id, size)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// A checkpoint without its entries would be reported as cut off above, had
	// it been there.
	var n int
	if err := c.db.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), "SELECT count(*) FROM file_access_logs WHERE writer_id = ? AND seq = ?"), c.id, size-1); err != nil {
		return false, err
	}
	return n == 1, nil
}
