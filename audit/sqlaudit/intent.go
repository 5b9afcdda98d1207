package sqlaudit

// The journal's methods: entries, intents, and taking over what others left.

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// Log implements [audit.Logger]. It waits for the transaction that stores e,
// together with whatever else waits at the time, unless [Options.Async] is set.
func (j *Journal) Log(ctx context.Context, e audit.Event) error {
	return j.log(ctx, e, j.opts.Async)
}

func (j *Journal) log(ctx context.Context, e audit.Event, async bool) error {
	e, err := audit.PrepareLog(e)
	if err != nil {
		return err
	}
	r, err := newRow(e, audit.SettledByWriter)
	if err != nil {
		return err
	}
	return j.submit(ctx, &job{rows: []*row{r}, async: async})
}

// Begin implements [audit.Journal]. An operation that is open already is
// refused with an error that wraps [audit.ErrEvent].
func (j *Journal) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	e, err := audit.PrepareIntent(e)
	if err != nil {
		return nil, err
	}
	if _, err := newRow(e, ""); err != nil {
		return nil, err
	}
	text, err := json.Marshal(storedEvent(e))
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: %w", err)
	}
	in := &intent{j: j, held: held{e.OpID, newHolder()}, event: e}
	if err := j.submit(ctx, &job{begin: &intentRow{
		held: in.held, backend: e.Backend, bucket: e.Bucket, key: e.Key, event: string(text), source: e, lease: j.lease(lease),
	}}); err != nil {
		return nil, err
	}
	return in, nil
}

