package sqlaudit

// This file implements the flusher of the group commit. Each journal has one
// goroutine that stores batches of jobs and decides how an error affects each
// caller.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// batch holds the records of one transaction.
type batch struct {
	jobs    []*job
	writer  *proof.Writer // to register, or nil
	settles []*held
	begins  []*intentRow
	rows    []*row

	register bool // the writer must be stored, even without rows
	identity *identity

	// The following are set if there are rows: the tree including the rows, and
	// its signed checkpoint.
	tree       proof.Tree
	checkpoint *checkpointRow
}

// run stores queued jobs until the queue is closed and empty. It never delays a
// batch to make it larger: jobs that arrive while one batch is being stored
// form the next batch.
func (j *Journal) run() {
	defer close(j.finished)
	defer j.aside.Wait()
	for jobs := j.q.take(j.opts.MaxBatch); jobs != nil; jobs = j.q.take(j.opts.MaxBatch) {
		// A flush ends by the latest deadline of its callers. Asynchronous jobs
		// have no waiting caller and no deadline.
		ctx, cancel := j.base, func() {}
		if !jobs[0].async {
			until := jobs[0].until
			for _, jb := range jobs {
				if jb.until.After(until) {
					until = jb.until
				}
			}
			ctx, cancel = context.WithDeadline(j.base, until)
		}
		j.flushing.Store(true)
		if jobs[0].async {
			j.gap.storing(jobs)
		}
		j.store(ctx, jobs)
		j.gap.storing(nil)
		j.flushing.Store(false)
		cancel()
		j.recordGap()
	}
}

// prepare builds a batch from jobs. It assigns the next IDs and sequence
// numbers of the log to their entries and signs the resulting tree.
func (j *Journal) prepare(jobs []*job) (*batch, error) {
	b := &batch{jobs: jobs}
	at, seq := microseconds(j.clock()), j.tail.next
	for _, jb := range jobs {
		if jb.settle != nil {
			b.settles = append(b.settles, jb.settle)
		}
		if in := jb.begin; in != nil {
			if !in.signed {
				var err error
				in.writer = j.tail.identity.ID
				if in.signature, err = j.tail.identity.signIntent(in.held, in.event); err != nil {
					return nil, err
				}
			}
			b.begins = append(b.begins, in)
		}
		b.register = b.register || jb.register || jb.begin != nil
		b.rows = append(b.rows, jb.rows...)
	}
	random := make([]byte, 40*len(b.rows))
	rand.Read(random)
	for i, r := range b.rows {
		own := random[40*i : 40*i+40 : 40*i+40]
		r.seal(j.tail.ids.next(at, own[32:]), j.tail.identity.ID, seq+int64(i), at, own[:32:32])
	}
	for _, jb := range jobs {
		if jb.ids != nil {
			jb.ids.add(jb.rows[0].ID)
		}
	}
	b.identity = j.tail.identity
	if !j.tail.registered && (b.register || len(b.rows) > 0) {
		b.writer = &b.identity.Writer
	}
	if len(b.rows) == 0 {
		return b, nil
	}
	b.tree = j.tail.tree.Clone()
	for _, r := range b.rows {
		b.tree.Append(r.stored.Leaf)
	}
	var err error
	if b.checkpoint, err = b.identity.checkpoint(&b.tree); err != nil {
		return nil, err
	}
	return b, nil
}

// store stores jobs and sends the result to each caller. It retries until ctx
// ends. If the outcome of an attempt is unknown, store repeats exactly the same
// rows. Their IDs and sequence numbers then prevent them from being stored
// twice.
func (j *Journal) store(ctx context.Context, jobs []*job) {
	var b *batch
	unknown := false // an earlier attempt may have been committed
	var began time.Time
	for n := 0; ; n++ {
		if !unknown {
			if jobs = j.q.present(jobs); len(jobs) == 0 {
				return
			}
			var err error
			if b, err = j.prepare(jobs); err != nil {
				j.finish(jobs, err)
				return
			}
			began = time.Now()
		}
		err := j.flush(ctx, b)
		if err == nil {
			j.stored(ctx, b)
			return
		}
		at := j.attempted(ctx, b, err, unknown, began)
		unknown = at.unknown
		switch at.verdict() {
		case verdictStored:
			j.stored(ctx, b)
			return
		case verdictRetry:
			if !j.pause(ctx, n, err) {
				j.giveUp(jobs, err, unknown)
				return
			}
		case verdictRefused:
			if jobs, unknown = j.withoutRefused(ctx, jobs, err, n, unknown); jobs == nil {
				return
			}
		case verdictSplit:
			if j.storeApart(ctx, jobs, b, err, n) {
				return
			}
		case verdictLost:
			j.giveUp(jobs, err, unknown)
			return
		case verdictFailed:
			j.finish(jobs, fmt.Errorf("sqlaudit: storing the record: %w", err))
			return
		}
	}
}

