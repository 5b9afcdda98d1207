package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// AttrSource is the name of an attribute in the recorded entry of a copy. Its
// value is the source of the copy, such as "local:invoices/1.pdf".
const AttrSource = "transferred_from"

// ErrIncomplete reports that some objects could not be copied, or that some
// files of the source are not objects. The report lists them.
var ErrIncomplete = errors.New("some objects were not copied")

// ErrDiffers reports that the destination has a different object under the key.
// It also matches fs.ErrExist.
var ErrDiffers = fmt.Errorf("the destination has a different object under this key: %w", fs.ErrExist)

// Options configures [Copy] and [Count]. Nil and the zero value select the
// defaults.
type Options struct {
	// Prefix selects the keys of the source beginning with it.
	Prefix string
	// Key returns the key at the destination, or false to skip the object. If
	// nil, the key is unchanged. It may be called concurrently.
	Key func(source string) (key string, ok bool)
	// Resource returns the application's record that a file belongs to, for the
	// trail of the destination. If nil, no resource is recorded. It may be
	// called concurrently.
	Resource func(*blobstore.Object) audit.Resource

	// Parallel is the number of objects copied concurrently. Zero means 4.
	Parallel int
	// BytesPerSecond limits the total rate of reading from the source. Zero
	// means unlimited.
	BytesPerSecond int64
	// DryRun compares the objects and reports the ones to copy, but copies
	// none. If an object has no stored digest on either side, its content is
	// read.
	DryRun bool
	// Overwrite allows a different object at the destination to be replaced. If
	// false, the result of such an object is [ErrDiffers].
	Overwrite bool
	// Reread reads every copy again and compares its digest, for backends that
	// may not verify uploads.
	Reread bool

	// Progress is called with the number of bytes just copied. It may be nil
	// and may be called concurrently.
	Progress func(bytes int64)
	// Each is called with the result of each object, one call at a time. It may
	// be nil.
	Each func(Result)
}

// Status is the outcome for an object.
type Status string

const (
	Copied  Status = "copied"  // copied, or to be copied in a dry run
	Present Status = "present" // already at the destination, with the same content
	Skipped Status = "skipped" // omitted by Options.Key
	// Unreachable is the status of a file in the source that is not an object,
	// such as a symbolic link (see blobstore's Store.Skipped). Result.Err gives
	// the reason.
	Unreachable Status = "unreachable"
	Failed      Status = "failed"
)

// Result is the outcome for an object.
type Result struct {
	Source string // key at the source
	Key    string // key at the destination
	Size   int64  // bytes
	Status Status
	Err    error // the reason for Failed or Unreachable
}

// Report summarizes a transfer.
type Report struct {
	Copied, Present, Skipped, Unreachable, Failed int
	Bytes                                         int64 // total size of the copied objects
	Elapsed                                       time.Duration
	Failures                                      []Result // the first 1,000 results that are failed or unreachable
}

const maxFailures = 1000

