package sqlaudit

// Verify: the whole trail, checked against what its writers signed and
// published. This file finds the writers; verify_stream.go checks one of them.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/blobtrail/blobtrail/audit"
)

// VerifyOptions say what to hold a trail against. Nil, or the zero value of a
// field, means the default.
type VerifyOptions struct {
	// Keys are the verifier keys that may vouch for a writer: those of the
	// deployment, present and past, as [NewDeploymentKey] returned them.
	// Without any, writers vouch for themselves, and anybody's order to erase
	// or to remove entries is taken for a valid one.
	Keys []string

	// Bucket holds the published checkpoints, and Prefix is what
	// [PublishOptions.Prefix] was. Nil: only the database is checked, and the
	// verdict is [VerdictNotAnchored] at best. If the bucket has nothing that
	// the trail published, it is [VerdictNotCheckable].
	Bucket *blob.Bucket
	Prefix string

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

// Verify checks the trail in db: every entry's leaf, personal fields and place,
// the root of the tree at every checkpoint, signatures, certificates, what was
// erased and removed, and what the bucket has against what the database has. An
// error means that the check could not be done; what it found is in the report,
// whose [Report.Err] is an error too. [Report.Verdict] is the result in a word.
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
// entries. db needs a free connection for each of opts.Parallel writers, in
// file_access_ tables nothing but SELECT, and need not be the journal's.
func Verify(ctx context.Context, db *sqlx.DB, opts *VerifyOptions) (*Report, error) {
	if db == nil {
		return nil, errors.New("sqlaudit: Verify without a database")
	}
	d, err := dialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	return verify(ctx, db, d, opts)
}

// Verify checks the journal's own trail; see the function [Verify]. It is not
// bound by [Options.Timeout].
func (j *Journal) Verify(ctx context.Context, opts *VerifyOptions) (*Report, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: verifying: %w", audit.ErrClosed)
	default:
	}
	return verify(ctx, j.readDB, j.d, opts)
}

// verification is one run.
type verification struct {
	collector
	db      *sqlx.DB
	d       dialect
	o       VerifyOptions
	keys    []note.Verifier
	signers sync.Map // the writers that may sign orders: id to *signerState

	anchored   atomic.Bool  // the bucket has a checkpoint that this trail published
	unverified atomic.Int64 // objects in the bucket that no writer of this trail signed
}

func verify(ctx context.Context, db *sqlx.DB, d dialect, opts *VerifyOptions) (*Report, error) {
	v := &verification{db: db, d: d}
	if opts != nil {
		v.o = *opts
	}
	switch {
	case v.o.Parallel < 0:
		return nil, fmt.Errorf("sqlaudit: VerifyOptions.Parallel is %d: want a positive number, or 0 for the number of CPUs", v.o.Parallel)
	case v.o.MaxFindings < 0:
		return nil, fmt.Errorf("sqlaudit: VerifyOptions.MaxFindings is %d: want a positive number, or 0 for 1000", v.o.MaxFindings)
	}
	if v.o.Parallel == 0 {
		v.o.Parallel = min(8, runtime.GOMAXPROCS(0))
	}
	if most := db.Stats().MaxOpenConnections; most > 0 {
		v.o.Parallel = min(v.o.Parallel, most)
	}
	if v.limit = v.o.MaxFindings; v.limit == 0 {
		v.limit = 1000
	}
	var err error
	if v.keys, err = verifiers(v.o.Keys); err != nil {
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
			err := v.stream(gctx, id, published[id])
			if v.refused(gctx, err) {
				v.find(Finding{Kind: FindingUnreadable, WriterID: id, Seq: -1, Last: -1, Detail: fmt.Sprintf("the database can't read its rows: %v", err)})
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
	v.remark()
	switch {
	case v.r.Total > 0:
		v.r.Verdict = VerdictTampered
	case v.o.Bucket == nil:
		v.r.Verdict = VerdictNotAnchored
	case !v.anchored.Load():
		v.r.Verdict = VerdictNotCheckable
	default:
		v.r.Verdict = VerdictSound
	}
	return v.report(), nil
}

// refused says that err is a finding: the database itself can't make sense of
// the tables or of what they hold.
func (v *verification) refused(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && v.d.refuses(err)
}

// remark says what the report can't know.
func (v *verification) remark() {
	add := func(format string, args ...any) { v.r.Remarks = append(v.r.Remarks, fmt.Sprintf(format, args...)) }
	if len(v.keys) == 0 {
		add("No deployment key was given: each writer vouches for itself. Whoever can write to the database could have put writers of their own in the place of others; of that, only published checkpoints would tell. They could also have had such a writer order entries to be erased or removed; of that, nothing would.")
	}
	if v.o.Bucket == nil {
		add("No bucket was given: the end of a log may have been cut off, writers may have been removed whole, or the database may be an older copy, and nothing here would show it.")
		return
	}
	add("What was recorded after the last published checkpoint of its writer could have been cut off unseen; %d entries that are there are that new.", v.r.Unpublished())
	if n := v.unverified.Load(); n > 0 {
		add("%d objects below the prefix %q were left out: no writer of this trail signed them, or no key that was given certifies their writer.", n, v.o.Prefix)
	}
	if v.o.LatestPublished {
		add("Of the published checkpoints only the last of each writer was fetched.")
	}
}

// anchors is what the bucket has of one writer.
type anchors struct {
	certificate bool
	sizes       []int64 // ascending
}

func (v *verification) publishedWriters(ctx context.Context) (map[string]*anchors, error) {
	if v.o.Bucket == nil {
		return nil, nil
	}
	out := make(map[string]*anchors)
	others := 0
	for it := v.o.Bucket.List(&blob.ListOptions{Prefix: v.o.Prefix}); ; {
		obj, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: listing the published checkpoints: %w", err)
		}
		writer, name, ok := strings.Cut(strings.TrimPrefix(obj.Key, v.o.Prefix), "/")
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
		case err == nil && size > 0 && obj.Key == objectKey(v.o.Prefix, writer, size):
			a.sizes = append(a.sizes, size)
		default:
			others++
		}
	}
	for _, a := range out {
		slices.Sort(a.sizes)
	}
	if others > 0 {
		v.r.Remarks = append(v.r.Remarks, fmt.Sprintf("%d objects below the prefix %q are not published checkpoints and were left out.", others, v.o.Prefix))
	}
	return out, nil
}

// signerState is whether a writer may sign orders.
type signerState struct {
	v   note.Verifier
	err error
}

// checkOrder returns the text of a signed order.
func (v *verification) checkOrder(ctx context.Context, db getter, signed string) (string, error) {
	id, err := signerOf(signed)
	if err != nil {
		return "", err
	}
	s, ok := v.signers.Load(id)
	if !ok {
		w, err := loadWriter(ctx, db, v.d, id)
		if err != nil {
			return "", &queryError{err}
		}
		state := &signerState{err: errors.New("its writer is not in the database")}
		if w != nil {
			state.v, _, state.err = w.certified(v.keys)
		}
		s, _ = v.signers.LoadOrStore(id, state)
	}
	state := s.(*signerState)
	if state.err != nil {
		return "", fmt.Errorf("it is signed by writer %s: %w", id, state.err)
	}
	return openNote(signed, state.v)
}

// queryError is an error of the database, which is no finding.
type queryError struct{ error }

func (e *queryError) Unwrap() error { return e.error }

// fetch reads a published object; found is false if it is not there.
func (v *verification) fetch(ctx context.Context, key string) (text string, found bool, err error) {
	for attempt := 0; ; attempt++ {
		text, err = readObject(ctx, v.o.Bucket, key)
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
