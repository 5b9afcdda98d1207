package sqlaudit

// This file implements the wait for an intent that is locked by an open
// transaction, such as one with CommitTx. The flusher sets the job aside and
// continues with the others. The job returns to the queue when the lock is
// released.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// ErrLocked reports that an open transaction has locked the operation's row in
// file_access_intents, for example with [Journal.CommitTx] or SELECT … FOR
// UPDATE. The call stored nothing. Repeat it after that transaction has ended.
//
// On PostgreSQL and MariaDB, a call waits half a second for such a lock, and no
// other call waits with it. On MySQL, other calls may wait too, up to
// [Options.Timeout]. They also wait if a transaction has locked the gap in the
// index where a new operation belongs. SQLite locks the whole database: every
// call waits, up to [Options.Timeout].
var ErrLocked = errors.New("sqlaudit: an open transaction has locked the operation")

// lockWait limits the wait of a call for a lock on its intent.
const lockWait = 500 * time.Millisecond

// lockPause is the first pause between two checks of a lock. Each pause doubles
// the last, up to maxLockPause.
const (
	lockPause    = 2 * time.Millisecond
	maxLockPause = 50 * time.Millisecond
)

func lockedError(opID string) error {
	return fmt.Errorf("%w: operation %s: commit or roll back the transaction that holds its row of file_access_intents, then repeat the call", ErrLocked, opID)
}

// setAside removes the jobs with locked intents from the flush and returns the
// remaining jobs.
func (j *Journal) setAside(ctx context.Context, jobs []*job) (rest []*job, err error) {
	var locked []*job
	for _, jb := range jobs {
		busy, err := j.busy(ctx, jb)
		if err != nil {
			return jobs, err
		}
		if busy {
			locked = append(locked, jb)
		} else {
			rest = append(rest, jb)
		}
	}
	for _, jb := range locked {
		if j.q.setAside(jb) {
			j.aside.Go(func() { j.waitForLock(jb) })
		}
	}
	return rest, nil
}

// busy reports whether jb would have to wait for a lock of another transaction.
func (j *Journal) busy(ctx context.Context, jb *job) (bool, error) {
	if jb.opID() == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	return j.d.busy(ctx, j.db, jb)
}

// waitForLock returns jb to the queue when the lock on its intent is released.
// It fails jb after lockWait.
func (j *Journal) waitForLock(jb *job) {
	if jb.lockedUntil.IsZero() {
		jb.lockedUntil = time.Now().Add(j.lockWait)
	}
	for pause := lockPause; ; pause = min(2*pause, maxLockPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-j.base.Done():
			timer.Stop()
			j.endAside(jb, audit.ErrClosed)
			return
		}
		busy, err := j.busy(j.base, jb)
		switch {
		case time.Now().After(jb.lockedUntil) && (err != nil || busy):
			j.endAside(jb, lockedError(jb.opID()))
			return
		case err == nil && !busy:
			if !j.q.putBack(j.base, jb) {
				j.endAside(jb, audit.ErrClosed)
			}
			return
		}
	}
}

// endAside fails a job that was set aside. It does nothing if the job has
// ended.
func (j *Journal) endAside(jb *job, err error) {
	if j.q.takeAside(jb) {
		j.finish([]*job{jb}, err)
	}
}

// setAside removes a job from the flush until its lock is released. It returns
// false if the caller has left.
func (q *queue) setAside(jb *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if jb.state != taken {
		return false
	}
	jb.state = queued
	q.aside[jb] = true
	return true
}

// takeAside removes jb from the jobs that were set aside, and reports whether
// it was one of them.
func (q *queue) takeAside(jb *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.aside[jb]
	delete(q.aside, jb)
	q.signal() // a closed queue waits until no job is set aside
	return was
}

// putBack returns a job that was set aside to the queue. It does nothing if the
// job has ended. It returns false if ctx ends before the queue has room.
func (q *queue) putBack(ctx context.Context, jb *job) bool {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.signal()
	if !q.aside[jb] {
		<-q.slots
		return true
	}
	delete(q.aside, jb)
	q.jobs = append(q.jobs, jb)
	q.queued(jb.size())
	return true
}

// updateIntent runs an UPDATE of one intent and returns the number of changed
// rows. It waits for a lock for at most lockWait.
func (j *Journal) updateIntent(ctx context.Context, opID, set, where string, args ...any) (int64, error) {
	query := j.d.updateIntent(set, where)
	d, waits := j.d.(*mysql)
	waits = waits && !d.maria.Load() // on MySQL, every UPDATE waits for locks
	for until, pause := time.Now().Add(j.lockWait), lockPause; ; pause = min(2*pause, maxLockPause) {
		var n int64
		busy, err := false, error(nil)
		if waits {
			busy, err = j.busy(ctx, &job{settle: &held{opID: opID}})
		}
		if err == nil && !busy {
			n, err = j.exec(ctx, query, args...)
		}
		if !busy && (err == nil || j.d.classify(err) != locked) {
			return n, err
		}
		if time.Now().After(until) {
			return 0, lockedError(opID)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		case <-j.q.closing:
			timer.Stop()
			return 0, audit.ErrClosed
		}
	}
}

// lockIntent reads an intent and fails immediately if the row is locked. It
// works only on databases with row locks.
const lockIntent = "SELECT op_id FROM file_access_intents WHERE op_id = ? FOR UPDATE NOWAIT"

// busyRow reports whether the row of an intent is locked. Its statement is a
// transaction, which releases the row when it ends.
func busyRow(ctx context.Context, db *sqlx.DB, d dialect, opID string) (bool, error) {
	var found []string
	err := db.SelectContext(ctx, &found, sqlx.Rebind(d.bind(), lockIntent), opID)
	if err != nil && d.classify(err) == locked {
		return true, nil
	}
	return false, err
}
