package sqlaudit

// Retention: the beginning of each log is exported and removed, and Verify goes
// on from where it ended.

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// purgeBatch is how many entries one transaction removes.
const purgeBatch = 2000

// PurgeOptions say what [Journal.Purge] removes.
type PurgeOptions struct {
	// Before is the time before which entries were committed that go.
	// Required.
	Before time.Time

	// Export takes what is removed, before it is removed, as JSON Lines; see
	// the package comment. Whoever calls has to make it durable in Sync. Nil:
	// nothing is kept.
	Export io.Writer

	// Sync, if it is set, is called when all that the next transaction removes
	// was written to Export. Nothing is removed if it fails. For an *os.File it
	// is the method of that name.
	Sync func() error
}

// PurgeResult is what was removed.
type PurgeResult struct {
	Entries int64
	Writers int
}

// exportLine is a line of an export: one of the three.
type exportLine struct {
	Writer     *exportWriter  `json:"writer,omitempty"`
	Entry      string         `json:"entry,omitempty"` // the canonical form, byte for byte
	Leaf       string         `json:"leaf,omitempty"`
	Personal   *ProofPersonal `json:"personal,omitempty"`
	Checkpoint string         `json:"checkpoint,omitempty"` // covers the entries before it
}

type exportWriter struct {
	ID          string `json:"writer_id"`
	Origin      string `json:"origin"`
	Certificate string `json:"certificate"`
	From        int64  `json:"from"` // the place of the first entry that follows
}

// Purge removes, from the beginning of each writer's log, the entries that were
// committed before o.Before, up to the last checkpoint among them, so a few may
// stay. What it removes it verifies: a log that does not give the root its
// writer signed is left as it is, and the error wraps [ErrTampered]. Each step
// removes up to 2,000 entries in one transaction, with a signed order in
// file_access_frontiers. The trail says who asked, the actor of ctx, as with
// [Journal.Erase].
//
// An error may leave some of the entries removed; calling again goes on. Entries
// may then be in the export although they are still in the trail, never the
// other way round. Only one process should purge at a time; another one fails,
// and harms nothing.
func (j *Journal) Purge(ctx context.Context, o PurgeOptions) (PurgeResult, error) {
	var res PurgeResult
	if o.Before.IsZero() {
		return res, errors.New("sqlaudit: Purge without PurgeOptions.Before: want the time before which entries go")
	}
	if o.Before.After(time.Now()) {
		return res, fmt.Errorf("sqlaudit: PurgeOptions.Before is %s: want a time that is past", o.Before.Format(time.RFC3339))
	}
	o.Before = roundUp(o.Before)
	err := j.announced(ctx, audit.ActionPurge, func(op string) (map[string]string, error) {
		err := j.purge(ctx, op, o, &res)
		return map[string]string{AttrEntries: strconv.FormatInt(res.Entries, 10), "before": o.Before.UTC().Format(timeFormat)}, err
	})
	if err != nil {
		return res, fmt.Errorf("sqlaudit: purging: %w", err)
	}
	return res, nil
}

