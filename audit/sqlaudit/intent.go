package sqlaudit

// This file implements the journal's methods for entries and intents, including
// the takeover of intents that other processes left open.

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// Log implements [audit.Logger]. It waits for the transaction that stores e,
// together with other waiting records, unless [Options.Acknowledge] is
// [WhenQueued].
func (j *Journal) Log(ctx context.Context, e audit.Event) error {
	return j.log(ctx, e, j.opts.Acknowledge == WhenQueued)
}

func (j *Journal) log(ctx context.Context, e audit.Event, async bool) error {
	e, err := audit.PrepareLog(ctx, e)
	if err != nil {
		return err
	}
	r, err := newRow(e, audit.SettledByWriter)
	if err != nil {
		return err
	}
	return j.submit(ctx, &job{rows: []*row{r}, async: async})
}

// Begin implements [audit.Journal]. If the operation is already open, the error
// wraps [audit.ErrEvent].
func (j *Journal) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	e, err := audit.PrepareIntent(ctx, e)
	if err != nil {
		return nil, err
	}
	if _, err := newRow(e, ""); err != nil {
		return nil, err
	}
	text := eventText(e)
	in := &intent{j: j, held: held{e.OpID, newHolder()}, event: e}
	row := &intentRow{
		held: in.held, backend: e.Backend, bucket: e.Bucket, key: e.Key, event: text, source: e, lease: leaseOr(lease),
	}
	// Callers sign concurrently, before they wait for the flush. Only the first
	// flush of a process signs for its callers, because it registers the
	// writer.
	if id := j.signing.Load(); id != nil {
		if err := row.sign(id); err != nil {
			return nil, err
		}
	}
	if err := j.submit(ctx, &job{begin: row}); err != nil {
		return nil, err
	}
	j.staged.add(in)
	return in, nil
}

// Dangling implements [audit.Journal]. It reads 100 intents at a time and holds
// no connection while the loop's body runs. It yields only intents that a
// certified writer signed and that are not settled. It does not change any
// other row, or a row that is locked by an open transaction. At the end it
// yields one error about the rows it skipped. If rows could not be verified,
// the error wraps [audit.ErrUntrusted].
func (j *Journal) Dangling(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
	return func(yield func(audit.Intent, error) bool) {
		const page = 100
		where, args := "lease_until <= "+j.d.now()+inIntents.and(j.d), []any(nil)
		for _, field := range [][2]string{{"storage_backend", q.Backend}, {"bucket", q.Bucket}} {
			if field[1] != "" {
				condition, values := j.d.equal(field[0], field[1])
				where, args = where+" AND "+condition, append(args, values...)
			}
		}
		query := "SELECT " + intentColumns + " FROM file_access_intents WHERE " + where +
			" AND (begun_at > ? OR (begun_at = ? AND op_id > ?)) ORDER BY begun_at, op_id LIMIT 100"
		last := storedIntent{BegunAt: math.MinInt64, OpID: uuid.Nil.String()}
		var left refusals
		for {
			var found []storedIntent
			err := j.call(ctx, func(ctx context.Context) error {
				return j.db.SelectContext(ctx, &found, sqlx.Rebind(j.d.bind(), query),
					append(args[:len(args):len(args)], last.BegunAt, last.BegunAt, last.OpID)...)
			})
			if err != nil {
				yield(nil, fmt.Errorf("sqlaudit: looking for dangling intents: %w", err))
				return
			}
			for _, c := range found {
				last = c
				var in *intent
				e, err := j.verifiedEvent(ctx, &c)
				if err == nil {
					// The takeover succeeds only if the row is unchanged and
					// its lease has expired.
					in, err = j.takeOver(ctx, &c, e, q.Lease, "lease_until <= "+j.d.now())
				}
				switch {
				case errors.Is(err, audit.ErrNoIntent):
				case errors.Is(err, audit.ErrUntrusted), errors.Is(err, ErrLocked):
					left.add(err)
				case err != nil:
					yield(nil, err)
					return
				case !yield(in, nil):
					return
				}
			}
			if len(found) < page {
				if err := left.err("open intents"); err != nil {
					yield(nil, fmt.Errorf("sqlaudit: looking for dangling intents: %w", err))
				}
				return
			}
		}
	}
}

// Claim implements [audit.Journal]. If no certified writer signed the row, or
// if its operation is settled, the error wraps [audit.ErrUntrusted].
func (j *Journal) Claim(ctx context.Context, opID string, lease time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
	if checkUUID(opID) != nil {
		return nil, audit.ErrNoIntent
	}
	for {
		var seen storedIntent
		err := j.call(ctx, func(ctx context.Context) error {
			return j.db.GetContext(ctx, &seen, j.bind("SELECT "+intentColumns+" FROM file_access_intents WHERE op_id = ?"), opID)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return nil, audit.ErrNoIntent
		}
		var e audit.Event
		if err == nil {
			e, err = j.verifiedEvent(ctx, &seen)
		}
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: claiming an intent: %w", err)
		}
		if match != nil && !match(e) {
			return nil, audit.ErrNoIntent
		}
		// The event may change concurrently, so the takeover requires an
		// unchanged row.
		in, err := j.takeOver(ctx, &seen, e, lease, "1 = 1")
		switch {
		case err == nil:
			j.staged.add(in)
			return in, nil
		case !errors.Is(err, audit.ErrNoIntent):
			return nil, err
		}
	}
}

