package sqlaudit

// This file implements reading what a writer published. Nothing is concluded from
// the name of an object: the checker judges its content.

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"
)

// publishedCertificate returns the published certificate of the writer, or "".
func (c *logReader) publishedCertificate(ctx context.Context) (string, error) {
	if !c.bucket.certificate {
		return "", nil
	}
	text, _, err := c.fetch(ctx, c.o.Published.Prefix+c.id+"/"+certificateObject)
	return text, err
}

// published feeds the published checkpoints.
func (c *logReader) published(ctx context.Context) error {
	sizes := c.bucket.sizes
	for last := false; !last && len(sizes) > 0; {
		size := sizes[len(sizes)-1]
		sizes = sizes[:len(sizes)-1]
		var err error
		if last, err = c.publish(ctx, size); err != nil {
			return err
		}
	}
	if c.o.LatestPublished {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, size := range sizes {
		if size < c.first || size > c.end {
			continue // removed by a valid order, or reported with the last
		}
		g.Go(func() error {
			_, err := c.publish(ctx, size)
			return err
		})
	}
	return g.Wait()
}

// publish feeds one published checkpoint.
func (c *logReader) publish(ctx context.Context, size int64) (valid bool, err error) {
	signed, found, err := c.fetch(ctx, objectKey(c.o.Published.Prefix, c.id, size))
	if err != nil || !found {
		return false, err // gone since it was listed
	}
	arrived := false
	if size > c.end {
		if arrived, err = c.arrived(ctx, size); err != nil {
			return false, err
		}
	}
	return c.log.Published(size, signed, arrived), nil
}

// arrived reports whether the database has a checkpoint of that size by now: a
// trail in use grows while it is verified.
func (c *logReader) arrived(ctx context.Context, size int64) (bool, error) {
	// A checkpoint without its entries would be reported as cut off above, had
	// it been there.
	for query, arg := range map[string]int64{
		"SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?": size, "SELECT count(*) FROM file_access_logs WHERE writer_id = ? AND seq = ?": size - 1,
	} {
		var n int
		if err := c.db.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), query), c.id, arg); err != nil {
			return false, fmt.Errorf("looking for entries that came since: %w", err)
		}
		if n != 1 {
			return false, nil
		}
	}
	return true, nil
}
