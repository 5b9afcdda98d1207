package sqlaudit

// Verify: the whole trail, checked against what its writers signed and
// published. This file finds the writers; verify_log.go reads one of them.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// VerifyOptions say what to hold a trail against. Nil, or the zero value of a
// field, means the default.
type VerifyOptions struct {
	// Keys are the verifier keys that may vouch for a writer: those of the
	// deployment, present and past, as [GenerateDeploymentKey] returned them.
	// Without any, writers vouch for themselves, and anybody's order to erase
	// or to remove entries is taken for a valid one.
	Keys []string

	// Published is the location of the published checkpoints, as in
	// [PublishOptions.To]. Without a bucket, Verify checks only the database, and
	// the best verdict is [proof.VerdictNotAnchored]. If the trail published
	// nothing there, the verdict is [proof.VerdictNotCheckable].
	Published Checkpoints

	// LatestPublished fetches only the last published checkpoint of each
	// writer. It covers all entries before it; the earlier ones could only
	// show a writer that signed two histories.
	LatestPublished bool

	// Parallel is how many writers are checked at a time, each on a connection
	// of its own. Default: the number of CPUs, at most 8.
	Parallel int

	// MaxFindings is how many findings the report lists; all are counted.
	// Default: 1,000.
	MaxFindings int
}

// Verify checks the trail in pool: every entry's leaf, personal fields and place,
// the root of the tree at every checkpoint, signatures, certificates, what was
// erased and removed, and what the bucket has against what the database has. An
// error means that the check could not be done; what it found is in the report,
// whose [proof.Report.Err] is an error too. [proof.Report.Verdict] is the result in a word.
//
// The database is untrusted input. A value that this package does not store, such
// as one of another type, in another form or too long, is a finding, and so is a
// table that can't be read. Such a value is not loaded if it is long, and does not
// keep other writers from being checked. An object in the bucket counts only if a
// writer signed it that one of opts.Keys certifies; others are a remark.
//
// The trail may be written to meanwhile: each writer is checked as it was at
// one moment, in one transaction that only reads. Memory grows with the number
// of writers and, by 40 bytes each, of published checkpoints; not with that of
// entries. pool needs a free connection for each of opts.Parallel writers, in
// file_access_ tables nothing but SELECT, and need not be the journal's.
func Verify(ctx context.Context, pool *sql.DB, opts *VerifyOptions) (*proof.Report, error) {
	if pool == nil {
		return nil, errors.New("sqlaudit: Verify without a database")
	}
	db := sqlx.NewDb(pool, "")
	d, err := dialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	return verify(ctx, db, d, opts)
}

// Verify checks the journal's own trail; see the function [Verify]. It is not
// bound by [Options.Timeout].
func (j *Journal) Verify(ctx context.Context, opts *VerifyOptions) (*proof.Report, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: verifying: %w", audit.ErrClosed)
	default:
	}
	return verify(ctx, j.readDB, j.d, opts)
}

// verification is one run.
type verification struct {
	db      *sqlx.DB
	d       dialect
	o       VerifyOptions
	keys    []note.Verifier
	checker *proof.Checker
	remarks []string
}

