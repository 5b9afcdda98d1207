package sqlaudit

// Retention by whole months, where the log is partitioned: what a month holds is
// verified and exported like anything else, but then dropped with its partition,
// which costs the same however much it holds.

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// dropWait is how long everybody else waits behind the lock for dropping a
// partition while it is not to be had; then they go first.
const dropWait = "300ms"

// dropAttempts is how often the lock is tried for.
const dropAttempts = 20

// monthPart is what a partition holds of one writer.
type monthPart struct {
	WriterID string `db:"writer_id"`
	Last     int64  `db:"last"` // the place of its last entry
	Entries  int64  `db:"entries"`

	start, until proof.Tree // before and after what goes
}

// months drops the partitions that may go as a whole, up to the first that may
// not. What is left is left to [purge.rows].
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

// month drops one partition. It does nothing if part of it has to stay.
func (p *purge) month(ctx context.Context, name string) (done bool, err error) {
	var parts []monthPart
	if err := p.j.readDB.SelectContext(ctx, &parts, "SELECT writer_id, max(seq) AS last, count(*) AS entries FROM "+name+" GROUP BY writer_id ORDER BY writer_id"); err != nil {
		return false, err
	}
	// All of it must be able to go before any of it is exported.
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
				err = fmt.Errorf("%w: entries from %d on are not there", proof.ErrTampered, next.Size)
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
		// Somebody reads or writes: let them.
		if !p.j.d.classify(err).transient() || attempt == dropAttempts || !p.j.pause(ctx, attempt, err) {
			return false, err
		}
	}
	for _, part := range parts {
		p.removed(part.WriterID, part.until.Size-part.start.Size)
		// In pieces, since what the partition saved would be lost again by one
		// long transaction.
		for size := part.start.Size; size < part.until.Size; {
			size = min(size+purgeBatch, part.until.Size)
			if err := p.j.change(ctx, func(tx *sqlx.Tx) error { return p.deleteProof(ctx, tx, part.WriterID, size) }); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// end is the size of the log at the first checkpoint that covers all that the
// partition holds of a writer; 0 if nothing does, or if an entry before it is
// too young to go.
func (p *purge) end(ctx context.Context, part monthPart) (size int64, err error) {
	// An id is minted after the time of its entry was taken.
	ms := fmt.Sprintf("%012x", p.o.Before.UnixMilli())
	err = p.j.readDB.GetContext(ctx, &size, `SELECT COALESCE(min(size), 0) FROM (SELECT min(tree_size) AS size FROM file_access_checkpoints WHERE writer_id = $1 AND tree_size > $2) AS c
		WHERE NOT EXISTS (SELECT 1 FROM file_access_logs WHERE writer_id = $1 AND seq < c.size AND id >= $3)`,
		part.WriterID, part.Last, ms[:8]+"-"+ms[8:]+"-0000-0000-000000000000")
	return size, err
}

var errMonthChanged = errors.New("sqlaudit: entries came into the month while it was exported")

// drop sets the frontiers and drops the partition, in one transaction. Nobody
// else reads or writes the log while it runs, so it does nothing that takes long.
func (p *purge) drop(ctx context.Context, name string, parts []monthPart) error {
	return p.j.changeOnce(ctx, func(tx *sqlx.Tx) error { // it is tried again by month
		for _, statement := range []string{"SET LOCAL lock_timeout = '" + dropWait + "'", "LOCK TABLE file_access_logs IN ACCESS EXCLUSIVE MODE"} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		// One index lookup for each writer.
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
			// What was committed with the last of them, in the next month.
			if err := p.deleteEntries(ctx, tx, part.WriterID, part.until.Size, part.until.Size-part.start.Size-part.Entries); err != nil {
				return err
			}
		}
		return nil
	})
}
