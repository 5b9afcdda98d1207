package sqlaudit

// This file implements the callers' side of the group commit: a bounded queue.
// Each caller waits for its job. The flusher takes all waiting jobs at once.

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

// job holds the records that one caller stores in one transaction: entries, and
// possibly an intent to insert or delete.
type job struct {
	begin  *intentRow // to insert, or nil
	settle *held      // to delete, or nil
	rows   []*row

	register bool // register the writer, even without entries

	ids   *attempts   // the IDs assigned to the first row of a settlement
	prior []*attempts // IDs of failed calls to settle the same intent

	async bool       // no caller waits; retried until it is stored
	until time.Time  // the caller's deadline
	done  chan error // capacity 1: the flusher never waits for a caller
	state jobState   // guarded by queue.mu

	lockedUntil time.Time // deadline for a job that was set aside; zero before
}

type jobState int

const (
	queued    jobState = iota
	taken              // part of a flush
	abandoned          // the caller has left
)

// attempts are the IDs under which a settlement may have been stored.
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

// held identifies an intent and the token of its holder.
type held struct{ opID, holder string }

// intentRow is an intent to insert.
type intentRow struct {
	held
	writer, backend, bucket, key, event string
	signature                           []byte
	signed                              bool // by a registered writer
	source                              audit.Event
	lease                               time.Duration
}

// sign signs the intent with the key of a registered writer.
func (in *intentRow) sign(id *identity) (err error) {
	in.writer, in.signed = id.ID, true
	in.signature, err = id.signIntent(in.held, in.event)
	return err
}

// args returns the arguments of the INSERT statement.
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

// size returns the number of rows that the job writes, but at least 1.
func (j *job) size() int { return max(1, len(j.rows)) }

type queue struct {
	slots   chan struct{} // one for each waiting job: limits the queue
	queued  func(n int)   // called with the change in the number of waiting records
	closing chan struct{}
	wake    chan struct{} // capacity 1: a job waits, or the queue was closed

	mu     sync.Mutex
	jobs   []*job
	aside  map[*job]bool // jobs whose intents are locked
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

// timeoutError reports that the database took too long.
type timeoutError struct {
	after  time.Duration
	stored string
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("sqlaudit: the database did not respond within %v: %s", e.after, e.stored)
}

func (e *timeoutError) Unwrap() error { return context.DeadlineExceeded }

const (
	notStored   = "nothing was stored"
	maybeStored = "unknown whether the record was stored"
)

// do queues a job. Unless the job is asynchronous, do waits until it is stored,
// ctx ends, or timeout expires. If no flush has taken the job by then, do
// removes it from the queue.
func (q *queue) do(ctx context.Context, timeout time.Duration, jb *job) error {
	// Set the deadline before the timer, so that a flush gives up before its
	// last caller leaves.
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
		case err := <-jb.done: // the result arrived together with the timer
			return err
		default:
			return &timeoutError{timeout, maybeStored}
		}
	}
}

// enter queues a job as soon as the queue has room.
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

// leave marks a job as abandoned. It reports whether the job was removed from
// the queue before a flush took it.
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

// take waits for jobs and returns the queued jobs in order, up to limit rows.
// It returns nil once the queue is closed and empty.
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

// takeLocked does not take a second job on the same operation: in the same
// flush, its result would depend on the first one. It also does not mix
// asynchronous and other jobs, because only asynchronous jobs are retried
// without limit. It takes jobs of the first job's kind.
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

// present returns the jobs whose callers still wait.
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

// close rejects further jobs. Queued jobs are still processed. close reports
// whether this is the first call.
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

// drop fails all jobs that are not part of a flush and returns their events.
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
