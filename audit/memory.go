package audit

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// Memory is a [Journal] and [Reader] that stores everything in memory. It is
// for tests and experiments. The zero value is ready for use. Nothing survives
// the process.
type Memory struct {
	// Now returns the time for leases, entries, and events without a time. If
	// Now is nil, Memory uses time.Now. Set it before first use. It must be
	// safe for concurrent use.
	Now func() time.Time

	mu      sync.Mutex
	writer  string
	entries []Entry
	open    map[string]*memoryHold
	order   []string // operation IDs in the order of Begin
}

type memoryHold struct {
	event   Event
	holder  *memoryIntent
	expires time.Time
}

// memoryIntent is one hold of an intent. Taking over the intent creates
// another.
type memoryIntent struct {
	m     *Memory
	event Event
}

func (m *Memory) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// append stores prepared events. The caller holds m.mu.
func (m *Memory) append(by SettledBy, events ...Event) {
	if m.writer == "" {
		m.writer = newUUIDv7()
	}
	if by == "" {
		by = SettledByWriter
	}
	for _, e := range events {
		m.entries = append(m.entries, Entry{
			Event: e, ID: m.nextID(), WriterID: m.writer, Seq: int64(len(m.entries)),
			CreatedAt: m.now().UTC().Truncate(time.Microsecond), SettledBy: by,
		})
	}
}

func (m *Memory) nextID() string {
	if n := len(m.entries); n > 0 {
		return uuidAfter(m.entries[n-1].ID)
	}
	return newUUIDv7()
}

// timed sets the time of e from m's clock if e has none.
func (m *Memory) timed(e Event) Event {
	if e.OccurredAt.IsZero() {
		e.OccurredAt = m.now()
	}
	return e
}

// Log implements [Logger].
func (m *Memory) Log(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := PrepareLog(ctx, m.timed(e))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.append("", e)
	return nil
}

// Begin implements [Journal].
func (m *Memory) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, err := PrepareIntent(ctx, m.timed(e))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = make(map[string]*memoryHold)
	}
	if m.open[e.OpID] != nil {
		return nil, errDuplicateIntent(e.OpID)
	}
	in := &memoryIntent{m: m, event: e}
	m.open[e.OpID] = &memoryHold{event: e, holder: in, expires: m.now().Add(leaseOr(lease))}
	m.order = append(m.order, e.OpID)
	return in, nil
}

// Dangling implements [Journal].
func (m *Memory) Dangling(ctx context.Context, q DanglingQuery) iter.Seq2[Intent, error] {
	return func(yield func(Intent, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		m.mu.Lock()
		ids := slices.Clone(m.order)
		m.mu.Unlock()
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if in := m.takeOver(id, q.Lease, func(h *memoryHold) bool {
				return !h.expires.After(m.now()) &&
					(q.Backend == "" || q.Backend == h.event.Backend) &&
					(q.Bucket == "" || q.Bucket == h.event.Bucket)
			}); in != nil && !yield(in, nil) {
				return
			}
		}
	}
}

// Claim implements [Journal].
func (m *Memory) Claim(ctx context.Context, opID string, lease time.Duration, match func(Event) bool) (Intent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if in := m.takeOver(opID, lease, func(h *memoryHold) bool { return match == nil || match(h.event) }); in != nil {
		return in, nil
	}
	return nil, ErrNoIntent
}

func (m *Memory) takeOver(opID string, lease time.Duration, may func(*memoryHold) bool) Intent {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.open[opID]
	if h == nil || !may(h) {
		return nil
	}
	h.holder = &memoryIntent{m: m, event: h.event}
	h.expires = m.now().Add(leaseOr(lease))
	return h.holder
}

// OpenIntents returns the number of open intents.
func (m *Memory) OpenIntents() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// Entries implements [Reader]. It yields the entries stored when the loop
// begins.
func (m *Memory) Entries(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Entry{}, err)
			return
		}
		m.mu.Lock()
		entries := slices.Clone(m.entries)
		m.mu.Unlock()
		if q.NewestFirst {
			slices.Reverse(entries)
		}
		n := 0
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(Entry{}, err)
				return
			}
			if !q.matches(e) {
				continue
			}
			e.Event = e.Clone()
			if !yield(e, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
	}
}

func (q Query) matches(e Entry) bool {
	pastCursor := q.After == "" || (q.NewestFirst && e.ID < q.After) || (!q.NewestFirst && e.ID > q.After)
	return pastCursor && q.matchesText(e) &&
		(len(q.Actions) == 0 || slices.Contains(q.Actions, e.Action)) &&
		(len(q.Outcomes) == 0 || slices.Contains(q.Outcomes, e.Outcome)) &&
		(q.From.IsZero() || !e.OccurredAt.Before(q.From)) &&
		(q.To.IsZero() || e.OccurredAt.Before(q.To))
}

func (q Query) matchesText(e Entry) bool {
	for _, c := range []struct{ want, got string }{
		{q.UserID, e.Actor.UserID}, {q.TenantID, e.Actor.TenantID}, {q.Resource.Type, e.Resource.Type}, {q.Resource.ID, e.Resource.ID},
		{q.Key, e.Key}, {q.GrantID, e.GrantID},
	} {
		if c.want != "" && c.want != c.got {
			return false
		}
	}
	return q.OpID == "" || q.OpID == e.OpID || q.OpID == e.RefOpID
}

func (in *memoryIntent) OpID() string { return in.event.OpID }
func (in *memoryIntent) Event() Event { return in.event.Clone() }

func (in *memoryIntent) Renew(ctx context.Context, lease time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	h := in.m.open[in.event.OpID]
	if h == nil || h.holder != in {
		return ErrNotHeld
	}
	h.expires = in.m.now().Add(leaseOr(lease))
	return nil
}

func (in *memoryIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := in.m
	also = slices.Clone(also)
	for i := range also {
		also[i] = m.timed(also[i])
	}
	events, err := PrepareSettlement(ctx, in.event, r, also...)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.open[in.event.OpID]
	if h == nil || h.holder != in {
		return ErrNotHeld
	}
	delete(m.open, in.event.OpID)
	m.order = slices.DeleteFunc(m.order, func(id string) bool { return id == in.event.OpID })
	m.append(r.SettledBy, events...)
	return nil
}

func leaseOr(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultLease
	}
	return d
}