func (j *Journal) purge(ctx context.Context, op string, o PurgeOptions, res *PurgeResult) error {
	var ids []string
	err := j.call(ctx, func(ctx context.Context) error {
		return j.readDB.SelectContext(ctx, &ids, j.bind("SELECT writer_id FROM file_access_writers WHERE started_at < ? ORDER BY writer_id"), j.d.formatTime(o.Before))
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		var total int64
		for {
			n, err := j.purgeStep(ctx, op, id, o, total == 0)
			if err != nil {
				return fmt.Errorf("writer %s: %w", id, err)
			}
			if n == 0 {
				break
			}
			total += n
			res.Entries += n
		}
		if total > 0 {
			res.Writers++
		}
	}
	return nil
}

// purgeStep removes the next entries of one writer and returns how many.
func (j *Journal) purgeStep(ctx context.Context, op, id string, o PurgeOptions, first bool) (removed int64, err error) {
	who := j.signing.Load()
	if who == nil {
		return 0, errors.New("no writer is registered")
	}
	// Read and exported outside the transaction that removes, since what is
	// read can't change but for an erasure, and the export may be slow.
	start, next, last, rows, err := j.purgeable(ctx, id, o.Before)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	w, err := loadWriter(ctx, j.readDB, j.d, id)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return 0, fmt.Errorf("%w: it is not in the database", ErrTampered)
	}
	v, _, err := w.certified(nil)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	text, err := openNote(last.Note, v)
	if err != nil || text != checkpointText(id, next.size, next.root()) {
		return 0, fmt.Errorf("%w: entries %d to %d are not those that it signed", ErrTampered, start.size, next.size-1)
	}
	if o.Export != nil {
		if err := export(o.Export, w, start.size, rows, last.Note, first); err != nil {
			return 0, fmt.Errorf("exporting: %w", err)
		}
		if o.Sync != nil {
			if err := o.Sync(); err != nil {
				return 0, fmt.Errorf("exporting: %w", err)
			}
		}
	}
	order, err := who.sign(frontierText(op, id, next.size, next.root()))
	if err != nil {
		return 0, err
	}
	err = j.change(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, j.bind("INSERT INTO file_access_frontiers (writer_id, tree_size, hashes, note) VALUES (?, ?, ?, ?)"),
			id, next.size, next.bytes(), order); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, j.bind("DELETE FROM file_access_logs WHERE writer_id = ? AND seq < ?"), id, next.size)
		if err != nil {
			return err
		}
		if removed, err = res.RowsAffected(); err != nil {
			return err
		}
		if removed != int64(len(rows)) {
			return fmt.Errorf("%w: there are %d entries where %d were verified", ErrTampered, removed, len(rows))
		}
		for _, table := range []string{"file_access_checkpoints", "file_access_frontiers"} {
			if _, err := tx.ExecContext(ctx, j.bind("DELETE FROM "+table+" WHERE writer_id = ? AND tree_size < ?"), id, next.size); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// purgeable returns the next entries of a log that may go, the trees before and
// after them, and the checkpoint they end at.
func (j *Journal) purgeable(ctx context.Context, id string, before time.Time) (start, next tree, last checkpointRow, rows []row, err error) {
	var tx *sqlx.Tx
	if tx, err = j.readDB.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
		return
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	f, err := lastFrontier(ctx, tx, j.d, id)
	if err != nil {
		return
	}
	if f != nil {
		if start, err = treeOf(f.Size, f.Hashes); err != nil {
			err = fmt.Errorf("%w: its frontier: %w", ErrTampered, err)
			return
		}
	}
	list, err := j.readRows(ctx, tx, "writer_id = ? AND seq >= ? ORDER BY seq", strconv.Itoa(purgeBatch), id, start.size)
	if err != nil {
		return
	}
	if i := slices.IndexFunc(list, func(r row) bool { return !r.CreatedAt.Before(before) }); i >= 0 {
		list = list[:i]
	}
	if len(list) == 0 {
		return
	}
	var found []checkpointRow
	err = tx.SelectContext(ctx, &found, j.bind("SELECT writer_id, tree_size, note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ? AND tree_size <= ? ORDER BY tree_size DESC LIMIT 1"),
		id, start.size, start.size+int64(len(list)))
	if err != nil || len(found) == 0 {
		return
	}
	last, next = found[0], start.clone()
	for i := range list[:last.Size-start.size] {
		r := &list[i]
		leaf := tlog.RecordHash(r.canonical(nil))
		if r.Seq != next.size || leaf != r.leaf || r.salt != nil && !bytes.Equal(r.commit(), r.commitment) {
			err = fmt.Errorf("%w: entry %d (%s) is not what was recorded", ErrTampered, next.size, r.ID)
			return
		}
		next.append(leaf)
	}
	rows = list[:last.Size-start.size]
	return
}

func export(to io.Writer, w *writerRow, from int64, rows []row, checkpoint string, first bool) error {
	buffered := bufio.NewWriterSize(to, 64<<10)
	enc := json.NewEncoder(buffered)
	enc.SetEscapeHTML(false)
	if first {
		if err := enc.Encode(exportLine{Writer: &exportWriter{w.id, w.origin, string(w.certificate), from}}); err != nil {
			return err
		}
	}
	for i := range rows {
		r := &rows[i]
		if err := enc.Encode(exportLine{Entry: string(r.canonical(nil)), Leaf: fmt.Sprintf("%x", r.leaf[:]), Personal: personalOf(r)}); err != nil {
			return err
		}
	}
	if err := enc.Encode(exportLine{Checkpoint: checkpoint}); err != nil {
		return err
	}
	return buffered.Flush()
}
