package sqlaudit

// This file implements the erasure of personal fields. The entries and their
// proof remain.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// eraseBatch is the number of entries that one transaction erases.
const eraseBatch = 500

// attrEntries is the attribute of an erasure, a purge or a gap that contains
// the number of affected entries.
const attrEntries = "entries"

// Erase sets the personal fields (user ID, IP address, user agent and request
// ID) and their salt to NULL in all entries that q selects. It returns the
// number of these entries, not counting those that were erased before. Erasure
// is permanent: the commitment remains, but it cannot be guessed without the
// salt. The proof of every entry stays valid.
//
// The trail records the actor of ctx in two entries of one operation. The first
// is stored before anything is erased, the second contains the outcome. Neither
// of them contains the query, because the query may itself be personal data.
//
// After an error, some of the entries may be erased. Another call erases the
// rest. If the database was changed so that an entry has no valid id, writer_id
// or seq, no order can name the entry, and Erase does not erase it. Erase then
// erases all other entries and returns an error that wraps [proof.ErrTampered]
// and names up to ten of the entries left.
//
// Erase applies to every entry that matches. It rejects a query that sets
// After, NewestFirst, Limit or Verified, and a query that selects every entry.
// Open intents contain the actor until they are settled. Erase again later, or
// limit q by To. The database's files and its backups may contain erased bytes
// for longer. On SQLite, set PRAGMA secure_delete and checkpoint the WAL.
func (j *Journal) Erase(ctx context.Context, q audit.Query) (erased int64, err error) {
	if err := refusePaging("Erase", q); err != nil {
		return 0, err
	}
	if where, _, err := j.where(q); err != nil {
		return 0, err
	} else if len(where) == 0 {
		return 0, errors.New("sqlaudit: Erase: the query selects every entry: set at least one field")
	}
	odd := new(oddEntries)
	err = j.announced(ctx, audit.ActionErase, func(op string) (map[string]string, error) {
		for after := any(nil); ; {
			n, last, err := j.eraseSome(ctx, op, after, q, odd)
			erased += n
			if err != nil || last == nil {
				return map[string]string{attrEntries: strconv.FormatInt(erased, 10)}, errors.Join(err, odd.err())
			}
			after = last
		}
	})
	if err != nil {
		return erased, fmt.Errorf("sqlaudit: erasing: %w", err)
	}
	return erased, nil
}

// announced stores an entry that names the actor and the action, calls do, and
// stores an entry with the outcome. It waits for both entries to be stored,
// even in mode [WhenQueued], because an action that cannot be undone must not
// precede its record.
func (j *Journal) announced(ctx context.Context, action audit.Action, do func(op string) (map[string]string, error)) error {
	actor, ok := audit.ActorFrom(ctx)
	if !ok {
		return audit.ErrNoActor
	}
	op, err := uuid.NewV7()
	if err != nil {
		return err
	}
	e := audit.Event{OpID: op.String(), Action: action, Outcome: audit.OutcomeBegun, Actor: actor}
	if err := j.log(ctx, e, false); err != nil {
		return err
	}
	e.Attrs, err = do(op.String())
	e.Outcome = audit.OutcomeOK
	if err != nil {
		e.Outcome = audit.OutcomeFailed
	}
	return errors.Join(err, j.log(context.WithoutCancel(ctx), e, false))
}

