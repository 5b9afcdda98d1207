package sqlaudit

// This file implements Verify: it finds the writers of a trail and checks each
// log against the signed and published checkpoints. verify_log.go reads the log
// of one writer.

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

// VerifyOptions configure [Verify]. Nil, or the zero value of a field, selects
// the default.
type VerifyOptions struct {
	// Keys are the verifier keys of the deployment, current and previous, as
	// returned by [GenerateDeploymentKey]. They certify writers. Without keys,
	// writers certify themselves, and every writer's orders to erase or purge
	// entries are accepted.
	Keys []string

	// Published is the location of the published checkpoints, as in
	// [PublishOptions.To]. Without a bucket, Verify checks only the database,
	// and the best possible verdict is [proof.VerdictNotAnchored]. If the trail
	// has published nothing there, the verdict is [proof.VerdictNotCheckable].
	Published Checkpoints

	// LatestPublished fetches only the last published checkpoint of each
	// writer. This checkpoint covers all entries before it. The earlier ones
	// could only reveal a writer that signed two different histories.
	LatestPublished bool

	// Parallel limits the writers that are checked concurrently. Each of them
	// uses one connection. Default: the number of CPUs, at most 8.
	Parallel int

	// MaxFindings limits the findings listed in the report. All findings are
	// counted. Default: 1,000.
	MaxFindings int
}

// Verify checks the trail in pool:
//   - the leaf, the personal fields and the seq of every entry
//   - the root of the tree at every checkpoint
//   - signatures, certificates, and the orders to erase and purge
//   - the published checkpoints, if opts.Published is set
//
// An error means that the check could not be completed. The findings are in the
// report: [proof.Report.Verdict] is the overall result, and [proof.Report.Err]
// returns the findings as an error.
//
// The database is untrusted input. If a value has another type or form than
// this package stores, or is too long, it is a finding. A table that cannot be
// read is also a finding. Verify does not load long values, and malformed
// values of one writer do not stop the check of other writers. An object in the
// bucket counts only if it was signed by a writer that one of opts.Keys
// certifies. Other objects are listed as a remark.
//
// The trail may be in use during the check. Each writer is checked in one
// read-only transaction, which sees a snapshot. Memory use grows with the
// number of writers and by 40 bytes per published checkpoint. It does not grow
// with the number of entries. pool needs a free connection for each of
// opts.Parallel writers, and only the right SELECT on the file_access_ tables.
// It need not be the journal's pool.
func Verify(ctx context.Context, pool *sql.DB, opts *VerifyOptions) (*proof.Report, error) {
	if pool == nil {
		return nil, errors.New("sqlaudit: Verify: the database is nil")
	}
	db := sqlx.NewDb(pool, "")
	d, err := dialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	return verify(ctx, db, d, opts)
}

// Verify checks the journal's trail; see the function [Verify].
// [Options.Timeout] does not apply.
func (j *Journal) Verify(ctx context.Context, opts *VerifyOptions) (*proof.Report, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: verifying: %w", audit.ErrClosed)
	default:
	}
	return verify(ctx, j.readDB, j.d, opts)
}

// verification is one run of Verify.
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
	// List the bucket first. A checkpoint is published only after it is stored,
	// so the database must contain all published checkpoints.
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
				v.find(kindUnreadable, id, -1, "reading the writer's rows failed: %v", err)
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
		r.Remarks = append(r.Remarks, "Only the last published checkpoint of each writer was fetched.")
	}
	return r, nil
}

// prepare checks the options and sets the defaults.
func (v *verification) prepare(opts *VerifyOptions) (err error) {
	if opts != nil {
		v.o = *opts
	}
	switch {
	case v.o.Parallel < 0:
		return fmt.Errorf("sqlaudit: invalid VerifyOptions.Parallel %d: want a positive number, or 0 for the number of CPUs", v.o.Parallel)
	case v.o.MaxFindings < 0:
		return fmt.Errorf("sqlaudit: invalid VerifyOptions.MaxFindings %d: want a positive number, or 0 for 1000", v.o.MaxFindings)
	case v.o.Published.Bucket == nil && v.o.Published.Prefix != "":
		return errors.New("sqlaudit: VerifyOptions.Published has a Prefix, but Bucket is nil: set the bucket of the checkpoints")
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

// The kinds of this package's findings. [proof.Finding] documents them.
const (
	kindUnreadable = "unreadable"
	kindSequence   = "sequence"
	kindSignature  = "signature"
	kindWriter     = "writer"
	kindIntent     = "intent"
)

// find reports a finding about a value that is unreadable or that no writer
// stores.
func (v *verification) find(kind, writerID string, seq int64, format string, args ...any) {
	v.checker.Find(findingOf(kind, writerID, seq, format, args...))
}

func findingOf(kind, writerID string, seq int64, format string, args ...any) proof.Finding {
	return proof.Finding{Kind: kind, WriterID: writerID, Seq: seq, Last: seq, Detail: fmt.Sprintf(format, args...)}
}

// refused reports whether err is a finding: the database cannot process the
// tables or their content.
func (v *verification) refused(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && v.d.refuses(err)
}

// anchors are the published objects of one writer.
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
		v.remarks = append(v.remarks, fmt.Sprintf("%d objects below the prefix %q are not published checkpoints and were ignored.", others, v.o.Published.Prefix))
	}
	return out, nil
}

// fetch reads a published object. found is false if it does not exist.
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
