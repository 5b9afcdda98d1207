package sqlaudit

// This file implements retention. Purge exports and removes the start of each
// log. Verify then starts where the removed part ended.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// purgeBatch is the number of entries that one transaction removes.
const purgeBatch = 2000

// PurgeOptions select the entries that [Journal.Purge] removes.
type PurgeOptions struct {
	// Before selects the entries committed before this time. Required.
	Before time.Time

	// Export receives the entries as JSON Lines before they are removed.
	// [proof.VerifyExport] checks the result. Purge calls Sync before each
	// transaction that removes entries. If writing or Sync fails, Purge removes
	// nothing more. An *os.File implements Export. Default: nil, which exports
	// nothing.
	Export interface {
		io.Writer
		Sync() error
	}
}

// PurgeResult contains the number of removed entries and of their writers.
type PurgeResult struct {
	Entries int64
	Writers int
}

// LogValue implements [slog.LogValuer].
func (r PurgeResult) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("entries", r.Entries), slog.Int("writers", r.Writers))
}

// Purge removes the start of each writer's log: the entries committed before
// o.Before, up to the last checkpoint among them. A few entries after that
// checkpoint may therefore remain.
//
// Purge verifies the entries that it removes. If a log does not match the root
// that its writer signed, Purge does not change this log. It processes all
// other logs and then returns an error that wraps [proof.ErrTampered].
//
// Each step removes up to 2,000 entries in one transaction and stores a signed
// order in file_access_frontiers. On PostgreSQL, Purge drops the partition of a
// month if all its entries can be removed and the session's role owns the
// partition. Dropping a partition takes an exclusive lock, so a long-running
// reader or writer delays the purge. The trail records the actor of ctx, as for
// [Journal.Erase].
//
// After an error, some of the entries may be removed. Another call continues.
// The export may then contain entries that are still in the trail, but every
// removed entry is in the export. Run only one Purge at a time. A second,
// concurrent one fails without doing harm.
func (j *Journal) Purge(ctx context.Context, o PurgeOptions) (PurgeResult, error) {
	var res PurgeResult
	if o.Before.IsZero() {
		return res, errors.New("sqlaudit: Purge: PurgeOptions.Before is not set: set the time before which to remove entries")
	}
	if o.Before.After(time.Now()) {
		return res, fmt.Errorf("sqlaudit: PurgeOptions.Before %s is in the future: want a past time", o.Before.Format(time.RFC3339))
	}
	o.Before = roundUp(o.Before)
	err := j.announced(ctx, audit.ActionPurge, func(op string) (map[string]string, error) {
		err := j.purge(ctx, op, o, &res)
		return map[string]string{attrEntries: strconv.FormatInt(res.Entries, 10), "before": o.Before.UTC().Format(timeFormat)}, err
	})
	if err != nil {
		return res, fmt.Errorf("sqlaudit: purging: %w", err)
	}
	return res, nil
}

