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

// Store is a bucket, a trail and a policy: the only way to touch the files.
// All methods may be called concurrently.
type Store struct {
	bucket  driver.Bucket
	journal audit.Journal
	opts    Options
	prefix  string // of all its keys; see Sub
	*gate
}

// Open opens the bucket that a Go CDK URL names, such as
// "local:///var/lib/app/files", "mem://" or "s3://bucket?region=eu-central-1",
// and records in journal what is done with it. The program must import the URL's
// provider (or package all, for every one). A nil journal is an error.
// [audit.Discard] records nothing. [audit.AsJournal] makes a journal of a plain
// [audit.Logger]; an operation that a crash interrupts can then not be found again.
//
// A local folder that shows no sign of use, or a bucket that this call has
// created, is refused with [ErrNoBucket] if journal is an [audit.Reader] whose last
// 10,000 stored objects include some of this bucket: most likely a volume isn't
// mounted, or the bucket was removed. The error says how to confirm that it is
// meant to be new.
//
// The caller closes the store, and afterwards the journal.
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

// freshEntries bounds the entries that refuseFresh reads.
const freshEntries = 10_000

// refuseFresh refuses a bucket that looks unused although the trail says that
// objects were stored in it.
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
			return errors.Join(provider.As(ErrAudit, fmt.Errorf("the bucket %s is unused, and the trail can't be asked whether it should be: %w", info.Bucket, err)), b.Undo(ctx))
		}
		if e.Backend == info.Backend && e.Bucket == info.Bucket {
			return errors.Join(provider.As(ErrNoBucket, fmt.Errorf("the bucket or folder %s is new or empty, but the trail says that objects were stored in it, such as %.300q at %s: "+
				"mount its volume or restore it; if it is meant to be new, %s", info.Bucket, e.Key, e.OccurredAt.UTC().Format(time.RFC3339), confirm)), b.Undo(ctx))
		}
	}
	return nil
}

// New makes a store of a bucket that a provider opened, which the store closes.
// [driver.FromBlob] makes one of any Go CDK bucket:
//
//	store, err := blobstore.New(driver.FromBlob(b, driver.Info{Bucket: "invoices"}), journal, nil)
func New(b driver.Bucket, journal audit.Journal, opts *Options) (*Store, error) {
	if journal == nil {
		return nil, &Error{Op: "open", Err: errNilJournal}
	}
	if b == nil {
		return nil, &Error{Op: "open", Err: errors.New("nil bucket")}
	}
	if opts != nil && !opts.Credentials.IsZero() {
		return nil, &Error{Op: "open", Err: errors.New("Options.Credentials are for Open: the bucket is open already")}
	}
	return &Store{bucket: b, journal: journal, opts: opts.withDefaults(journal), gate: &gate{closeBucket: b.Close}}, nil
}

var errNilJournal = errors.New("nil audit.Journal: pass one, or audit.Discard to record nothing")

// Info describes the store's backend: its name and that of the bucket, as recorded
// in the trail, and what the backend can do.
func (s *Store) Info() driver.Info { return s.bucket.Info() }