// attempted returns the state after an attempt failed with err. If the rows of
// the batch may have been stored, it looks for them.
func (j *Journal) attempted(ctx context.Context, b *batch, err error, unknown bool, began time.Time) attempt {
	at := attempt{class: j.d.classify(err), rows: len(b.rows) > 0, queued: b.jobs[0].async}
	at.unknown = unknown || at.class == unclear || at.class == gone
	// Insert an intent again only while its lease cannot have expired. After
	// that, another process may already have settled it.
	at.late = at.unknown && len(b.begins) > 0 && time.Since(began) > b.shortestLease()/2
	var moved *fileError
	if at.class != gone && at.unknown && (at.rows || b.writer != nil) && !errors.As(err, &moved) {
		there, err := j.committed(ctx, b)
		switch {
		case err != nil: // err alone does not show whether the rows exist
			at.class = unclear
		case there:
			at.found = true
			return at
		}
	}
	j.metrics.attemptFailed(ctx, at.class)
	return at
}

// withoutRefused finishes the jobs whose intents cannot be inserted or deleted.
// It returns the remaining jobs, or nil if there are none, and whether a batch
// of theirs may have been committed.
func (j *Journal) withoutRefused(ctx context.Context, jobs []*job, err error, n int, unknown bool) ([]*job, bool) {
	rest, refuseErr := j.refuse(ctx, jobs)
	if refuseErr == nil && len(rest) == len(jobs) {
		rest, refuseErr = j.setAside(ctx, jobs)
	}
	if refuseErr != nil {
		if !j.pause(ctx, n, refuseErr) {
			j.giveUp(jobs, refuseErr, unknown)
			return nil, unknown
		}
		return jobs, unknown
	}
	if len(rest) == len(jobs) && !j.pause(ctx, n, err) {
		j.giveUp(rest, err, unknown)
		return nil, unknown
	}
	return rest, false
}

// storeApart handles a batch with a value that the database rejects. It stores
// the two halves separately, to find the rejected job and store the others. It
// returns false if the caller must retry the whole batch.
func (j *Journal) storeApart(ctx context.Context, jobs []*job, b *batch, err error, n int) (done bool) {
	taken, seqErr := j.seqTaken(ctx, b)
	if seqErr != nil && j.pause(ctx, n, seqErr) {
		return false
	}
	if taken {
		j.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: another process uses this writer ID; continuing with a new one",
			slog.String("writer_id", j.tail.identity.ID))
		if err := j.newTail(); err != nil {
			j.finish(jobs, err)
			return true
		}
		return false
	}
	if len(jobs) == 1 {
		j.finish(jobs, fmt.Errorf("%w: the database rejected the record: %w", audit.ErrEvent, err))
		return true
	}
	j.store(ctx, jobs[:len(jobs)/2])
	j.store(ctx, jobs[len(jobs)/2:])
	return true
}

// flush makes one attempt to store b. Options.Timeout limits the attempt even
// if no caller is waiting.
func (j *Journal) flush(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	began := time.Now()
	err := j.d.flush(ctx, j.db, b)
	j.metrics.flushed(ctx, b, began)
	return err
}

// finish sends err to the callers of jobs. If an asynchronous job failed,
// finish records the loss.
func (j *Journal) finish(jobs []*job, err error) {
	for _, jb := range jobs {
		jb.done <- err
		if jb.async && err != nil {
			j.lose(jb, err)
		}
	}
}

// stored advances the end of the log past b and reports success to the callers.
func (j *Journal) stored(ctx context.Context, b *batch) {
	j.tail.next += int64(len(b.rows))
	if b.writer != nil {
		j.tail.registered = true
		j.signing.Store(b.identity)
	}
	if b.checkpoint == nil {
		j.finish(b.jobs, nil)
		return
	}
	j.tail.tree = b.tree
	if j.pub != nil {
		j.pub.offer(b.identity, b.checkpoint)
	}
	j.finish(b.jobs, j.anchor(ctx))
}

// anchor waits until the last stored checkpoint is published. It returns at
// once unless Options.Acknowledge is AfterPublish.
func (j *Journal) anchor(ctx context.Context) error {
	if j.pub == nil || j.opts.Acknowledge != AfterPublish {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := j.pub.publish(ctx)
		if err == nil {
			return nil
		}
		if !j.pause(ctx, attempt, err) {
			return fmt.Errorf("sqlaudit: the record was stored, but its checkpoint was not published: %w", err)
		}
	}
}

