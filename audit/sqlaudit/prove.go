package sqlaudit

// This file implements proofs of single entries. A proof can be checked without
// access to the database.

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

// Prove returns a proof for the entry with the given ID. The proof contains the
// writer's next checkpoint after the entry. Prove reads the hashes of the
// writer's log. The time is proportional to the length of this log: about one
// second per million entries.
//
// The error wraps [ErrNoEntry] if the entry does not exist. It wraps
// [proof.ErrTampered] if the log does not match the root that the writer
// signed.
func (j *Journal) Prove(ctx context.Context, entryID string) (*proof.Proof, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: proving an entry: %w", audit.ErrClosed)
	default:
	}
	if checkUUID(entryID) != nil {
		return nil, fmt.Errorf("%w: %.64q is not a lowercase UUID", ErrNoEntry, entryID)
	}
	p, _, err := j.prove(ctx, entryID)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: proving entry %s: %w", entryID, err)
	}
	return p, nil
}

// authentic returns the entry with the given ID as contained in its proof. If
// no certified writer signed the entry, the error wraps [audit.ErrUntrusted].
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

// prove returns the proof of an entry and the verifier key of its writer.
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
		return nil, "", fmt.Errorf("%w: the entry's writer is not in file_access_writers", proof.ErrTampered)
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
	// Do not return a proof that cannot be verified.
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
			return nil, fmt.Errorf("%w: invalid frontier: %w", proof.ErrTampered, err)
		}
	}
	var failed error // error of the database
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

// checkpointAbove returns the smallest checkpoint that covers the entry with
// the given seq and has a valid signature of its writer.
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
			return nil, fmt.Errorf("%w: no checkpoint covers the entry", proof.ErrTampered)
		}
		seq = list[page-1].Size
	}
}

// readLimit limits the bytes of the entries that readRows returns.
const readLimit = 256 << 20

// readRows reads whole rows. If an entry is malformed, the error wraps
// proof.ErrTampered.
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
			return nil, fmt.Errorf("%w: entry %s is malformed: %w", proof.ErrTampered, v.text(idColumn), err)
		}
		if size += v.bytes(); size > readLimit {
			return nil, fmt.Errorf("%w: more than %d bytes of entries without a checkpoint", proof.ErrTampered, readLimit)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
