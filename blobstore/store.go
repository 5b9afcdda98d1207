package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Store combines a bucket, a trail and a policy. It records every operation on
// the bucket's objects in the trail. All methods are safe for concurrent use.
type Store struct {
	bucket  driver.Bucket
	journal audit.Journal
	opts    Options
	prefix  string // of all keys; see Sub
	*gate
}

// Open opens the bucket named by a Go CDK URL, such as
// "local:///var/lib/app/files", "mem://" or "s3://bucket?region=eu-central-1".
// The program must import the provider of the URL, or package all.
//
// The store records its operations in journal, which must not be nil. Pass
// [audit.Discard] to record nothing. [audit.AsJournal] converts a plain
// [audit.Logger] to a journal; with such a journal, operations interrupted by a
// crash cannot be found again.
//
// Open protects against a volume that is not mounted or a bucket that was
// removed. If a local folder looks unused, or Open has just created the bucket,
// Open searches the last 10,000 objects stored according to the trail. If some
// of them belong to this bucket, Open fails with [ErrNoBucket]. The error
// explains how to confirm that the bucket is intended to be new. This check
// requires a journal that implements [audit.Reader].
//
// The caller must close the store, and after that the journal.
func Open(ctx context.Context, url string, journal audit.Journal, opts *Options) (*Store, error) {
	if journal == nil {
		return nil, &Error{Op: "open", Err: errNilJournal}
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	b, err := driver.Open(ctx, url, o.Credentials)
	if err != nil {
		return nil, &Error{Op: "open", Err: err}
	}
	o.Credentials = driver.Credentials{}
	s, err := New(b, journal, &o)
	if err != nil {
		return nil, err
	}
	if err := s.refuseFresh(ctx); err != nil {
		return nil, &Error{Op: "open", Err: errors.Join(err, b.Close())}
	}
	return s, nil
}

// freshEntries bounds the number of entries read by refuseFresh.
const freshEntries = 10_000

// refuseFresh refuses a bucket that looks unused although, according to the
// trail, objects were stored in it.
func (s *Store) refuseFresh(ctx context.Context) error {
	b, ok := s.bucket.(provider.Fresh)
	if !ok {
		return nil
	}
	trail, ok := s.journal.(audit.Reader)
	if !ok {
		return nil
	}
	fresh, confirm := b.Fresh()
	if !fresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	info := s.bucket.Info()
	for e, err := range trail.Entries(ctx, audit.Query{
		Actions:  []audit.Action{audit.ActionUpload, audit.ActionCopy, audit.ActionMove},
		Outcomes: []audit.Outcome{audit.OutcomeOK}, NewestFirst: true, Limit: freshEntries,
	}) {
		if err != nil {
			return errors.Join(provider.As(ErrAudit, fmt.Errorf("the bucket %s is unused, and reading the trail to confirm that it is new failed: %w", info.Bucket, err)), b.Undo(ctx))
		}
		if e.Backend == info.Backend && e.Bucket == info.Bucket {
			return errors.Join(provider.As(ErrNoBucket, fmt.Errorf("the bucket or folder %s is new or empty, but the trail records objects in it, such as %.300q at %s: "+
				"mount its volume or restore it; if it is intended to be new, %s", info.Bucket, e.Key, e.OccurredAt.UTC().Format(time.RFC3339), confirm)), b.Undo(ctx))
		}
	}
	return nil
}

// New returns a store for a bucket opened by a provider. Closing the store
// closes the bucket. [driver.FromBlob] adapts any bucket of the Go CDK:
//
//	store, err := blobstore.New(driver.FromBlob(b, driver.Info{Bucket: "invoices"}), journal, nil)
func New(b driver.Bucket, journal audit.Journal, opts *Options) (*Store, error) {
	if journal == nil {
		return nil, &Error{Op: "open", Err: errNilJournal}
	}
	if b == nil {
		return nil, &Error{Op: "open", Err: errors.New("the bucket is nil: pass one opened by a provider, or use Open")}
	}
	if opts != nil && !opts.Credentials.IsZero() {
		return nil, &Error{Op: "open", Err: errors.New("Options.Credentials must be empty with New: the bucket is open already")}
	}
	return &Store{bucket: b, journal: journal, opts: opts.withDefaults(journal), gate: &gate{closeBucket: b.Close}}, nil
}

var errNilJournal = errors.New("the audit.Journal is nil: pass one, or audit.Discard to record nothing")

// Info describes the backend: its name and the name of the bucket, as recorded
// in the trail, and its capabilities.
func (s *Store) Info() driver.Info { return s.bucket.Info() }