func verify(ctx context.Context, db *sqlx.DB, d dialect, opts *VerifyOptions) (*proof.Report, error) {
	v := &verification{db: db, d: d}
	if err := v.prepare(opts); err != nil {
		return nil, err
	}
	// The bucket first: a checkpoint is published after it is stored, so what
	// the bucket has, the database had.
	published, err := v.publishedWriters(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := v.storedWriters(ctx)
	if err != nil {
		return nil, err
	}
	for id := range published {
		ids[id] = true
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.o.Parallel)
	for id := range ids {
		g.Go(func() error {
			err := v.verifyWriter(gctx, id, published[id])
			if v.refused(gctx, err) {
				v.find(kindUnreadable, id, -1, "the database can't read its rows: %v", err)
				return nil
			}
			if err != nil {
				return fmt.Errorf("sqlaudit: verifying writer %s: %w", id, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := v.checkIntents(ctx); err != nil {
		return nil, err
	}
	r := v.checker.Report(v.o.Published.Bucket != nil)
	r.Remarks = append(r.Remarks, v.remarks...)
	if v.o.Published.Bucket != nil && v.o.LatestPublished {
		r.Remarks = append(r.Remarks, "Of the published checkpoints only the last of each writer was fetched.")
	}
	return r, nil
}

// prepare takes over the options.
func (v *verification) prepare(opts *VerifyOptions) (err error) {
	if opts != nil {
		v.o = *opts
	}
	switch {
	case v.o.Parallel < 0:
		return fmt.Errorf("sqlaudit: VerifyOptions.Parallel is %d: want a positive number, or 0 for the number of CPUs", v.o.Parallel)
	case v.o.MaxFindings < 0:
		return fmt.Errorf("sqlaudit: VerifyOptions.MaxFindings is %d: want a positive number, or 0 for 1000", v.o.MaxFindings)
	case v.o.Published.Bucket == nil && v.o.Published.Prefix != "":
		return errors.New("sqlaudit: VerifyOptions.Published has a Prefix and no Bucket: want the bucket of the checkpoints")
	}
	if v.o.Parallel == 0 {
		v.o.Parallel = min(8, runtime.GOMAXPROCS(0))
	}
	if most := v.db.Stats().MaxOpenConnections; most > 0 {
		v.o.Parallel = min(v.o.Parallel, most)
	}
	if v.o.MaxFindings == 0 {
		v.o.MaxFindings = 1000
	}
	if v.keys, err = proof.ParseKeys(v.o.Keys...); err != nil {
		return err
	}
	v.checker, err = proof.NewChecker(v.o.MaxFindings, v.o.Keys...)
	return err
}

// The kinds of the findings of this package. [proof.Finding] documents them.
const (
	kindUnreadable = "unreadable"
	kindSequence   = "sequence"
	kindSignature  = "signature"
	kindWriter     = "writer"
	kindIntent     = "intent"
)

// find reports something that can't be read, or that no writer stores.
func (v *verification) find(kind, writerID string, seq int64, format string, args ...any) {
	v.checker.Find(findingOf(kind, writerID, seq, format, args...))
}

func findingOf(kind, writerID string, seq int64, format string, args ...any) proof.Finding {
	return proof.Finding{Kind: kind, WriterID: writerID, Seq: seq, Last: seq, Detail: fmt.Sprintf(format, args...)}
}

// refused says that err is a finding: the database itself can't make sense of
// the tables or of what they hold.
func (v *verification) refused(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && v.d.refuses(err)
}

// anchors is what the bucket has of one writer.
type anchors struct {
	certificate bool
	sizes       []int64 // ascending
}

func (v *verification) publishedWriters(ctx context.Context) (map[string]*anchors, error) {
	if v.o.Published.Bucket == nil {
		return nil, nil
	}
	out := make(map[string]*anchors)
	others := 0
	for it := v.o.Published.Bucket.List(&blob.ListOptions{Prefix: v.o.Published.Prefix}); ; {
		obj, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: listing the published checkpoints: %w", err)
		}
		writer, name, ok := strings.Cut(strings.TrimPrefix(obj.Key, v.o.Published.Prefix), "/")
		if !ok || checkUUID(writer) != nil {
			others++
			continue
		}
		a := out[writer]
		if a == nil {
			a = new(anchors)
			out[writer] = a
		}
		size, err := strconv.ParseInt(name, 10, 64)
		switch {
		case name == certificateObject:
			a.certificate = true
		case err == nil && size > 0 && obj.Key == objectKey(v.o.Published.Prefix, writer, size):
			a.sizes = append(a.sizes, size)
		default:
			others++
		}
	}
	for _, a := range out {
		slices.Sort(a.sizes)
	}
	if others > 0 {
		v.remarks = append(v.remarks, fmt.Sprintf("%d objects below the prefix %q are not published checkpoints and were left out.", others, v.o.Published.Prefix))
	}
	return out, nil
}

// fetch reads a published object; found is false if it is not there.
func (v *verification) fetch(ctx context.Context, key string) (text string, found bool, err error) {
	for attempt := 0; ; attempt++ {
		text, err = readObject(ctx, v.o.Published.Bucket, key)
		switch {
		case err == nil:
			return text, true, nil
		case gcerrors.Code(err) == gcerrors.NotFound:
			return "", false, nil
		case attempt == 2 || ctx.Err() != nil:
			return "", false, fmt.Errorf("reading the published object %s: %w", key, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond << attempt):
		}
	}
}
