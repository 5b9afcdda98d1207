package sqlaudit

// This file implements publishing for other writers. If a process was killed or
// had no bucket, the remaining processes publish its last checkpoint.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"gocloud.dev/gcerrors"
	"golang.org/x/mod/sumdb/note"
)

const (
	// goneAfter is a multiple of [PublishOptions.Every]. After this time
	// without new entries, other processes publish for a writer. They check at
	// the same interval.
	goneAfter = 6

	// goneWithin limits the age of a writer's last entry. Without the limit,
	// each process of a deployment with many writers would query the bucket for
	// all of them when it starts.
	goneWithin = 30 * 24 * time.Hour
)

func (j *Journal) quiet() time.Duration { return goneAfter * min(j.opts.Publish.Every, 24*time.Hour) }

// publishGone publishes for other writers until ctx ends.
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
			j.opts.Logger.LogAttrs(ctx, slog.LevelError, "sqlaudit: publishing checkpoints of other writers failed, retrying", slog.Any("error", err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// publishOthers publishes the last checkpoint of each quiet writer. known
// contains, for each writer, the size of the log that is already handled.
func (j *Journal) publishOthers(ctx context.Context, known map[string]int64) error {
	if len(j.trust.keys) == 0 {
		return nil
	}
	type head struct {
		WriterID string `db:"writer_id"`
		Size     int64  `db:"size"`
	}
	var errs []error
	query := j.bind(`SELECT w.writer_id, COALESCE((SELECT max(c.tree_size) FROM file_access_checkpoints AS c WHERE c.writer_id = w.writer_id` + inCheckpoints.and(j.d) + `), 0) AS size
		FROM file_access_writers AS w WHERE w.writer_id > ?` + inWriters.and(j.d) + ` ORDER BY w.writer_id LIMIT ` + strconv.Itoa(headsPage))
	for last := nilUUID; ; {
		var heads []head
		if err := j.readDB.SelectContext(ctx, &heads, query, last); err != nil {
			return errors.Join(append(errs, fmt.Errorf("looking for writers: %w", err))...)
		}
		for _, h := range heads {
			if h.WriterID <= last {
				return errors.Join(append(errs, fmt.Errorf("looking for writers: after %s comes %.40q", last, h.WriterID))...)
			}
			last = h.WriterID
			if h.Size == known[h.WriterID] || !isUUID(h.WriterID) || j.pub.has(h.WriterID) {
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
		if len(heads) < headsPage {
			return errors.Join(errs...)
		}
	}
}

// headsPage is the number of writers that one statement reads.
const headsPage = 500

// publishOther publishes the last checkpoint of a writer. size is the writer's
// largest tree_size in the database. publishOther does nothing if the writer
// may still publish, if its entries were removed or are old, or if its key is
// not certified. Anyone who can write to the database can add writers and
// checkpoints.
func (j *Journal) publishOther(ctx context.Context, id string, size int64) (done bool, err error) {
	w, err := loadWriter(ctx, j.readDB, j.d, id)
	if err == nil && w == nil {
		err = errors.New("the writer is not in file_access_writers")
	}
	if err != nil {
		return false, fmt.Errorf("looking at writer %s: %w", id, err)
	}
	v, by, err := w.certified(j.trust.keys)
	if err != nil || by == "" {
		return true, nil //nolint:nilerr // left to Verify to report
	}
	c, err := j.lastSigned(ctx, id, v)
	if err != nil {
		return false, fmt.Errorf("reading the checkpoints of writer %s: %w", id, err)
	}
	if c == nil {
		return true, nil
	}
	var at any
	err = j.readDB.QueryRowxContext(ctx, j.bind("SELECT "+j.d.timeText("created_at")+" FROM file_access_logs WHERE writer_id = ? AND seq = ?"), id, c.Size-1).Scan(&at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c.Size == size, nil
	case err != nil:
		return false, fmt.Errorf("looking at writer %s: %w", id, err)
	}
	created, err := j.d.form().time(at)
	switch age := time.Since(created); {
	case err != nil || age > goneWithin: // Verify reports malformed times
		return c.Size == size, nil //nolint:nilerr // see above
	case age < j.quiet():
		return false, nil
	}
	done, err = j.pub.publishFor(ctx, w.Certificate, *c)
	return done && c.Size == size, err
}

// lastSigned returns the largest checkpoint that the writer signed, or nil.
func (j *Journal) lastSigned(ctx context.Context, id string, v note.Verifier) (*checkpointRow, error) {
	const page = 100
	query := j.bind("SELECT tree_size, " + j.d.short(value{column: "note", limit: maxSigned}) + " FROM file_access_checkpoints WHERE writer_id = ? AND tree_size <= ?" +
		inCheckpoints.and(j.d) + " ORDER BY tree_size DESC LIMIT " + strconv.Itoa(page))
	for below := int64(math.MaxInt64); ; {
		var list []checkpointRow
		err := selectRaw(ctx, j.readDB, query, []any{id, below}, 2, func(v []any) { list = append(list, readCheckpoint(j.d, id, v)) })
		if err != nil {
			return nil, err
		}
		for i := range list {
			if list[i].is(v) == nil {
				return &list[i], nil
			}
		}
		if len(list) < page || list[page-1].Size < 2 {
			return nil, nil
		}
		below = list[page-1].Size - 1
	}
}

// has reports whether the writer belongs to this process.
func (p *publisher) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[id] != nil
}

// publishFor publishes the checkpoint of another writer, unless it is
// published.
func (p *publisher) publishFor(ctx context.Context, certificate string, c checkpointRow) (done bool, err error) {
	key := objectKey(p.opts.To.Prefix, c.WriterID, c.Size)
	rctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	there, err := readObject(rctx, p.opts.To.Bucket, key)
	switch {
	case err == nil && there == c.Note:
		return true, nil
	case err == nil:
		return true, fmt.Errorf("sqlaudit: publishing %s: a different checkpoint already exists", key)
	case gcerrors.Code(err) != gcerrors.NotFound:
		return false, fmt.Errorf("sqlaudit: publishing %s: %w", key, err)
	}
	if err := p.put(ctx, p.opts.To.Prefix+c.WriterID+"/"+certificateObject, certificate); err != nil {
		return false, err
	}
	err = p.put(ctx, key, c.Note)
	return err == nil, err
}
