package sqlaudit

// The callers' side of the group commit: a bounded queue in which each caller
// waits for its own job, and from which the flusher takes whatever waits.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// job is what one caller wants stored in one transaction: some entries, and
// perhaps an intent that comes in or goes out with them.
type job struct {
	begin  *intentRow // to insert, or nil
	settle *held      // to delete, or nil
	rows   []*row

	register bool // the writer must be stored, even without an entry

	ids   *attempts   // of a settlement: the ids its first row was given
	prior []*attempts // of earlier calls to settle the same intent that failed

	async bool       // nobody waits for it: it is tried until it is stored
	until time.Time  // nobody waits for it any longer
	done  chan error // capacity 1: the flusher never waits for a caller
	state jobState   // guarded by queue.mu

	lockedUntil time.Time // once it was set aside: the end of its patience
}

type jobState int

const (
	queued    jobState = iota
	taken              // in a flush
	abandoned          // the caller has gone
)

// attempts are the ids under which a settlement may have been stored.
type attempts struct {
	mu  sync.Mutex
	ids []string
}

func (a *attempts) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids = append(a.ids, id)
}

func (a *attempts) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ids)
}

// held names an intent together with the token of whoever holds it.
type held struct{ opID, holder string }

// intentRow is an intent to store.
type intentRow struct {
	held
	writer, backend, bucket, key, event string
	signature                           []byte
	signed                              bool // by a writer that is registered
	source                              audit.Event
	lease                               time.Duration
}

// sign signs the intent with the key of a registered writer.
func (in *intentRow) sign(id *identity) (err error) {
	in.writer, in.signed = id.ID, true
	in.signature, err = id.signIntent(in.held, in.event)
	return err
}

// args are the values that a statement inserts it with.
func (in *intentRow) args() []any {
	return []any{in.opID, in.holder, in.writer, null(in.backend), null(in.bucket), null(in.key), in.lease.Microseconds(), in.event, in.signature}
}

func (j *job) opID() string {
	switch {
	case j.begin != nil:
		return j.begin.opID
	case j.settle != nil:
		return j.settle.opID
	}
	return ""
}

// size is how many rows the job writes, at least 1.
func (j *job) size() int { return max(1, len(j.rows)) }

type queue struct {
	slots   chan struct{} // one for each waiting job: the bound of the queue
	queued  func(n int)   // is told how many records more wait
	closing chan struct{}
	wake    chan struct{} // capacity 1: something waits, or the queue closed

	mu     sync.Mutex
	jobs   []*job
	aside  map[*job]bool // their intents are locked
	closed bool
}

func newQueue(length int, queued func(n int)) *queue {
	return &queue{
		slots:   make(chan struct{}, length),
		queued:  queued,
		closing: make(chan struct{}),
		wake:    make(chan struct{}, 1),
		aside:   make(map[*job]bool),
	}
}

// timeoutError is what a caller gets when the database takes too long.
type timeoutError struct {
	after  time.Duration
	stored string
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("sqlaudit: the database did not answer within %v: %s", e.after, e.stored)
}

func (e *timeoutError) Unwrap() error { return context.DeadlineExceeded }

const (
	notStored   = "nothing was stored"
	maybeStored = "it is not known whether the record was stored"
)

