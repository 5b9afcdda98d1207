package sqlaudit

// This file implements the reading of published checkpoints. The name of an
// object proves nothing: the checker uses only the content.

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

// published passes the published checkpoints to the checker.
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
			continue // removed by a valid order, or reported with the last one
		}
		g.Go(func() error {
			_, err := c.publish(ctx, size)
			return err
		})
	}
	return g.Wait()
}

// publish passes one published checkpoint to the checker.
func (c *logReader) publish(ctx context.Context, size int64) (valid bool, err error) {
	signed, found, err := c.fetch(ctx, objectKey(c.o.Published.Prefix, c.id, size))
	if err != nil || !found {
		return false, err // removed since it was listed
	}
	arrived := false
	if size > c.end {
		if arrived, err = c.arrived(ctx, size); err != nil {
			return false, err
		}
	}
	return c.log.Published(size, signed, arrived), nil
}

// arrived reports whether the database now contains a checkpoint of this size
// and its last entry. A trail in use grows during the check.
func (c *logReader) arrived(ctx context.Context, size int64) (bool, error) {
	// A checkpoint without its entries must not count: it means that the log
	// was cut off.
	for query, arg := range map[string]int64{
		"SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?": size, "SELECT count(*) FROM file_access_logs WHERE writer_id = ? AND seq = ?": size - 1,
	} {
		var n int
		if err := c.db.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), query), c.id, arg); err != nil {
			return false, fmt.Errorf("looking for new entries: %w", err)
		}
		if n != 1 {
			return false, nil
		}
	}
	return true, nil
}