// Copy copies the selected objects of src to dst. The actor of ctx is the actor
// in both stores. The report is never nil.
//
// If some objects could not be copied, Copy continues with the others and
// returns [ErrIncomplete]. It stops early if continuing would be pointless: ctx
// ended, a listing failed, a bucket does not exist, or a trail is unavailable.
//
// A file of src that is not an object cannot be copied. Its status is
// Unreachable, and the error is ErrIncomplete, unless Options.Key omits its
// path.
//
// Copy transfers the content, its encoding and type, the file name, the cache
// control and the metadata. An object without a stored digest, such as one
// written by another program, is read twice, because the digest is computed
// first. If no content type was set, it is detected from the content. Objects
// stored in src while Copy runs may or may not be copied.
func Copy(ctx context.Context, dst, src *blobstore.Store, opts *Options) (*Report, error) {
	c := &copier{dst: dst, src: src, report: &Report{}}
	if opts != nil {
		c.Options = *opts
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	if c.BytesPerSecond > 0 {
		c.limit = rate.NewLimiter(rate.Limit(c.BytesPerSecond), burst)
	}
	began := time.Now()
	err := c.all(ctx)
	c.report.Elapsed = time.Since(began)
	if err == nil && len(c.report.Failures) > 0 {
		r := c.report
		err = fmt.Errorf("%w: of %d objects %d failed, and %d files are unreachable, such as %.300q: %w", ErrIncomplete,
			r.Copied+r.Present+r.Skipped+r.Failed, r.Failed, r.Unreachable, r.Failures[0].Source, r.Failures[0].Err)
	}
	return c.report, err
}

// Count returns the number and total size of the objects that Copy would
// process.
func Count(ctx context.Context, src *blobstore.Store, opts *Options) (objects int, size int64, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	for obj, err := range src.List(ctx, &blobstore.ListOptions{Prefix: o.Prefix}) {
		if err != nil {
			return 0, 0, err
		}
		if o.Key != nil {
			if _, ok := o.Key(obj.Key); !ok {
				continue
			}
		}
		objects, size = objects+1, size+obj.Size
	}
	return objects, size, nil
}

type copier struct {
	Options
	dst, src *blobstore.Store
	limit    *rate.Limiter // nil if unlimited

	mu     sync.Mutex
	report *Report
}

func (c *copier) all(ctx context.Context) error {
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for obj, err := range c.src.List(ctx, &blobstore.ListOptions{Prefix: c.Prefix}) {
		if err != nil {
			group.Go(func() error { return err }) // the error of an earlier failed copy takes precedence
			break
		}
		group.Go(func() error {
			r := Result{Source: obj.Key, Key: obj.Key, Size: obj.Size, Status: Skipped}
			ok := true
			if c.Key != nil {
				r.Key, ok = c.Key(obj.Key)
			}
			if ok {
				r.Status, r.Err = c.one(ctx, &r)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.done(r)
			if errors.Is(r.Err, blobstore.ErrNoBucket) || errors.Is(r.Err, blobstore.ErrAudit) || errors.Is(r.Err, blobstore.ErrClosed) || errors.Is(r.Err, audit.ErrNoActor) {
				return r.Err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.unreachable(parent)
}

// unreachable reports the files of the source that are not objects.
func (c *copier) unreachable(ctx context.Context) error {
	for f, err := range c.src.Skipped(ctx, c.Prefix) {
		if err != nil {
			return err
		}
		r := Result{Source: f.Path, Status: Unreachable, Err: errors.New("not an object: " + f.Reason)}
		if c.Key != nil {
			if _, ok := c.Key(f.Path); !ok {
				r.Status, r.Err = Skipped, nil
			}
		}
		c.done(r)
	}
	return nil
}

func (c *copier) done(r Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Status {
	case Copied:
		c.report.Copied++
		c.report.Bytes += r.Size
	case Present:
		c.report.Present++
	case Skipped:
		c.report.Skipped++
	default:
		if r.Status == Unreachable {
			c.report.Unreachable++
		} else {
			c.report.Failed++
		}
		if len(c.report.Failures) < maxFailures {
			c.report.Failures = append(c.report.Failures, r)
		}
	}
	if c.Each != nil {
		c.Each(r)
	}
}

func (c *copier) one(ctx context.Context, r *Result) (Status, error) {
	obj, err := c.src.Stat(ctx, r.Source)
	if err != nil {
		return Failed, fmt.Errorf("source: %w", err)
	}
	r.Size = obj.Size
	same, err := c.same(ctx, obj, r.Key)
	switch {
	case same:
		return Present, nil
	case errors.Is(err, ErrDiffers) && c.Overwrite:
	case errors.Is(err, fs.ErrNotExist):
	default:
		return Failed, err
	}
	if c.DryRun {
		return Copied, nil
	}
	if err := c.copy(ctx, obj, r.Key); err != nil {
		if errors.Is(err, fs.ErrExist) { // stored concurrently
			if same, _ := c.same(ctx, obj, r.Key); same {
				return Present, nil
			}
			err = fmt.Errorf("%w: %w", ErrDiffers, err)
		}
		return Failed, err
	}
	if c.Reread {
		sum, err := c.digest(ctx, c.dst, r.Key)
		if err == nil && !bytes.Equal(sum, obj.SHA256) {
			err = fmt.Errorf("%w: the content of the copy differs from the source when read again", blobstore.ErrChecksum)
		}
		if err != nil {
			return Failed, err
		}
	}
	return Copied, nil
}

// same reports whether the destination already has the object. If it has none,
// the error is fs.ErrNotExist. If it has a different one, the error is
// ErrDiffers. If obj has no digest, same may compute it and set obj.SHA256.
func (c *copier) same(ctx context.Context, obj *blobstore.Object, key string) (bool, error) {
	there, err := c.dst.Stat(ctx, key)
	if err != nil {
		return false, err
	}
	if there.Size != obj.Size {
		return false, fmt.Errorf("%w: size is %d bytes, source has %d", ErrDiffers, there.Size, obj.Size)
	}
	if obj.SHA256 == nil {
		if obj.SHA256, err = c.digest(ctx, c.src, obj.Key); err != nil {
			return false, fmt.Errorf("source: %w", err)
		}
	}
	if there.SHA256 == nil {
		if there.SHA256, err = c.digest(ctx, c.dst, key); err != nil {
			return false, err
		}
	}
	if obj.ContentEncoding != there.ContentEncoding {
		return false, fmt.Errorf("%w: content encoding is %.100q, source has %.100q", ErrDiffers, there.ContentEncoding, obj.ContentEncoding)
	}
	if !bytes.Equal(obj.SHA256, there.SHA256) {
		return false, fmt.Errorf("%w: SHA-256 is %x, source has %x", ErrDiffers, there.SHA256, obj.SHA256)
	}
	return true, nil
}

func (c *copier) digest(ctx context.Context, s *blobstore.Store, key string) ([]byte, error) {
	r, err := s.Download(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	if _, err = io.Copy(hash, c.limited(ctx, r, nil)); err == nil {
		return hash.Sum(nil), r.Close()
	}
	return nil, errors.Join(err, r.Close())
}

func (c *copier) copy(ctx context.Context, obj *blobstore.Object, key string) (err error) {
	if obj.SHA256 == nil {
		if obj.SHA256, err = c.digest(ctx, c.src, obj.Key); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	r, err := c.src.Download(ctx, obj.Key, nil)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	up := &blobstore.UploadOptions{
		Filename: obj.Filename, ContentType: obj.ContentType, CacheControl: obj.CacheControl, ContentEncoding: obj.ContentEncoding, Metadata: obj.Metadata,
		Size: obj.Size, SHA256: obj.SHA256, Overwrite: c.Overwrite,
	}
	if obj.OpID == "" && obj.ContentType == untyped {
		up.ContentType = ""
	}
	if c.Resource != nil {
		up.Resource = c.Resource(obj)
	}
	ctx = audit.WithAttrs(ctx, map[string]string{AttrSource: c.src.Info().Backend + ":" + obj.Key})
	_, err = c.dst.Upload(ctx, key, c.limited(ctx, r, c.Progress), up)
	if closing := r.Close(); err == nil {
		err = closing
	}
	return err
}

// untyped is the content type that backends report for objects without one.
const untyped = "application/octet-stream"

// burst is the maximum number of bytes per read if the rate is limited.
const burst = 64 << 10

// limited returns r with the rate limit and the progress reports applied.
func (c *copier) limited(ctx context.Context, r io.Reader, progress func(int64)) io.Reader {
	if c.limit == nil && progress == nil {
		return r
	}
	return &limited{ctx, r, c.limit, progress}
}

type limited struct {
	ctx      context.Context
	r        io.Reader
	limit    *rate.Limiter
	progress func(int64)
}

func (l *limited) Read(p []byte) (int, error) {
	if l.limit != nil && len(p) > burst {
		p = p[:burst]
	}
	n, err := l.r.Read(p)
	if l.limit != nil && n > 0 {
		if err := l.limit.WaitN(l.ctx, n); err != nil {
			return n, err
		}
	}
	if l.progress != nil {
		l.progress(int64(n))
	}
	return n, err
}
