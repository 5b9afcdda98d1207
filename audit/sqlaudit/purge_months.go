package sqlaudit

// This file implements retention by whole months for partitioned logs. The
// entries of a month are verified and exported like all others. Dropping their
// partition then takes the same time for any number of entries.

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// dropWait limits how long other sessions queue after Purge while it waits for
// the lock to drop a partition. After that, they proceed first.
const dropWait = "300ms"

// dropAttempts limits the attempts to get the lock.
const dropAttempts = 20

// monthPart describes the entries of one writer in a partition.
type monthPart struct {
	WriterID string `db:"writer_id"`
	Last     int64  `db:"last"` // seq of the last entry
	Entries  int64  `db:"entries"`

	start, until proof.Tree // before and after the removed entries
}

// months drops the partitions that can be removed completely, up to the first
// one that cannot. [purge.rows] handles the remaining entries.
func (p *purge) months(ctx context.Context) error {
	names, err := p.j.d.monthsBefore(ctx, p.j.readDB, p.o.Before)
	if err != nil {
		return fmt.Errorf("looking for months: %w", err)
	}
	for _, name := range names {
		if done, err := p.month(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		} else if !done {
			return nil
		}
	}
	return nil
}

// month drops one partition. It does nothing if a part of the month must
// remain.
func (p *purge) month(ctx context.Context, name string) (done bool, err error) {
	var parts []monthPart
	if err := p.j.readDB.SelectContext(ctx, &parts, "SELECT writer_id, max(seq) AS last, count(*) AS entries FROM "+name+" GROUP BY writer_id ORDER BY writer_id"); err != nil {
		return false, err
	}
	// Check that all entries can be removed before exporting any of them.
	ends := make([]int64, len(parts))
	for i, part := range parts {
		if ends[i], err = p.end(ctx, part); err != nil || ends[i] == 0 {
			return false, err
		}
	}
	for i := range parts {
		part := &parts[i]
		if part.start, err = p.frontier(ctx, part.WriterID); err != nil {
			return false, fmt.Errorf("writer %s: %w", part.WriterID, err)
		}
		for part.until = part.start; part.until.Size < ends[i]; {
			next, err := p.step(ctx, part.WriterID, part.until, ends[i])
			if err == nil && next.Size == part.until.Size {
				err = fmt.Errorf("%w: the entries from %d on are missing", proof.ErrTampered, next.Size)
			}
			if err != nil {
				return false, fmt.Errorf("writer %s: %w", part.WriterID, err)
			}
			part.until = next
		}
	}
	for attempt := 1; ; attempt++ {
		err := p.drop(ctx, name, parts)
		if err == nil {
			break
		}
		// Another session reads or writes. Let it proceed first.
		if !p.j.d.classify(err).transient() || attempt == dropAttempts || !p.j.pause(ctx, attempt, err) {
			return false, err
		}
	}
	for _, part := range parts {
		p.removed(part.WriterID, part.until.Size-part.start.Size)
		// Delete in several transactions. One long transaction would take the
		// time that dropping the partition saved.
		for size := part.start.Size; size < part.until.Size; {
			size = min(size+purgeBatch, part.until.Size)
			if err := p.j.change(ctx, func(tx *sqlx.Tx) error { return p.deleteProof(ctx, tx, part.WriterID, size) }); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// end returns the size of the log at the first checkpoint that covers all
// entries of the writer in the partition. It returns 0 if there is no such
// checkpoint, or if an entry before it is too recent.
func (p *purge) end(ctx context.Context, part monthPart) (size int64, err error) {
	// The ID of an entry contains its created_at, so comparing IDs is enough.
	ms := fmt.Sprintf("%012x", p.o.Before.UnixMilli())
	err = p.j.readDB.GetContext(ctx, &size, `SELECT COALESCE(min(size), 0) FROM (SELECT min(tree_size) AS size FROM file_access_checkpoints WHERE writer_id = $1 AND tree_size > $2) AS c
		WHERE NOT EXISTS (SELECT 1 FROM file_access_logs WHERE writer_id = $1 AND seq < c.size AND id >= $3)`,
		part.WriterID, part.Last, ms[:8]+"-"+ms[8:]+"-0000-0000-000000000000")
	return size, err
}

var errMonthChanged = errors.New("sqlaudit: entries were added to the month during the export")

// drop stores the frontiers and drops the partition, in one transaction. It
// blocks all other readers and writers of the log, so it does nothing slow.
func (p *purge) drop(ctx context.Context, name string, parts []monthPart) error {
	return p.j.changeOnce(ctx, func(tx *sqlx.Tx) error { // month retries
		for _, statement := range []string{"SET LOCAL lock_timeout = '" + dropWait + "'", "LOCK TABLE file_access_logs IN ACCESS EXCLUSIVE MODE"} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		// This loop needs one index lookup per writer.
		last := "00000000-0000-0000-0000-000000000000"
		for i := 0; ; i++ {
			var found []monthPart
			err := tx.SelectContext(ctx, &found, "SELECT writer_id, seq AS last FROM "+name+" WHERE writer_id > $1 ORDER BY writer_id, seq DESC LIMIT 1", last)
			if err != nil {
				return err
			}
			if len(found) == 0 && i == len(parts) {
				break
			}
			if len(found) == 0 || i == len(parts) || found[0].WriterID != parts[i].WriterID || found[0].Last != parts[i].Last {
				return errMonthChanged
			}
			last = found[0].WriterID
		}
		for _, part := range parts {
			if err := p.setFrontier(ctx, tx, part.WriterID, part.until); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DROP TABLE "+name); err != nil {
			return err
		}
		for _, part := range parts {
			// Entries committed together with the last one, in the next month.
			if err := p.deleteEntries(ctx, tx, part.WriterID, part.until.Size, part.until.Size-part.start.Size-part.Entries); err != nil {
				return err
			}
		}
		return nil
	})
}
