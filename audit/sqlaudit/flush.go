package sqlaudit

// The flusher's side of the group commit: one goroutine per journal stores
// batches, and decides what an error means for each caller.

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

// batch is what one transaction stores.
type batch struct {
	jobs    []*job
	writer  *proof.Writer // to register, or nil
	settles []*held
	begins  []*intentRow
	rows    []*row

	register bool // the writer must be stored, even without rows
	identity *identity

	// With rows: the tree that they make, and what is signed.
	tree       proof.Tree
	checkpoint *checkpointRow
}

// run takes whatever waits and stores it, until the queue is closed and empty.
// It does not linger: while one batch is stored, the next one gathers.
func (j *Journal) run() {
	defer close(j.finished)
	defer j.aside.Wait()
	for jobs := j.q.take(j.opts.MaxBatch); jobs != nil; jobs = j.q.take(j.opts.MaxBatch) {
		// A flush does not outlive the last of its callers, if there are any.
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

// prepare gives the entries of jobs their places at the end of the stream.
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
		r.place(j.tail.ids.next(at, own[32:]), j.tail.identity.ID, seq+int64(i), at, own[:32:32])
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

// store stores jobs and reports to each caller. It tries again until ctx ends.
// Once the outcome of an attempt is unknown, it repeats the very same rows, so
// that their IDs and sequence numbers keep them from being stored twice.
func (j *Journal) store(ctx context.Context, jobs []*job) {
	var b *batch
	unknown := false // an attempt may have been committed
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

// attempted returns what is known after an attempt that failed with err. It looks
// for the rows of the batch if they may have been stored.
func (j *Journal) attempted(ctx context.Context, b *batch, err error, unknown bool, began time.Time) attempt {
	at := attempt{class: j.d.classify(err), rows: len(b.rows) > 0, queued: b.jobs[0].async}
	at.unknown = unknown || at.class == unclear || at.class == gone
	// An intent may be inserted again only while its first insertion can't have
	// run out and been settled by another process.
	at.late = at.unknown && len(b.begins) > 0 && time.Since(began) > b.shortestLease()/2
	var moved *fileError
	if at.class != gone && at.unknown && (at.rows || b.writer != nil) && !errors.As(err, &moved) {
		there, err := j.committed(ctx, b)
		switch {
		case err != nil: // nothing can be concluded from the first error, then
			at.class = unclear
		case there:
			at.found = true
			return at
		}
	}
	j.metrics.attemptFailed(ctx, at.class)
	return at
}

// withoutRefused reports to the jobs whose intents can't come in or go out, and
// returns the others, and whether a batch of theirs may have been committed. It
// returns no jobs if none is left to be stored.
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

// storeApart deals with a batch of which the database refuses a value: it stores
// the halves apart, since one of the jobs can't be stored and the others must not
// suffer for it. It returns false if the whole batch is to be tried again.
func (j *Journal) storeApart(ctx context.Context, jobs []*job, b *batch, err error, n int) (done bool) {
	taken, seqErr := j.seqTaken(ctx, b)
	if seqErr != nil && j.pause(ctx, n, seqErr) {
		return false
	}
	if taken {
		j.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: another process writes under this one's id; going on under a new one",
			slog.String("writer_id", j.tail.identity.ID))
		if err := j.newTail(); err != nil {
			j.finish(jobs, err)
			return true
		}
		return false
	}
	if len(jobs) == 1 {
		j.finish(jobs, fmt.Errorf("%w: the database refuses it: %w", audit.ErrEvent, err))
		return true
	}
	j.store(ctx, jobs[:len(jobs)/2])
	j.store(ctx, jobs[len(jobs)/2:])
	return true
}

// flush makes one attempt, which ends by the time limit even if nobody waits.
func (j *Journal) flush(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	began := time.Now()
	err := j.d.flush(ctx, j.db, b)
	j.metrics.flushed(ctx, b, began)
	return err
}

// finish tells the callers how it went.
func (j *Journal) finish(jobs []*job, err error) {
	for _, jb := range jobs {
		jb.done <- err
		if jb.async && err != nil {
			j.lose(jb, err)
		}
	}
}

// stored moves the stream's end behind b.
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

// anchor waits until what is stored is published, if it has to be.
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
			return fmt.Errorf("sqlaudit: the record is stored, but not published: %w", err)
		}
	}
}

// giveUp fails jobs whose time is over. If they may have been stored after all,
// their places in the stream can't be used again, so a new stream begins.
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

// pause waits before another attempt; false if there is no time for one.
func (j *Journal) pause(ctx context.Context, attempt int, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if attempt == 0 {
		j.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: storing or publishing fails, trying again", slog.Any("error", err))
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

// refuse ends the jobs whose intents are not as they expect, and returns the
// others.
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
			ended = append(ended, verdict{jb, nil}) // an attempt of unknown end had stored it
		case jb.begin != nil && holders[op] != "":
			ended = append(ended, verdict{jb, fmt.Errorf("%w: operation %s is open already", audit.ErrEvent, op)})
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

// notHeld tells an intent that was lost from one that an earlier call had
// settled, although it failed for its caller.
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
// stored.
func (j *Journal) committed(ctx context.Context, b *batch) (bool, error) {
	if len(b.rows) > 0 {
		return j.exists(ctx, b.rows[0].ID)
	}
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	w, err := loadWriter(ctx, j.db, j.d, b.writer.ID)
	return w != nil, err
}

// exists reports whether the entry of that id is stored.
func (j *Journal) exists(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, j.opts.Timeout)
	defer cancel()
	var n int
	err := j.db.GetContext(ctx, &n, sqlx.Rebind(j.d.bind(), "SELECT count(*) FROM file_access_logs WHERE id = ?"), id)
	return n > 0, err
}

// seqTaken reports whether somebody else's entries stand where b's should,
// which happens when a machine was cloned while it ran.
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

func (b *batch) shortestLease() time.Duration {
	least := b.begins[0].lease
	for _, in := range b.begins {
		least = min(least, in.lease)
	}
	return least
}
