package sqlaudit

import (
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// What tests look at from outside.

// Waiting is the number of callers that wait for a flush to take them.
func Waiting(j *Journal) int {
	j.q.mu.Lock()
	defer j.q.mu.Unlock()
	return len(j.q.jobs)
}

// Flushing reports whether a flush is under way.
func Flushing(j *Journal) bool { return j.flushing.Load() }

// Migrate runs the migrations of files.
var Migrate = func(j *Journal, files fs.FS) error { return migrate(j.base, j.db, j.d, files) }

// Pools are the writer's and the readers'.
func Pools(j *Journal) (write, read *sqlx.DB) { return j.db, j.readDB }

// ReadTx begins a transaction as Verify does.
func ReadTx(j *Journal) (*sqlx.Tx, error) { return readTx(j.base, j.readDB, j.d) }

// Maintain does what is done ahead of time.
func Maintain(j *Journal) error { return j.d.maintain(j.base, j.db) }

// SweepGrants removes what is no longer needed.
func SweepGrants(j *Journal) error { return j.sweepGrants(j.base) }

// PageQuery is the statement that reads a page.
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

// Publish publishes what waits.
func Publish(j *Journal) error { return j.pub.publish(j.base) }

// BecomeAnother makes j go on under a new writer, as after a transaction of which
// it can't find out whether it was stored. It may not be writing.
func BecomeAnother(j *Journal) error { return j.newTail() }

// PublishOthers publishes for writers that are gone, as it is done the first time.
func PublishOthers(j *Journal) error { return j.publishOthers(j.base, make(map[string]int64)) }

// WriterID is the ID of the writer that j writes as.
func WriterID(j *Journal) string { return *j.writerID.Load() }

// SetClock gives a journal that has not written yet another clock.
func SetClock(j *Journal, clock func() time.Time) { j.clock = clock }

// SetLockWait gives a journal that has not written yet another patience.
func SetLockWait(j *Journal, d time.Duration) { j.lockWait = d }

// BecomeCloneOf makes j go on where other stands, as a machine does that was
// cloned while it ran. Neither may be writing.
func BecomeCloneOf(j, other *Journal) {
	j.tail = other.tail
	j.tail.tree = other.tail.tree.Clone()
	id := WriterID(other)
	j.writerID.Store(&id)
}

// Aside is the number of jobs that wait for a lock.
func Aside(j *Journal) int {
	j.q.mu.Lock()
	defer j.q.mu.Unlock()
	return len(j.q.aside)
}

// AsMySQL has a journal do without statements that only MariaDB has.
func AsMySQL(j *Journal) {
	d := j.d.(*mysql)
	d.maria.Store(false)
	d.whole.Store(false)
}

// StagedIntents is the number of operations that CommitTx could find.
func StagedIntents(j *Journal) int {
	j.staged.mu.Lock()
	defer j.staged.mu.Unlock()
	return len(j.staged.byOp)
}