// Dangling implements [audit.Journal]. It looks at 100 intents at a time and
// holds no connection while the loop's body runs. An intent whose event can't be
// read, since somebody else changed it, or whose row an open transaction has
// locked, stays; the last thing that is yielded is an error that names it.
func (j *Journal) Dangling(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
	return func(yield func(audit.Intent, error) bool) {
		type candidate struct {
			OpID     string `db:"op_id"`
			Holder   string `db:"holder"`
			BegunAt  int64  `db:"begun_at"`
			Renewals int64  `db:"renewals"`
			Event    string `db:"event"`
		}
		const page = 100
		where, args := "lease_until <= "+j.d.now(), []any(nil)
		for _, field := range [][2]string{{"storage_backend", q.Backend}, {"bucket", q.Bucket}} {
			if field[1] != "" {
				condition, values := j.d.equal(field[0], field[1])
				where, args = where+" AND "+condition, append(args, values...)
			}
		}
		query := "SELECT op_id, holder, begun_at, renewals, event FROM file_access_intents WHERE " + where +
			" AND (begun_at > ? OR (begun_at = ? AND op_id > ?)) ORDER BY begun_at, op_id LIMIT 100"
		last := candidate{BegunAt: -1, OpID: uuid.Nil.String()}
		var unreadable []error
		for {
			var found []candidate
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
				e, err := loadEvent(c.OpID, c.Event)
				if err != nil {
					unreadable = append(unreadable, err)
					continue
				}
				// Only who still finds it as it was seen, with a lease that has
				// run out, gets it.
				in, err := j.takeOver(ctx, c.OpID, e, q.Lease, "holder = ? AND renewals = ? AND lease_until <= "+j.d.now(), c.Holder, c.Renewals)
				if errors.Is(err, audit.ErrNoIntent) {
					continue
				}
				if errors.Is(err, ErrLocked) {
					unreadable = append(unreadable, err)
					continue
				}
				if err != nil {
					yield(nil, err)
					return
				}
				if !yield(in, nil) {
					return
				}
			}
			if len(found) < page {
				if err := errors.Join(unreadable...); err != nil {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// Claim implements [audit.Journal].
func (j *Journal) Claim(ctx context.Context, opID string, lease time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
	if _, err := uuid.Parse(opID); err != nil || len(opID) != 36 {
		return nil, audit.ErrNoIntent
	}
	for {
		var seen struct {
			Renewals int64  `db:"renewals"`
			Event    string `db:"event"`
		}
		err := j.call(ctx, func(ctx context.Context) error {
			return j.db.GetContext(ctx, &seen, sqlx.Rebind(j.d.bind(), "SELECT renewals, event FROM file_access_intents WHERE op_id = ?"), opID)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return nil, audit.ErrNoIntent
		}
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: claiming an intent: %w", err)
		}
		e, err := loadEvent(opID, seen.Event)
		if err != nil {
			return nil, err
		}
		if match != nil && !match(e) {
			return nil, audit.ErrNoIntent
		}
		// Its event may change, so only what was just seen is taken over.
		in, err := j.takeOver(ctx, opID, e, lease, "renewals = ?", seen.Renewals)
		if !errors.Is(err, audit.ErrNoIntent) {
			return in, err
		}
	}
}

// takeOver makes the caller the holder of the intent if the condition holds.
func (j *Journal) takeOver(ctx context.Context, opID string, e audit.Event, lease time.Duration, condition string, args ...any) (audit.Intent, error) {
	in := &intent{j: j, held: held{opID, newHolder()}, event: e}
	n, err := j.updateIntent(ctx, opID, "holder = ?, lease_until = "+j.d.now()+" + ?, renewals = renewals + 1", "op_id = ? AND "+condition,
		append([]any{in.holder, j.lease(lease).Microseconds(), opID}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: taking over an intent: %w", err)
	}
	if n == 0 {
		return nil, audit.ErrNoIntent
	}
	return in, nil
}

// submit queues a job and waits for it.
func (j *Journal) submit(ctx context.Context, jb *job) error {
	err := j.q.do(ctx, j.opts.Timeout, jb)
	if err != nil && !errors.Is(err, audit.ErrNotHeld) {
		j.metrics.failed(ctx, jb)
	}
	return err
}

// call runs fn within the journal's time limit, while it is open.
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
		if err := j.checkFile(ctx); err != nil {
			return err
		}
		res, err := j.db.ExecContext(ctx, sqlx.Rebind(j.d.bind(), query), args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return cmp.Or(err, j.checkFile(ctx))
	})
	return n, err
}

func (j *Journal) lease(d time.Duration) time.Duration {
	if d <= 0 {
		return j.opts.Lease
	}
	return max(d, time.Microsecond)
}

// newHolder mints a token that is good for one holder of one operation.
func newHolder() string { return uuid.NewString() }

// intent is one holder of an open intent; whoever takes it over is another.
type intent struct {
	held
	j     *Journal
	event audit.Event

	mu      sync.Mutex
	settled bool        // and its caller knows
	failed  []*attempts // calls to Settle that failed, and may have been stored
}

func (in *intent) ID() string         { return in.opID }
func (in *intent) Event() audit.Event { return in.event.Clone() }

// Renew implements [audit.Intent].
func (in *intent) Renew(ctx context.Context, lease time.Duration) error {
	n, err := in.j.updateIntent(ctx, in.opID, "lease_until = "+in.j.d.now()+" + ?, renewals = renewals + 1", "op_id = ? AND holder = ?",
		in.j.lease(lease).Microseconds(), in.opID, in.holder)
	if err != nil {
		return fmt.Errorf("sqlaudit: renewing a lease: %w", err)
	}
	if n == 0 {
		return audit.ErrNotHeld
	}
	return nil
}

// Settle implements [audit.Intent]. It may be called again after an error: if
// the first call was stored after all, the second finds out and returns nil.
func (in *intent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	events, err := audit.PrepareSettlement(in.event, r, also...)
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
	} else if !errors.Is(err, audit.ErrNotHeld) {
		in.failed = append(in.failed, jb.ids)
	}
	return err
}

// intentEvent is how an event is kept in an intent. Its names are part of the
// stored format.
type intentEvent struct {
	OpID         string            `json:"op_id"`
	RefOpID      string            `json:"ref_op_id,omitempty"`
	OccurredAt   time.Time         `json:"occurred_at"`
	Action       audit.Action      `json:"action"`
	UserID       string            `json:"user_id,omitempty"`
	TenantID     string            `json:"tenant_id,omitempty"`
	IP           string            `json:"ip_address,omitempty"`
	UserAgent    string            `json:"user_agent,omitempty"`
	RequestID    string            `json:"request_id,omitempty"`
	ResourceType string            `json:"resource_type,omitempty"`
	ResourceID   string            `json:"resource_id,omitempty"`
	Key          string            `json:"file_key,omitempty"`
	Backend      string            `json:"storage_backend,omitempty"`
	Bucket       string            `json:"bucket,omitempty"`
	GrantID      string            `json:"grant_id,omitempty"`
	Size         *int64            `json:"size,omitempty"`
	SHA256       []byte            `json:"sha256,omitempty"` // base64
	ContentType  string            `json:"content_type,omitempty"`
	ErrorCode    string            `json:"error_code,omitempty"`
	Attrs        map[string]string `json:"attrs,omitempty"`
}

func storedEvent(e audit.Event) intentEvent {
	return intentEvent{
		OpID: e.OpID, RefOpID: e.RefOpID, OccurredAt: e.OccurredAt, Action: e.Action,
		UserID: e.Actor.UserID, TenantID: e.Actor.TenantID, IP: e.Actor.IP, UserAgent: e.Actor.UserAgent, RequestID: e.Actor.RequestID,
		ResourceType: e.Resource.Type, ResourceID: e.Resource.ID, Key: e.Key, Backend: e.Backend, Bucket: e.Bucket,
		GrantID: e.GrantID, Size: e.Size, SHA256: e.SHA256, ContentType: e.ContentType, ErrorCode: e.ErrorCode, Attrs: e.Attrs,
	}
}

// loadEvent reads the event of an intent, and refuses what Begin can't have
// stored.
func loadEvent(opID, text string) (audit.Event, error) {
	e, err := parseEvent(text)
	if err == nil && e.OpID != opID {
		err = fmt.Errorf("it is that of operation %.64q", e.OpID)
	}
	if err == nil {
		_, err = audit.PrepareIntent(e)
	}
	if err != nil {
		return audit.Event{}, fmt.Errorf("sqlaudit: intent %s: its event can't be read: %v", opID, err) //nolint:errorlint // no mistake of the caller's, whatever it wraps
	}
	return e, nil
}

func parseEvent(text string) (audit.Event, error) {
	var s intentEvent
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return audit.Event{}, err
	}
	return audit.Event{
		OpID: s.OpID, RefOpID: s.RefOpID, OccurredAt: s.OccurredAt, Action: s.Action,
		Actor:    audit.Actor{UserID: s.UserID, TenantID: s.TenantID, IP: s.IP, UserAgent: s.UserAgent, RequestID: s.RequestID},
		Resource: audit.Resource{Type: s.ResourceType, ID: s.ResourceID}, Key: s.Key, Backend: s.Backend, Bucket: s.Bucket,
		GrantID: s.GrantID, Size: s.Size, SHA256: s.SHA256, ContentType: s.ContentType, ErrorCode: s.ErrorCode, Attrs: s.Attrs,
	}, nil
}