// eraseSome erases the next entries and stores the orders that name them in one
// transaction. last is nil if there are no more entries.
func (j *Journal) eraseSome(ctx context.Context, op string, after any, q audit.Query, odd *oddEntries) (n int64, last any, err error) {
	w, q := j.walk(q)
	where, args, err := j.where(q)
	if err != nil {
		return 0, nil, err
	}
	conditions, values, order := w.after(after)
	where, args = slices.Concat(where, conditions, []string{"pii_salt IS NOT NULL"}), slices.Concat(args, values)
	if j.d.name() != "postgres" {
		where = append(where, "octet_length(id) BETWEEN 1 AND "+strconv.Itoa(maxText)) // so that paging can continue after this ID
	}
	who := j.signing.Load()
	if who == nil {
		return 0, nil, errors.New("no writer is registered")
	}
	list := make([]string, 3)
	for i, c := range []string{"id", "writer_id", "seq"} {
		if list[i] = c; !fixed(c) || j.d.name() != "postgres" {
			list[i] = j.d.short(valueOf(c))
		}
	}
	query := "SELECT " + strings.Join(list, ", ") + " FROM file_access_logs WHERE " + strings.Join(where, " AND ") + " ORDER BY " + order + " LIMIT " + strconv.Itoa(eraseBatch)
	var left oddEntries // the entries that this transaction skips
	err = j.change(ctx, func(tx *sqlx.Tx) error {
		n, last, left = 0, nil, oddEntries{}
		ids, seqs, final, err := j.erasable(ctx, tx, query, args, &left)
		if last = final; err != nil || len(ids) == 0 {
			return err
		}
		if err := j.order(ctx, tx, op, who, seqs); err != nil {
			return err
		}
		update, values, err := sqlx.In("UPDATE file_access_logs SET user_id = NULL, ip_address = NULL, user_agent = NULL, request_id = NULL, pii_salt = NULL WHERE id IN (?)", ids)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, j.bind(update), values...); err != nil {
			return err
		}
		n = int64(len(ids))
		return nil
	})
	if err == nil {
		odd.count += left.count
		odd.first = append(odd.first, left.first...)[:min(oddNamed, len(odd.first)+len(left.first))]
		if same(last, after) {
			last = nil
		}
	}
	return n, last, err
}

// erasable reads the entries to erase. It returns their IDs, their sequence
// numbers by writer, and the key of the last entry read. It adds entries that
// no order can name to left.
func (j *Journal) erasable(ctx context.Context, tx *sqlx.Tx, query string, args []any, left *oddEntries) (ids []any, seqs map[string][]int64, last any, err error) {
	seqs = make(map[string][]int64)
	form := j.d.form()
	err = selectRaw(ctx, tx, j.bind(query), args, 3, func(v []any) {
		last = form.key(v[0])
		id, err := form.text(v[0])
		writer, errWriter := form.text(v[1])
		seq, errSeq := form.integer(v[2])
		if err := errors.Join(err, errWriter, errSeq); err != nil || !isUUID(id) || !isUUID(writer) || seq < 0 || seq > maxSeq {
			r := make(raw, len(columns))
			r[idColumn] = v[0]
			left.add(&r, errors.Join(errors.New("malformed id, writer_id or seq"), err))
			return
		}
		ids = append(ids, id)
		seqs[writer] = append(seqs[writer], seq)
	})
	return ids, seqs, last, err
}

// order stores the signed orders that name the entries to erase.
func (j *Journal) order(ctx context.Context, tx *sqlx.Tx, op string, who *identity, seqs map[string][]int64) error {
	for writer, list := range seqs {
		text, first := proof.ErasureText(op, writer, list)
		order, err := who.sign(text)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, j.bind("INSERT INTO file_access_erasures (writer_id, first_seq, op_id, note) VALUES (?, ?, ?, ?)"),
			writer, first, op, order); err != nil {
			return err
		}
	}
	return nil
}

// change runs fn in a write transaction, within the journal's time limit. It
// retries if fn conflicts with other transactions. In an application's pool,
// SQLite may begin transactions that read before they write. Such a transaction
// fails if another one has written in between.
func (j *Journal) change(ctx context.Context, fn func(tx *sqlx.Tx) error) error {
	return j.call(ctx, func(ctx context.Context) error {
		for attempt := 0; ; attempt++ {
			committing, err := j.tryChange(ctx, fn)
			if err == nil || committing || errors.Is(err, proof.ErrTampered) || !j.d.classify(err).transient() || !j.pause(ctx, attempt, err) {
				return err
			}
		}
	})
}

// changeOnce is like change, but makes only one attempt.
func (j *Journal) changeOnce(ctx context.Context, fn func(tx *sqlx.Tx) error) error {
	return j.call(ctx, func(ctx context.Context) error {
		_, err := j.tryChange(ctx, fn)
		return err
	})
}

// tryChange makes one attempt of change. committing reports whether it got as
// far as the commit. An error of the commit leaves the outcome unknown.
func (j *Journal) tryChange(ctx context.Context, fn func(tx *sqlx.Tx) error) (committing bool, err error) {
	if err := j.checkFile(); err != nil {
		return false, err
	}
	tx, err := j.db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := fn(tx); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return true, err
	}
	return true, j.checkFile()
}
