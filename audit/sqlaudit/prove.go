package sqlaudit

// This file implements the proof of one entry, which is checked without the
// database.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// ErrNoEntry reports that the trail has no entry with the given ID. It is also
// [fs.ErrNotExist].
var ErrNoEntry error = noEntryError{}

type noEntryError struct{}

func (noEntryError) Error() string        { return "sqlaudit: no such entry" }
func (noEntryError) Is(target error) bool { return target == fs.ErrNotExist }

// Prove returns the proof of the entry of that id, up to the next checkpoint
// behind it. It reads the hashes of its writer's log, so it takes time in
// proportion to the length of that log: about a second for a million entries. The error
// wraps [ErrNoEntry] if there is no such entry, and [proof.ErrTampered] if the log
// does not give the root that the writer signed.
func (j *Journal) Prove(ctx context.Context, entryID string) (*proof.Proof, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: proving an entry: %w", audit.ErrClosed)
	default:
	}
	if checkUUID(entryID) != nil {
		return nil, fmt.Errorf("%w: %.64q is not a lower-case UUID", ErrNoEntry, entryID)
	}
	p, _, err := j.prove(ctx, entryID)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: proving entry %s: %w", entryID, err)
	}
	return p, nil
}

// authentic returns the entry of that ID as its proof shows it. An error that
// wraps [audit.ErrUntrusted] means that no certified writer signed it.
func (j *Journal) authentic(ctx context.Context, entryID string) (audit.Entry, error) {
	p, own, err := j.prove(ctx, entryID)
	if err != nil && !errors.Is(err, proof.ErrTampered) && !errors.Is(err, ErrNoEntry) {
		return audit.Entry{}, err
	}
	var e audit.Entry
	if err == nil {
		trusted := j.trust.texts
		if len(trusted) == 0 {
			trusted = []string{own}
		}
		e, err = proof.Verify(p, trusted...)
	}
	if err != nil {
		return audit.Entry{}, fmt.Errorf("entry %.64q: %w: %v", entryID, audit.ErrUntrusted, err) //nolint:errorlint // the trail is at fault, not the caller
	}
	return e, nil
}

// prove also returns the verifier key of the entry's writer.
func (j *Journal) prove(ctx context.Context, entryID string) (_ *proof.Proof, own string, _ error) {
	tx, err := readTx(ctx, j.readDB, j.d)
	if err != nil {
		return nil, "", err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	list, err := j.readRows(ctx, tx, "id = ?", "1", entryID)
	if err != nil {
		return nil, "", err
	}
	if len(list) == 0 {
		return nil, "", ErrNoEntry
	}
	r := &list[0]
	w, err := loadWriter(ctx, tx, j.d, r.WriterID)
	if err != nil {
		return nil, "", err
	}
	if w == nil {
		return nil, "", fmt.Errorf("%w: its writer is not in the database", proof.ErrTampered)
	}
	c, err := j.checkpointAbove(ctx, tx, w, r.Seq)
	if err != nil {
		return nil, "", err
	}
	path, err := j.path(ctx, tx, r, c.Size)
	if err != nil {
		return nil, "", err
	}
	p := proof.NewProof(&r.stored, path, c.Note, w.Certificate)
	// A proof that would convince no one is not handed out.
	if own, err = note.NewEd25519VerifierKey(proof.KeyName(w.ID), w.PublicKey); err != nil {
		return nil, "", fmt.Errorf("%w: %w", proof.ErrTampered, err)
	}
	if _, err := proof.Verify(p, own); err != nil {
		return nil, "", err
	}
	return p, own, nil
}

// path returns the inclusion proof of r in its writer's log of size entries.
func (j *Journal) path(ctx context.Context, tx *sqlx.Tx, r *row, size int64) (tlog.RecordProof, error) {
	var start proof.Tree
	f, err := lastFrontier(ctx, tx, j.d, r.WriterID)
	if err != nil {
		return nil, err
	}
	if f != nil {
		if start, err = proof.ParseTree(f.Size, f.Hashes); err != nil {
			return nil, fmt.Errorf("%w: its frontier: %w", proof.ErrTampered, err)
		}
	}
	var failed error // of the database
	leaves := func(yield func(tlog.Hash, error) bool) {
		next, going := start.Size, true
		failed = selectRaw(ctx, tx, j.bind("SELECT seq, "+j.d.short(valueOf("leaf"))+" FROM file_access_logs WHERE writer_id = ? AND seq >= ? AND seq < ?"+inLogs.and(j.d)+" ORDER BY seq"),
			[]any{r.WriterID, start.Size, size}, 2, func(v []any) {
				if !going {
					return
				}
				seq, errSeq := j.d.form().integer(v[0])
				leaf, errLeaf := octets(v[1])
				if err := errors.Join(errSeq, errLeaf); err != nil || seq != next || len(leaf) != tlog.HashSize {
					going = false
					yield(tlog.Hash{}, fmt.Errorf("the log has no entry %d, or no hash for it", next))
					return
				}
				next++
				going = yield(tlog.Hash(leaf), nil)
			})
	}
	path, n, err := start.Path(r.Seq, leaves)
	switch {
	case failed != nil:
		return nil, failed
	case err != nil:
		return nil, fmt.Errorf("%w: %w", proof.ErrTampered, err)
	case n != size:
		return nil, fmt.Errorf("%w: the log has no entry %d", proof.ErrTampered, n)
	}
	return path, nil
}

func (j *Journal) bind(query string) string { return sqlx.Rebind(j.d.bind(), query) }

// checkpointAbove returns the next checkpoint that the writer signed and that
// covers the entry.
func (j *Journal) checkpointAbove(ctx context.Context, tx *sqlx.Tx, w *writerRow, seq int64) (*checkpointRow, error) {
	v, _, err := w.certified(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proof.ErrTampered, err)
	}
	const page = 100
	query := j.bind("SELECT tree_size, " + j.d.short(value{column: "note", limit: maxSigned}) + " FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?" +
		inCheckpoints.and(j.d) + " ORDER BY tree_size LIMIT " + strconv.Itoa(page))
	for {
		var list []checkpointRow
		err := selectRaw(ctx, tx, query, []any{w.ID, seq}, 2, func(v []any) { list = append(list, readCheckpoint(j.d, w.ID, v)) })
		if err != nil {
			return nil, err
		}
		for i := range list {
			if _, err := list[i].open(v); err == nil {
				return &list[i], nil
			}
		}
		if len(list) < page {
			return nil, fmt.Errorf("%w: no checkpoint covers it", proof.ErrTampered)
		}
		seq = list[page-1].Size
	}
}

// readLimit bounds the bytes of the entries that readRows returns.
const readLimit = 256 << 20

// readRows reads whole rows. An entry that is not stored as it was written is an
// error that wraps proof.ErrTampered.
func (j *Journal) readRows(ctx context.Context, tx *sqlx.Tx, where, limit string, args ...any) ([]row, error) {
	rows, err := tx.QueryContext(ctx, j.bind("SELECT "+j.d.columns()+" FROM file_access_logs WHERE "+where+" LIMIT "+limit), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for size := 0; rows.Next(); {
		var v raw
		var r row
		if err := v.scan(rows); err != nil {
			return nil, err
		}
		if err := r.decode(&v, j.d.form()); err != nil {
			return nil, fmt.Errorf("%w: entry %s is not stored as it was written: %w", proof.ErrTampered, v.text(idColumn), err)
		}
		if size += v.bytes(); size > readLimit {
			return nil, fmt.Errorf("%w: more than %d bytes of entries without a checkpoint", proof.ErrTampered, readLimit)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
