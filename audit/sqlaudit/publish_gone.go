package sqlaudit

// Publishing for writers that are gone: a process that was killed, or that had no
// bucket, leaves a last checkpoint which the others publish for it.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gocloud.dev/gcerrors"
)

const (
	// goneAfter is for how many times [PublishOptions.Every] a writer has to
	// have been quiet before others publish for it. They look as often.
	goneAfter = 6

	// goneWithin is how long ago its last entry may be, so that a deployment
	// which began many writers does not ask the bucket for each of them
	// whenever a process starts.
	goneWithin = 30 * 24 * time.Hour
)

func (j *Journal) quiet() time.Duration { return goneAfter * min(j.opts.Publish.Every, 24*time.Hour) }

// publishGone looks after other writers until ctx ends.
func (j *Journal) publishGone(ctx context.Context) {
	ticker := time.NewTicker(j.quiet())
	defer ticker.Stop()
	known := make(map[string]int64)
	for failing := false; ; {
		err := j.publishOthers(ctx, known)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			j.opts.Logger.LogAttrs(ctx, slog.LevelError, "sqlaudit: checkpoints of other writers can't be published, trying again", slog.Any("error", err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// publishOthers publishes the last checkpoint of each quiet writer. known has
// the size up to which nothing is left to do, for each writer.
func (j *Journal) publishOthers(ctx context.Context, known map[string]int64) error {
	type head struct {
		WriterID string `db:"writer_id"`
		Size     int64  `db:"size"`
	}
	var errs []error
	for last := (head{WriterID: "00000000-0000-0000-0000-000000000000"}); ; {
		const page = 500
		var heads []head
		if err := j.readDB.SelectContext(ctx, &heads, j.bind(`SELECT w.writer_id, COALESCE((SELECT max(c.tree_size) FROM file_access_checkpoints AS c WHERE c.writer_id = w.writer_id), 0) AS size
			FROM file_access_writers AS w WHERE w.writer_id > ? ORDER BY w.writer_id LIMIT `+fmt.Sprint(page)), last.WriterID); err != nil {
			return errors.Join(append(errs, fmt.Errorf("looking for writers: %w", err))...)
		}
		for _, h := range heads {
			last = h
			if h.Size == known[h.WriterID] || j.pub.has(h.WriterID) {
				continue
			}
			done, err := j.publishOther(ctx, h.WriterID, h.Size)
			if err != nil {
				errs = append(errs, err)
			}
			if done {
				known[h.WriterID] = h.Size
			}
		}
		if len(heads) < page {
			return errors.Join(errs...)
		}
	}
}

// publishOther publishes the checkpoint of that size, unless its writer may still
// do so itself, or its entries are gone or old.
func (j *Journal) publishOther(ctx context.Context, id string, size int64) (done bool, err error) {
	var at timestamp
	err = j.readDB.QueryRowxContext(ctx, j.bind("SELECT "+j.d.timeText("created_at")+" FROM file_access_logs WHERE writer_id = ? AND seq = ?"), id, size-1).Scan(&at)
	switch age := time.Since(at.Time); {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("looking at writer %s: %w", id, err)
	case age > goneWithin:
		return true, nil
	case age < j.quiet():
		return false, nil
	}
	c := checkpointRow{WriterID: id, Size: size}
	if err := j.readDB.GetContext(ctx, &c.Note, j.bind("SELECT note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?"), id, size); err != nil {
		return false, fmt.Errorf("reading the checkpoint of writer %s: %w", id, err)
	}
	w, err := loadWriter(ctx, j.readDB, j.d, id)
	if err == nil && w == nil {
		err = errors.New("it is not in the database")
	}
	if err != nil {
		return false, fmt.Errorf("looking at writer %s: %w", id, err)
	}
	// What is not the writer's is left to Verify to report.
	v, _, err := w.certified(nil)
	if err != nil {
		return true, nil //nolint:nilerr // see above
	}
	text, err := openNote(c.Note, v)
	if err != nil {
		return true, nil //nolint:nilerr // see above
	}
	if writer, n, _, err := parseCheckpoint(text); err != nil || writer != id || n != size {
		return true, nil //nolint:nilerr // see above
	}
	return j.pub.publishFor(ctx, string(w.certificate), c)
}

// has reports whether a writer is, or was, this process's own.
func (p *publisher) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[id] != nil
}

// publishFor publishes another writer's checkpoint if it is not published yet.
func (p *publisher) publishFor(ctx context.Context, certificate string, c checkpointRow) (done bool, err error) {
	key := objectKey(p.opts.Prefix, c.WriterID, c.Size)
	rctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	there, err := readObject(rctx, p.opts.Bucket, key)
	switch {
	case err == nil && there == c.Note:
		return true, nil
	case err == nil:
		return true, fmt.Errorf("sqlaudit: publishing %s: another checkpoint stands there", key)
	case gcerrors.Code(err) != gcerrors.NotFound:
		return false, fmt.Errorf("sqlaudit: publishing %s: %w", key, err)
	}
	if err := p.put(ctx, p.opts.Prefix+c.WriterID+"/"+certificateObject, certificate); err != nil {
		return false, err
	}
	err = p.put(ctx, key, c.Note)
	return err == nil, err
}