func (j *Journal) purge(ctx context.Context, op string, o PurgeOptions, res *PurgeResult) error {
	who := j.signing.Load()
	if who == nil {
		return errors.New("no writer is registered")
	}
	p := &purge{j: j, op: op, o: o, who: who, res: res, writers: make(map[string]bool)}
	if o.Export != nil {
		p.export = proof.NewExport(o.Export, op)
	}
	// Tampered logs remain; all others are purged.
	if err := p.months(ctx); err != nil && !errors.Is(err, proof.ErrTampered) {
		return err
	}
	var ids []string
	err := j.call(ctx, func(ctx context.Context) error {
		ids = nil
		return j.readDB.SelectContext(ctx, &ids, j.bind("SELECT writer_id FROM file_access_writers WHERE started_at < ?"+inWriters.and(j.d)+" ORDER BY writer_id"), j.d.formatTime(o.Before))
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		err := p.writer(ctx, id)
		if err != nil {
			errs = append(errs, fmt.Errorf("writer %s: %w", id, err))
		}
		if err != nil && !errors.Is(err, proof.ErrTampered) {
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, p.endExport())...)
}

// writer removes the entries of one log that may be removed.
func (p *purge) writer(ctx context.Context, id string) error {
	if !isUUID(id) {
		return fmt.Errorf("%w: invalid writer_id", proof.ErrTampered)
	}
	for more := true; more; {
		var err error
		if more, err = p.rows(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// purge is one run of [Journal.Purge].
type purge struct {
	j       *Journal
	op      string
	o       PurgeOptions
	who     *identity
	res     *PurgeResult
	writers map[string]bool // writers with removed entries
	export  *proof.Export   // nil without an export
}

// removed adds n entries of a writer to the result.
func (p *purge) removed(id string, n int64) {
	p.res.Entries += n
	if n > 0 && !p.writers[id] {
		p.writers[id] = true
		p.res.Writers++
	}
}

// rows removes the next entries of one writer. It reports whether there were
// any.
func (p *purge) rows(ctx context.Context, id string) (more bool, err error) {
	start, err := p.frontier(ctx, id)
	if err != nil {
		return false, err
	}
	next, err := p.step(ctx, id, start, 0)
	if err != nil || next.Size == start.Size {
		return false, err
	}
	err = p.j.change(ctx, func(tx *sqlx.Tx) error {
		if err := p.setFrontier(ctx, tx, id, next); err != nil {
			return err
		}
		if err := p.deleteEntries(ctx, tx, id, next.Size, next.Size-start.Size); err != nil {
			return err
		}
		return p.deleteProof(ctx, tx, id, next.Size)
	})
	if err != nil {
		return false, err
	}
	p.removed(id, next.Size-start.Size)
	return true, nil
}

// frontier returns the tree of the entries removed from a log so far.
func (p *purge) frontier(ctx context.Context, id string) (t proof.Tree, err error) {
	f, err := lastFrontier(ctx, p.j.readDB, p.j.d, id)
	if err != nil || f == nil {
		return t, err
	}
	if t, err = proof.ParseTree(f.Size, f.Hashes); err != nil {
		return t, fmt.Errorf("%w: invalid frontier: %w", proof.ErrTampered, err)
	}
	return t, nil
}

// step verifies and exports the next entries of a log after start that may be
// removed. If until is not 0, it limits their seq. step returns the tree
// including them.
func (p *purge) step(ctx context.Context, id string, start proof.Tree, until int64) (next proof.Tree, err error) {
	// The entries are read and exported before the transaction that removes
	// them begins, because the export may be slow. Only an erasure can change
	// them until then.
	rows, last, next, err := p.next(ctx, id, start, until)
	if err != nil || len(rows) == 0 {
		return start, err
	}
	w, err := loadWriter(ctx, p.j.readDB, p.j.d, id)
	if err != nil {
		return start, err
	}
	if w == nil {
		return start, fmt.Errorf("%w: the writer is not in file_access_writers", proof.ErrTampered)
	}
	v, _, err := w.certified(nil)
	if err != nil {
		return start, fmt.Errorf("%w: %w", proof.ErrTampered, err)
	}
	text, err := last.open(v)
	if err != nil || text != proof.CheckpointText(id, &next) {
		return start, fmt.Errorf("%w: entries %d to %d do not match the signed root", proof.ErrTampered, start.Size, next.Size-1)
	}
	if p.export == nil {
		return next, nil
	}
	entries := make([]*proof.Entry, len(rows))
	for i := range rows {
		entries[i] = &rows[i].stored
	}
	if err := p.synced(p.export.Write(&w.Writer, &start, entries, last.Note)); err != nil {
		return start, err
	}
	return next, nil
}

// synced makes the written export durable. err is the error of writing it.
func (p *purge) synced(err error) error {
	if err == nil {
		err = p.o.Export.Sync()
	}
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	return nil
}

// endExport ends the export, if it contains entries.
func (p *purge) endExport() error {
	if p.export == nil {
		return nil
	}
	written, err := p.export.End(&p.who.Writer, p.who.sign)
	if err != nil || written {
		return p.synced(err)
	}
	return nil
}

// next reads the entries after start that may be removed, at most as many as
// one step removes, and the checkpoint that they end at.
func (p *purge) next(ctx context.Context, id string, start proof.Tree, until int64) (rows []row, last checkpointRow, next proof.Tree, err error) {
	j := p.j
	tx, err := readTx(ctx, j.readDB, j.d)
	if err != nil {
		return nil, last, next, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	// A settlement with many entries has one checkpoint for all of them.
	limit, first := int64(purgeBatch), sql.NullInt64{}
	if err := tx.GetContext(ctx, &first, j.bind("SELECT min(tree_size) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?"+inCheckpoints.and(j.d)), id, start.Size); err != nil || !first.Valid {
		return nil, last, next, err
	}
	limit = max(limit, first.Int64-start.Size)
	if until > 0 {
		limit = min(limit, until-start.Size)
	}
	if rows, err = j.readRows(ctx, tx, "writer_id = ? AND seq >= ?"+inLogs.and(j.d)+" ORDER BY seq", strconv.FormatInt(limit, 10), id, start.Size); err != nil {
		return nil, last, next, err
	}
	if i := slices.IndexFunc(rows, func(r row) bool { return !r.CreatedAt.Before(p.o.Before) }); i >= 0 {
		rows = rows[:i]
	}
	found := false
	query := j.bind("SELECT tree_size, " + j.d.short(value{column: "note", limit: maxSigned}) + " FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ? AND tree_size <= ?" +
		inCheckpoints.and(j.d) + " ORDER BY tree_size DESC LIMIT 1")
	err = selectRaw(ctx, tx, query, []any{id, start.Size, start.Size + int64(len(rows))}, 2, func(v []any) { last, found = readCheckpoint(j.d, id, v), true })
	if err != nil || !found {
		return nil, last, next, err
	}
	next, rows = start.Clone(), rows[:last.Size-start.Size]
	for i := range rows {
		r := &rows[i]
		if err := r.stored.Check(); err != nil || r.Seq != next.Size {
			return nil, last, next, fmt.Errorf("%w: entry %d (%s) was changed", proof.ErrTampered, next.Size, r.ID)
		}
		next.Append(r.stored.Leaf)
	}
	return rows, last, next, nil
}

// setFrontier stores the order to remove the entries before t.
func (p *purge) setFrontier(ctx context.Context, tx *sqlx.Tx, id string, t proof.Tree) error {
	order, err := p.who.sign(proof.FrontierText(p.op, id, &t))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, p.j.bind("INSERT INTO file_access_frontiers (writer_id, tree_size, hashes, note) VALUES (?, ?, ?, ?)"), id, t.Size, hashBytes(t), order)
	return err
}

// hashBytes returns the hashes of a tree in the form stored in a frontier.
func hashBytes(t proof.Tree) []byte {
	out := make([]byte, 0, len(t.Hashes)*tlog.HashSize)
	for _, h := range t.Hashes {
		out = append(out, h[:]...)
	}
	return out
}

// deleteEntries removes the entries before the frontier. Their number must
// equal the number of verified entries.
func (p *purge) deleteEntries(ctx context.Context, tx *sqlx.Tx, id string, size, verified int64) error {
	n, err := affected(tx.ExecContext(ctx, p.j.bind("DELETE FROM file_access_logs WHERE writer_id = ? AND seq < ?"), id, size))
	if err == nil && n != verified {
		err = fmt.Errorf("%w: deleting %d entries, but verified %d", proof.ErrTampered, n, verified)
	}
	return err
}

// deleteProof removes the checkpoints and frontiers before the last frontier.
func (p *purge) deleteProof(ctx context.Context, tx *sqlx.Tx, id string, size int64) error {
	for _, table := range []string{"file_access_checkpoints", "file_access_frontiers"} {
		if _, err := tx.ExecContext(ctx, p.j.bind("DELETE FROM "+table+" WHERE writer_id = ? AND tree_size < ?"), id, size); err != nil {
			return err
		}
	}
	return nil
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
