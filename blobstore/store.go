package blobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
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

// gate is what a store shares with its views: it counts the operations, so that
// Close can wait for them.
type gate struct {
	mu      sync.Mutex
	running int           // operations that entered and have not left
	idle    chan struct{} // made by Close; closed when the last of them leaves
	left    audit.Intent  // the check whose object could not be deleted; see Check
	warned  sync.Once     // see warnSkipped
}

// Open opens the bucket that a Go CDK URL names, such as
// "local:///var/lib/app/files", "mem://" or "s3://bucket?region=eu-central-1",
// and records in log what is done with it. The program must import the URL's
// provider (or package all, for every one). A nil log is an error; to record
// nothing, say audit.Discard.
//
// A log that is not an [audit.Journal] works, but what a crash cuts short can
// then not be found again; see [audit.AsJournal].
//
// A local folder that shows no sign of use, or a bucket that this call has
// created, is refused with [ErrNoBucket] if log is an [audit.Reader] whose last
// 10,000 stored objects include some of this bucket: most likely a volume isn't
// mounted, or the bucket was removed. The error says how to confirm that it is
// meant to be new.
//
// The caller closes the store, and afterwards the log.
func Open(ctx context.Context, url string, log audit.Logger, opts *Options) (*Store, error) {
	if log == nil {
		return nil, &Error{Op: "open", Err: errNilLog}
	}
	if opts != nil && opts.Bucket != "" {
		return nil, &Error{Op: "open", Err: errors.New("Options.Bucket is for New: the URL names the bucket here")}
	}
	b, err := driver.Open(ctx, url)
	if err != nil {
		return nil, &Error{Op: "open", Err: err}
	}
	s, err := NewFromDriver(b, log, opts)
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
	b, ok := s.bucket.(driver.Fresh)
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
			return errors.Join(driver.As(ErrAudit, fmt.Errorf("the bucket %s is unused, and the trail can't be asked whether it should be: %w", info.Bucket, err)), b.Undo(ctx))
		}
		if e.Backend == info.Backend && e.Bucket == info.Bucket {
			return errors.Join(driver.As(ErrNoBucket, fmt.Errorf("the bucket or folder %s is new or empty, but the trail says that objects were stored in it, such as %.300q at %s: "+
				"mount its volume or restore it; if it is meant to be new, %s", info.Bucket, e.Key, e.OccurredAt.UTC().Format(time.RFC3339), confirm)), b.Undo(ctx))
		}
	}
	return nil
}

// New makes a store of any Go CDK bucket, with the capabilities that all of
// them have: no links of its own, and create-only and durable as far as its
// driver is. In the trail its backend is "custom", and its name
// Options.Bucket. The store closes b.
func New(b *blob.Bucket, log audit.Logger, opts *Options) (*Store, error) {
	if b == nil {
		return nil, &Error{Op: "open", Err: errors.New("nil bucket")}
	}
	info := driver.Info{Backend: "custom"}
	if opts != nil {
		info.Bucket = opts.Bucket
	}
	return NewFromDriver(&driver.Base{Bucket: b, BaseInfo: info}, log, opts)
}

// NewFromDriver makes a store of a provider's bucket, which it closes. It is
// for those who write or configure a provider; others use [Open].
func NewFromDriver(b driver.Bucket, log audit.Logger, opts *Options) (*Store, error) {
	if log == nil {
		return nil, &Error{Op: "open", Err: errNilLog}
	}
	if b == nil {
		return nil, &Error{Op: "open", Err: errors.New("nil bucket")}
	}
	return &Store{bucket: b, journal: audit.AsJournal(log), opts: opts.withDefaults(), gate: &gate{}}, nil
}

var errNilLog = errors.New("nil audit.Logger: give one, or audit.Discard to record nothing")

// Close waits for the running operations, so that each is settled, and closes
// the bucket. Readers that were opened before stay usable as far as the backend
// allows. Operations that come later, and a second Close, fail with [ErrClosed].
// Close of a view (see [Store.Sub]) does nothing: it is the store that is closed.
func (s *Store) Close() error {
	if s.prefix != "" {
		return nil
	}
	s.mu.Lock()
	if s.idle != nil {
		s.mu.Unlock()
		return &Error{Op: "close", Err: ErrClosed}
	}
	s.idle = make(chan struct{})
	if s.running == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	<-s.idle
	if err := s.bucket.Close(); err != nil {
		return &Error{Op: "close", Err: err}
	}
	return nil
}

// start counts an operation in, unless the store is closed.
func (g *gate) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle != nil {
		return ErrClosed
	}
	g.running++
	return nil
}

// leave counts an operation out.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.idle != nil {
		close(g.idle)
	}
}

// Capabilities says what the backend can do.
func (s *Store) Capabilities() driver.Capabilities { return s.bucket.Info().Capabilities }

// Backend returns the name of the backend as recorded in the trail, such as
// "local" or "s3".
func (s *Store) Backend() string { return s.bucket.Info().Backend }
