package sqlaudit

// Erasing a person's fields. The entries and their proof remain.

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

// eraseBatch is how many entries one transaction erases.
const eraseBatch = 500

// attrEntries is the attribute of an erasure, a purge or a gap with the number of
// its entries.
const attrEntries = "entries"

// Erase sets the personal fields (user id, IP address, user agent and request
// id) and their salt to NULL in all entries that q selects, and returns how
// many they were; entries that are erased already do not count. What was erased
// is gone for good: its commitment remains, and can't be guessed without the
// salt. The proof of every entry still holds.
//
// The trail says who asked, the actor of ctx, in two entries of one operation:
// one that it begins, stored before anything is erased, and one how it ended.
// They do not repeat what q selects by, which may be personal itself. An error
// may leave some of the entries erased; calling again erases the rest. An entry
// without a proper id, writer or seq, because somebody changed the database, can't
// be named in an order and is left as it is; when all others are erased, the error
// wraps [proof.ErrTampered] and names up to ten of them.
//
// Erase always concerns every entry that matches. It refuses a query that sets
// After, NewestFirst, Limit or Verified, and one that selects every entry. Intents that are still open keep the actor until they are
// settled: erase again later, or erase by q.To. The database's files and its backups
// may hold erased bytes for longer; on SQLite, set PRAGMA secure_delete and checkpoint the WAL.
func (j *Journal) Erase(ctx context.Context, q audit.Query) (erased int64, err error) {
	if err := refusePaging("Erase", q); err != nil {
		return 0, err
	}
	if where, _, err := j.where(q); err != nil {
		return 0, err
	} else if len(where) == 0 {
		return 0, errors.New("sqlaudit: Erase with a query that selects every entry: want at least one field set")
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

// announced stores an entry that says who wants what, does it, and stores how
// it ended. It waits for both, also with [WhenQueued]: what can't be undone is
// not done before its record is stored.
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

// eraseSome erases the next entries in one transaction with the orders that
// name them. last is nil once there are no more.
func (j *Journal) eraseSome(ctx context.Context, op string, after any, q audit.Query, odd *oddEntries) (n int64, last any, err error) {
	w, q := j.walk(q)
	where, args, err := j.where(q)
	if err != nil {
		return 0, nil, err
	}
	conditions, values, order := w.after(after)
	where, args = slices.Concat(where, conditions, []string{"pii_salt IS NOT NULL"}), slices.Concat(args, values)
	if j.d.name() != "postgres" {
		where = append(where, "octet_length(id) BETWEEN 1 AND "+strconv.Itoa(maxText)) // one can go on from it
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
	var left oddEntries // of this transaction
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

// erasable reads the entries to erase: their IDs, their places by writer, and the
// key of the last one that was read. Entries that can't be named are left.
func (j *Journal) erasable(ctx context.Context, tx *sqlx.Tx, query string, args []any, left *oddEntries) (ids []any, seqs map[string][]int64, last any, err error) {
	seqs = make(map[string][]int64)
	form := j.d.form()
	err = selectRaw(ctx, tx, j.bind(query), args, 3, func(v []any) {
		last = form.key(v[0])
		id, err := form.text(v[0])
		writer, errWriter := form.text(v[1])
		seq, errSeq := form.integer(v[2])
		if err := errors.Join(err, errWriter, errSeq); err != nil || !isUUID(id) || !isUUID(writer) || seq < 0 || seq > maxPlace {
			r := make(raw, len(columns))
			r[idColumn] = v[0]
			left.add(&r, errors.Join(errors.New("its id, writer or seq is not one"), err))
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

// change runs fn in a transaction that writes, within the journal's time limit.
// What fails because others write at the same time is tried again: a transaction
// that reads before it writes, as SQLite begins them in a host's pool, fails
// whenever somebody wrote in between.
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

// changeOnce is change without another attempt.
func (j *Journal) changeOnce(ctx context.Context, fn func(tx *sqlx.Tx) error) error {
	return j.call(ctx, func(ctx context.Context) error {
		_, err := j.tryChange(ctx, fn)
		return err
	})
}

// tryChange reports too whether it had come to the commit, after which nothing
// can be concluded from an error.
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