// takeOver makes the caller the holder of the intent if the row is unchanged,
// the operation is not settled, and the condition is true. This process signs
// the intent again for the new holder.
func (j *Journal) takeOver(ctx context.Context, seen *storedIntent, e audit.Event, lease time.Duration, condition string) (*intent, error) {
	in := &intent{j: j, held: held{seen.OpID, newHolder()}, event: e}
	id, err := j.signer(ctx)
	if err != nil {
		return nil, err
	}
	sig, err := id.signIntent(in.held, *seen.Event)
	if err != nil {
		return nil, err
	}
	n, err := j.updateIntent(ctx, in.opID, "holder = ?, writer_id = ?, signature = ?, lease_until = "+j.d.now()+" + ?, renewals = renewals + 1",
		"op_id = ? AND holder = ? AND renewals = ? AND event = ? AND "+condition+" AND NOT "+settled,
		in.holder, id.ID, sig, leaseOr(lease).Microseconds(), in.opID, seen.Holder, seen.Renewals, *seen.Event, in.opID)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: taking over an intent: %w", err)
	}
	if n == 0 {
		return nil, j.notTaken(ctx, seen)
	}
	return in, nil
}

// submit queues a job and waits for its result.
func (j *Journal) submit(ctx context.Context, jb *job) error {
	err := j.q.do(ctx, j.opts.Timeout, jb)
	if err != nil && !errors.Is(err, audit.ErrNotHeld) {
		j.metrics.failed(ctx, jb)
	}
	return err
}

// call runs fn within the journal's time limit, unless the journal is closed.
func (j *Journal) call(ctx context.Context, fn func(context.Context) error) error {
	select {
	case <-j.q.closing:
		return audit.ErrClosed
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	return fn(ctx)
}

// exec runs one statement and returns the number of rows it changed.
func (j *Journal) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = j.call(ctx, func(ctx context.Context) error {
		if err := j.checkFile(); err != nil {
			return err
		}
		res, err := j.db.ExecContext(ctx, sqlx.Rebind(j.d.bind(), query), args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return cmp.Or(err, j.checkFile())
	})
	return n, err
}

// leaseOr returns d, or the default lease if d is not positive.
func leaseOr(d time.Duration) time.Duration {
	if d <= 0 {
		return time.Minute
	}
	return max(d, time.Microsecond)
}

// newHolder generates a token that identifies one holder of one operation.
func newHolder() string { return uuid.NewString() }

// intent is one holder's reference to an open intent. A takeover creates
// another.
type intent struct {
	held
	j     *Journal
	event audit.Event

	mu      sync.Mutex
	settled bool        // the caller was informed
	failed  []*attempts // calls to Settle that failed, but may have been stored
}

func (in *intent) OpID() string       { return in.opID }
func (in *intent) Event() audit.Event { return in.event.Clone() }

// Renew implements [audit.Intent].
func (in *intent) Renew(ctx context.Context, lease time.Duration) error {
	n, err := in.j.updateIntent(ctx, in.opID, "lease_until = "+in.j.d.now()+" + ?, renewals = renewals + 1", "op_id = ? AND holder = ?",
		leaseOr(lease).Microseconds(), in.opID, in.holder)
	if err != nil {
		return fmt.Errorf("sqlaudit: renewing a lease: %w", err)
	}
	if n == 0 {
		return audit.ErrNotHeld
	}
	return nil
}

// Settle implements [audit.Intent]. It may be called again after an error. If
// the first call was stored despite its error, the second call returns nil.
func (in *intent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	events, err := audit.PrepareSettlement(ctx, in.event, r, also...)
	if err != nil {
		return err
	}
	in.mu.Lock()
	settled, prior := in.settled, slices.Clone(in.failed)
	in.mu.Unlock()
	if settled {
		return audit.ErrNotHeld
	}
	jb := &job{settle: &in.held, ids: new(attempts), prior: prior}
	for _, e := range events {
		r, err := newRow(e, r.SettledBy)
		if err != nil {
			return err
		}
		jb.rows = append(jb.rows, r)
	}
	err = in.j.submit(ctx, jb)
	in.mu.Lock()
	defer in.mu.Unlock()
	if err == nil {
		in.settled = true
		in.j.staged.remove(in.opID, weak.Make(in))
	} else if !errors.Is(err, audit.ErrNotHeld) {
		in.failed = append(in.failed, jb.ids)
	}
	return err
}

// eventText returns the text of an event for storage in an intent: a JSON
// object with the columns of the event.
func eventText(e audit.Event) string {
	b := []byte{'{'}
	en := audit.Entry{Event: e}
	cs := audit.Columns()
	for i := range cs {
		if v := cs[i].Value(&en); v != nil && !ofEntry[cs[i].Name] {
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = cs[i].AppendJSON(append(b, `"`+cs[i].Name+`":`...), v)
		}
	}
	return string(append(b, '}'))
}

// ofEntry are the columns of an entry that are not part of its event.
var ofEntry = map[string]bool{"id": true, "writer_id": true, "seq": true, "created_at": true, "settled_by": true}

// loadEvent reads the event of an intent. It rejects events that Begin could
// not have stored.
func loadEvent(opID, text string) (audit.Event, error) {
	e, err := parseEvent(text)
	if err == nil && e.OpID != opID {
		err = fmt.Errorf("the event belongs to operation %.64q", e.OpID)
	}
	if err == nil {
		_, err = audit.PrepareIntent(context.Background(), e)
	}
	if err != nil {
		return audit.Event{}, fmt.Errorf("invalid event: %w", err)
	}
	return e, nil
}

func parseEvent(text string) (audit.Event, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return audit.Event{}, err
	}
	var en audit.Entry
	cs := audit.Columns()
	for i := range cs {
		member, found := object[cs[i].Name]
		if !found {
			continue
		}
		v, err := cs[i].ParseJSON(member)
		if err == nil {
			err = cs[i].SetValue(&en, v)
		}
		if err != nil {
			return audit.Event{}, err
		}
	}
	return en.Event, nil
}
