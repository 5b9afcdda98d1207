package sqlaudit

// Retention: the beginning of each log is exported and removed, and Verify goes
// on from where it ended.

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

// purgeBatch is how many entries one transaction removes.
const purgeBatch = 2000

// PurgeOptions say what [Journal.Purge] removes.
type PurgeOptions struct {
	// Before is the time before which entries were committed that go.
	// Required.
	Before time.Time

	// Export receives the entries as JSON Lines before they are removed, in the form
	// that [proof.VerifyExport] checks. Purge calls Sync before each transaction that
	// removes entries, and removes nothing after an error. An *os.File implements it.
	// Nil: the entries are not exported.
	Export interface {
		io.Writer
		Sync() error
	}
}

// PurgeResult counts the removed entries, and the writers that had any.
type PurgeResult struct {
	Entries int64
	Writers int
}

// LogValue implements [slog.LogValuer].
func (r PurgeResult) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("entries", r.Entries), slog.Int("writers", r.Writers))
}

// Purge removes, from the beginning of each writer's log, the entries that were
// committed before o.Before, up to the last checkpoint among them, so a few may
// stay. What it removes it verifies: a log that does not give the root its
// writer signed is left as it is, and the error, which wraps [proof.ErrTampered], comes
// when those of all others are done. Each step
// removes up to 2,000 entries in one transaction, with a signed order in
// file_access_frontiers. On PostgreSQL, a month that may go whole is dropped with
// its partition, if the role of the session owns that; nobody reads or writes the
// log at that moment, and who does for long holds up the purge. The trail says who asked, the actor of ctx, as with
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
	// What is not as it was written stays; everything else goes.
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

// writer removes from one log what may go.
func (p *purge) writer(ctx context.Context, id string) error {
	if !isUUID(id) {
		return fmt.Errorf("%w: it has no id", proof.ErrTampered)
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
	writers map[string]bool // of which something was removed
	export  *proof.Export   // nil: nothing is kept
}

// removed counts n entries of a writer.
func (p *purge) removed(id string, n int64) {
	p.res.Entries += n
	if n > 0 && !p.writers[id] {
		p.writers[id] = true
		p.res.Writers++
	}
}

// rows removes the next entries of one writer, and reports whether there were
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

// frontier is the tree of what was removed of a log so far.
func (p *purge) frontier(ctx context.Context, id string) (t proof.Tree, err error) {
	f, err := lastFrontier(ctx, p.j.readDB, p.j.d, id)
	if err != nil || f == nil {
		return t, err
	}
	if t, err = proof.ParseTree(f.Size, f.Hashes); err != nil {
		return t, fmt.Errorf("%w: its frontier: %w", proof.ErrTampered, err)
	}
	return t, nil
}

// step verifies and exports the next entries of a log behind start that may go,
// up to the place until if that is not 0. It returns the tree with them.
func (p *purge) step(ctx context.Context, id string, start proof.Tree, until int64) (next proof.Tree, err error) {
	// Read and exported outside the transaction that removes, since what is
	// read can't change but for an erasure, and the export may be slow.
	rows, last, next, err := p.next(ctx, id, start, until)
	if err != nil || len(rows) == 0 {
		return start, err
	}
	w, err := loadWriter(ctx, p.j.readDB, p.j.d, id)
	if err != nil {
		return start, err
	}
	if w == nil {
		return start, fmt.Errorf("%w: it is not in the database", proof.ErrTampered)
	}
	v, _, err := w.certified(nil)
	if err != nil {
		return start, fmt.Errorf("%w: %w", proof.ErrTampered, err)
	}
	text, err := last.open(v)
	if err != nil || text != proof.CheckpointText(id, &next) {
		return start, fmt.Errorf("%w: entries %d to %d are not those that it signed", proof.ErrTampered, start.Size, next.Size-1)
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

// synced has what was written to the export made durable. err is that of writing.
func (p *purge) synced(err error) error {
	if err == nil {
		err = p.o.Export.Sync()
	}
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	return nil
}

// endExport ends the export, if it has entries.
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

// next reads the entries behind start that may go, as many as one step takes,
// and the checkpoint that they end at.
func (p *purge) next(ctx context.Context, id string, start proof.Tree, until int64) (rows []row, last checkpointRow, next proof.Tree, err error) {
	j := p.j
	tx, err := readTx(ctx, j.readDB, j.d)
	if err != nil {
		return nil, last, next, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	// A settlement of many entries has one checkpoint for all.
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
			return nil, last, next, fmt.Errorf("%w: entry %d (%s) is not what was recorded", proof.ErrTampered, next.Size, r.ID)
		}
		next.Append(r.stored.Leaf)
	}
	return rows, last, next, nil
}

// setFrontier orders the entries before t to be removed.
func (p *purge) setFrontier(ctx context.Context, tx *sqlx.Tx, id string, t proof.Tree) error {
	order, err := p.who.sign(proof.FrontierText(p.op, id, &t))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, p.j.bind("INSERT INTO file_access_frontiers (writer_id, tree_size, hashes, note) VALUES (?, ?, ?, ?)"), id, t.Size, hashBytes(t), order)
	return err
}

// hashBytes are the hashes of a tree as a frontier stores them.
func hashBytes(t proof.Tree) []byte {
	out := make([]byte, 0, len(t.Hashes)*tlog.HashSize)
	for _, h := range t.Hashes {
		out = append(out, h[:]...)
	}
	return out
}

// deleteEntries removes what stands before the frontier, which is what was
// verified.
func (p *purge) deleteEntries(ctx context.Context, tx *sqlx.Tx, id string, size, verified int64) error {
	n, err := affected(tx.ExecContext(ctx, p.j.bind("DELETE FROM file_access_logs WHERE writer_id = ? AND seq < ?"), id, size))
	if err == nil && n != verified {
		err = fmt.Errorf("%w: there are %d entries where %d were verified", proof.ErrTampered, n, verified)
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
