package sqlaudit

import (
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// This file exports internals for the tests.

// Waiting returns the number of callers that wait for a flush.
func Waiting(j *Journal) int {
	j.q.mu.Lock()
	defer j.q.mu.Unlock()
	return len(j.q.jobs)
}

// Flushing reports whether a flush is running.
func Flushing(j *Journal) bool { return j.flushing.Load() }

// Migrate runs the migrations of files.
var Migrate = func(j *Journal, files fs.FS) error { return migrate(j.base, j.db, j.d, files) }

// Pools returns the pools for writing and for reading.
func Pools(j *Journal) (write, read *sqlx.DB) { return j.db, j.readDB }

// ReadTx begins a transaction like Verify.
func ReadTx(j *Journal) (*sqlx.Tx, error) { return readTx(j.base, j.readDB, j.d) }

// Maintain creates future partitions.
func Maintain(j *Journal) error { return j.d.maintain(j.base, j.db) }

// SweepGrants removes grants of expired links.
func SweepGrants(j *Journal) error { return j.sweepGrants(j.base) }

// PageQuery returns the statement that reads a page.
func PageQuery(j *Journal, q audit.Query) (string, []any, error) {
	w, rest := j.walk(q)
	where, args, err := j.where(rest)
	var after any
	if q.After != "" {
		after = q.After
	}
	query, args := j.pageQuery(w, where, args, after, q.Limit)
	return query, args, err
}

// Publish publishes the waiting checkpoints.
func Publish(j *Journal) error { return j.pub.publish(j.base) }

// BecomeAnother makes j continue as a new writer, as after a transaction with
// unknown outcome. j must not be writing.
func BecomeAnother(j *Journal) error { return j.newTail() }

// PublishOthers runs the first pass of publishing for other writers.
func PublishOthers(j *Journal) error { return j.publishOthers(j.base, make(map[string]int64)) }

// WriterID returns the ID of j's current writer.
func WriterID(j *Journal) string { return *j.writerID.Load() }

// SetClock sets the clock of a journal that has not written yet.
func SetClock(j *Journal, clock func() time.Time) { j.clock = clock }

// SetLockWait sets lockWait of a journal that has not written yet.
func SetLockWait(j *Journal, d time.Duration) { j.lockWait = d }

// BecomeCloneOf makes j continue with other's state, like a machine that was
// cloned while it was running. Neither journal may be writing.
func BecomeCloneOf(j, other *Journal) {
	j.tail = other.tail
	j.tail.tree = other.tail.tree.Clone()
	id := WriterID(other)
	j.writerID.Store(&id)
}

// Aside returns the number of jobs that wait for a lock.
func Aside(j *Journal) int {
	j.q.mu.Lock()
	defer j.q.mu.Unlock()
	return len(j.q.aside)
}

// AsMySQL makes a journal work without the statements that only MariaDB has.
func AsMySQL(j *Journal) {
	d := j.d.(*mysql)
	d.maria.Store(false)
	d.whole.Store(false)
}

// StagedIntents returns the number of operations that CommitTx can find.
func StagedIntents(j *Journal) int {
	j.staged.mu.Lock()
	defer j.staged.mu.Unlock()
	return len(j.staged.byOp)
}