// do queues a job and, unless it is asynchronous, waits until it is stored, ctx
// is done or the time is up. A job that no flush has taken by then is withdrawn.
func (q *queue) do(ctx context.Context, timeout time.Duration, jb *job) error {
	// In this order, so that a flush gives up before its last caller has gone.
	jb.until = time.Now().Add(timeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if err := q.enter(ctx, timer, timeout, jb); err != nil || jb.async {
		return err
	}
	select {
	case err := <-jb.done:
		return err
	case <-ctx.Done():
		q.leave(jb)
		return ctx.Err()
	case <-timer.C:
		if q.leave(jb) {
			return &timeoutError{timeout, notStored}
		}
		select {
		case err := <-jb.done: // it came at the last moment
			return err
		default:
			return &timeoutError{timeout, maybeStored}
		}
	}
}

// enter queues a job once there is a place for it.
func (q *queue) enter(ctx context.Context, timer *time.Timer, timeout time.Duration, jb *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	jb.done = make(chan error, 1)
	select {
	case q.slots <- struct{}{}:
	default:
		select {
		case q.slots <- struct{}{}:
		case <-q.closing:
			return audit.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return &timeoutError{timeout, "the queue is full, " + notStored}
		}
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		<-q.slots
		return audit.ErrClosed
	}
	q.jobs = append(q.jobs, jb)
	q.mu.Unlock()
	q.queued(jb.size())
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// leave marks a job as one that nobody waits for, and reports whether it could
// be withdrawn before a flush took it.
func (q *queue) leave(jb *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := jb.state
	jb.state = abandoned
	if was != queued {
		return false
	}
	if q.aside[jb] {
		delete(q.aside, jb)
		q.signal()
		return true
	}
	for i, other := range q.jobs {
		if other == jb {
			q.jobs = append(q.jobs[:i], q.jobs[i+1:]...)
			<-q.slots
			q.queued(-jb.size())
			break
		}
	}
	return true
}

// take waits for jobs and returns all that wait, up to limit rows, in the order
// they came. It returns none once the queue is closed and empty.
func (q *queue) take(limit int) []*job {
	for {
		q.mu.Lock()
		if len(q.jobs) > 0 {
			batch := q.takeLocked(limit)
			q.mu.Unlock()
			for _, jb := range batch {
				q.queued(-jb.size())
			}
			return batch
		}
		ended := q.closed && len(q.aside) == 0
		q.mu.Unlock()
		if ended {
			return nil
		}
		<-q.wake
	}
}

// takeLocked leaves behind a second job on the same operation: within one
// flush, its fate would depend on that of the first. Jobs that somebody waits for
// and others do not share a flush, since only these are tried without end; those
// of the kind that came first are taken.
func (q *queue) takeLocked(limit int) []*job {
	var batch []*job
	var seen map[string]bool
	rows := 0
	rest := q.jobs[:0]
	for i, jb := range q.jobs {
		if len(batch) > 0 && rows+jb.size() > limit {
			rest = append(rest, q.jobs[i:]...)
			break
		}
		if len(batch) > 0 && jb.async != batch[0].async {
			rest = append(rest, jb)
			continue
		}
		if op := jb.opID(); op != "" {
			if seen[op] {
				rest = append(rest, q.jobs[i:]...)
				break
			}
			if seen == nil {
				seen = make(map[string]bool)
			}
			seen[op] = true
		}
		jb.state = taken
		rows += jb.size()
		batch = append(batch, jb)
	}
	clear(q.jobs[len(rest):])
	q.jobs = rest
	for range batch {
		<-q.slots
	}
	return batch
}

// present returns those of jobs whose callers still wait.
func (q *queue) present(jobs []*job) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := jobs[:0:0]
	for _, jb := range jobs {
		if jb.state == taken {
			out = append(out, jb)
		}
	}
	return out
}

// close lets no further job in. Those that wait are still taken.
func (q *queue) close() (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	close(q.closing)
	q.signal()
	return true
}

// drop fails all jobs that no flush has and returns the events that are
// lost with them.
func (q *queue) drop() []audit.Event {
	q.mu.Lock()
	jobs, aside := q.jobs, slices.Collect(maps.Keys(q.aside))
	q.jobs = nil
	clear(q.aside)
	q.mu.Unlock()
	for _, jb := range jobs {
		<-q.slots
		q.queued(-jb.size())
	}
	var lost []audit.Event
	for _, jb := range append(jobs, aside...) {
		lost = append(lost, jb.events()...)
		jb.done <- errors.Join(audit.ErrClosed, errors.New("sqlaudit: closed before the record was stored"))
	}
	return lost
}

func (j *job) events() []audit.Event {
	var out []audit.Event
	if j.begin != nil {
		out = append(out, j.begin.source)
	}
	for _, r := range j.rows {
		out = append(out, r.Event)
	}
	return out
}