// giveUp fails jobs with err. If unknown is set, the rows may have been stored,
// so their sequence numbers cannot be reused. The journal then continues as a
// new writer with a new log.
func (j *Journal) giveUp(jobs []*job, err error, unknown bool) {
	what := notStored
	if unknown {
		what = maybeStored
		if tailErr := j.newTail(); tailErr != nil {
			err = errors.Join(err, tailErr)
		}
	}
	j.finish(jobs, fmt.Errorf("sqlaudit: storing the record: %s: %w", what, err))
}

// pause waits before the next attempt. It returns false if ctx ends first.
func (j *Journal) pause(ctx context.Context, attempt int, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if attempt == 0 {
		j.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: storing or publishing failed, retrying", slog.Any("error", err))
	}
	timer := time.NewTimer(min(5*time.Millisecond<<min(attempt, 10), 250*time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// refuse finishes the jobs whose intent is not in the expected state, and
// returns the remaining jobs.
func (j *Journal) refuse(ctx context.Context, jobs []*job) (rest []*job, err error) {
	var ids []string
	for _, jb := range jobs {
		if op := jb.opID(); op != "" {
			ids = append(ids, op)
		}
	}
	if len(ids) == 0 {
		return jobs, nil
	}
	query, args, err := sqlx.In("SELECT op_id, holder FROM file_access_intents WHERE op_id IN (?)", ids)
	if err != nil {
		return jobs, err
	}
	var open []struct {
		OpID   string `db:"op_id"`
		Holder string `db:"holder"`
	}
	if err := j.db.SelectContext(ctx, &open, sqlx.Rebind(j.d.bind(), query), args...); err != nil {
		return jobs, err
	}
	holders := make(map[string]string, len(open))
	for _, o := range open {
		holders[o.OpID] = o.Holder
	}
	type verdict struct {
		jb  *job
		err error
	}
	var ended []verdict
	for _, jb := range jobs {
		switch op := jb.opID(); {
		case jb.begin != nil && holders[op] == jb.begin.holder:
			ended = append(ended, verdict{jb, nil}) // an earlier attempt with unknown outcome stored it
		case jb.begin != nil && holders[op] != "":
			ended = append(ended, verdict{jb, fmt.Errorf("%w: operation %s is already open", audit.ErrEvent, op)})
		case jb.settle != nil && holders[op] != jb.settle.holder:
			verdictErr, err := j.notHeld(ctx, jb)
			if err != nil {
				return jobs, err
			}
			ended = append(ended, verdict{jb, verdictErr})
		default:
			rest = append(rest, jb)
		}
	}
	for _, v := range ended {
		v.jb.done <- v.err
	}
	return rest, nil
}

// notHeld returns the result for a settlement whose intent another holder has
// taken over or ended. If an earlier call stored the same settlement but
// returned an error, the result is success. Otherwise the intent was lost, and
// the result is ErrNotHeld.
func (j *Journal) notHeld(ctx context.Context, jb *job) (verdict, err error) {
	for _, a := range jb.prior {
		for _, id := range a.all() {
			there, err := j.exists(ctx, id)
			if err != nil {
				return nil, err
			}
			if there {
				return j.anchor(ctx), nil
			}
		}
	}
	return audit.ErrNotHeld, nil
}

// committed reports whether a transaction with the rows or the writer of b was
// committed.
func (j *Journal) committed(ctx context.Context, b *batch) (bool, error) {
	if len(b.rows) > 0 {
		return j.exists(ctx, b.rows[0].ID)
	}
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	w, err := loadWriter(ctx, j.db, j.d, b.writer.ID)
	return w != nil, err
}

// exists reports whether the entry with the given ID is stored.
func (j *Journal) exists(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	var n int
	err := j.db.GetContext(ctx, &n, sqlx.Rebind(j.d.bind(), "SELECT count(*) FROM file_access_logs WHERE id = ?"), id)
	return n > 0, err
}

// seqTaken reports whether another process has used the sequence numbers of b.
// This happens if a virtual machine is cloned while the program is running.
func (j *Journal) seqTaken(ctx context.Context, b *batch) (bool, error) {
	if len(b.rows) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	var n, signed int
	err := j.db.GetContext(ctx, &n, sqlx.Rebind(j.d.bind(), "SELECT count(*) FROM file_access_logs WHERE writer_id = ? AND seq >= ? AND seq < ?"),
		b.rows[0].WriterID, b.rows[0].Seq, b.rows[0].Seq+int64(len(b.rows)))
	if err == nil {
		err = j.db.GetContext(ctx, &signed, sqlx.Rebind(j.d.bind(), "SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?"),
			b.rows[0].WriterID, b.rows[0].Seq)
	}
	return n+signed > 0, err
}

// shortestLease returns the shortest lease of the intents that b inserts. b
// must insert at least one intent.
func (b *batch) shortestLease() time.Duration {
	least := b.begins[0].lease
	for _, in := range b.begins {
		least = min(least, in.lease)
	}
	return least
}
