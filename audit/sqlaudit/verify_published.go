package sqlaudit

// This file implements Verify against the bucket, for one writer. An object
// counts only if the writer signed it, and the writer only if it is certified:
// nothing is concluded from the name of an object.

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"
)

// published holds what the writer published against the database.
func (c *streamCheck) published(ctx context.Context) error {
	found, verifier, err := c.certificate(ctx)
	if err != nil {
		return err
	}
	if verifier == nil {
		// Published before its certificate was, or the certificate is gone.
		verifier = c.verifier
	} else if found != string(c.row.certificate) {
		c.find(c.finding(FindingCertificate, -1, "the certificate that was published is not the one in the database: the writer's key was replaced"))
	}
	if verifier == nil {
		c.unverified.Add(int64(len(c.bucket.sizes)))
		return nil
	}
	last, err := c.lastPublished(ctx, verifier)
	if err != nil || last == 0 {
		return err
	}
	if c.certifiedWriter(verifier) {
		c.anchored.Store(true)
	}
	c.stream.Published = last
	if last > c.next {
		ok, err := c.arrived(ctx, last)
		if err != nil {
			return err
		}
		if !ok {
			c.cut("published", last)
		}
	}
	return c.compare(ctx, verifier, last)
}

// certifiedWriter reports whether the objects that v verifies are of a writer of
// this trail: the one that the database has, if its certificate is good, or the
// one whose published certificate is.
func (c *streamCheck) certifiedWriter(v note.Verifier) bool {
	return v != c.verifier || c.row.odd == nil && (len(c.keys) == 0 || c.stream.CertifiedBy != "")
}

// certificate returns the published certificate of the writer, and the verifier
// of its signatures; nil if there is none that one of the keys certifies.
func (c *streamCheck) certificate(ctx context.Context) (text string, v note.Verifier, err error) {
	if !c.bucket.certificate {
		return "", nil, nil
	}
	text, found, err := c.fetch(ctx, c.o.Prefix+c.id+"/"+certificateObject)
	if err != nil || !found {
		return "", nil, err
	}
	if v = openCertificate(text, c.id, c.keys); v == nil {
		c.unverified.Add(1)
	}
	return text, v, nil
}

// openCertificate returns the verifier of a writer's signatures; nil unless the
// writer signed the certificate and, if there are keys, one of them did.
func openCertificate(signed, id string, keys []note.Verifier) note.Verifier {
	_, err := note.Open([]byte(signed), note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil
	}
	writer, v, err := parseCertificate(unverified.Note.Text)
	if err != nil || writer != id {
		return nil
	}
	if _, err := openNote(signed, v); err != nil {
		return nil
	}
	if len(keys) > 0 {
		if _, err := openNote(signed, keys...); err != nil {
			return nil
		}
	}
	return v
}

// lastPublished returns the largest size of which the writer published a
// checkpoint, or 0. Objects that are not the writer's are counted as unverified
// and left out of c.bucket.
func (c *streamCheck) lastPublished(ctx context.Context, v note.Verifier) (int64, error) {
	for n := len(c.bucket.sizes); n > 0; n-- {
		size := c.bucket.sizes[n-1]
		body, ok, err := c.publishedText(ctx, v, size)
		if err != nil {
			return 0, err
		}
		if ok {
			c.lastBody = body
			return size, nil
		}
		c.bucket.sizes = c.bucket.sizes[:n-1]
	}
	return 0, nil
}

// publishedText returns the text of a published checkpoint; ok is false unless the
// writer signed it for that size.
func (c *streamCheck) publishedText(ctx context.Context, v note.Verifier, size int64) (text string, ok bool, err error) {
	signed, found, err := c.fetch(ctx, objectKey(c.o.Prefix, c.id, size))
	if err != nil || !found {
		return "", false, err // gone since it was listed
	}
	text, err = openNote(signed, v)
	if err == nil {
		var writer string
		var n int64
		if writer, n, _, err = parseCheckpoint(text); err == nil && (writer != c.id || n != size) {
			err = errors.New("it is for another size or writer")
		}
	}
	if err != nil {
		c.unverified.Add(1)
		return "", false, nil
	}
	return text, true, nil
}

// compare holds the published checkpoints against the entries.
func (c *streamCheck) compare(ctx context.Context, v note.Verifier, last int64) error {
	var reported atomic.Bool
	var count atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, size := range c.bucket.sizes {
		if size < c.stream.First || size > c.next || c.o.LatestPublished && size != last {
			continue // removed with a valid order, reported above, or not asked for
		}
		g.Go(func() error {
			body := c.lastBody
			if size != last {
				var ok bool
				var err error
				if body, ok, err = c.publishedText(ctx, v, size); err != nil || !ok {
					return err
				}
			}
			count.Add(1)
			// After a gap or a changed entry the trees differ for a reason that
			// was reported, but the published checkpoint says so too, once.
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

// gone reports a writer that is not in the database and published checkpoints. A
// certified one has been removed; anybody could have made another.
func (c *streamCheck) gone(ctx context.Context) error {
	_, v, err := c.certificate(ctx)
	if err != nil {
		return err
	}
	if v == nil {
		c.unverified.Add(int64(len(c.bucket.sizes)))
		return nil
	}
	last, err := c.lastPublished(ctx, v)
	if err != nil || last == 0 {
		return err
	}
	c.anchored.Store(true)
	f := c.finding(FindingWriter, 0, "the writer is gone: it published that it had %d entries, and the database does not know it", last)
	f.Last = last - 1
	c.find(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Streams = append(c.r.Streams, Stream{WriterID: c.id, Published: last})
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
