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

// AttrSource is the attribute of the entry of a copy that says where it came
// from, such as "local:invoices/1.pdf".
const AttrSource = "transferred_from"

// ErrIncomplete reports that some objects could not be copied, or that some
// files of the source are no objects; the report says which.
var ErrIncomplete = errors.New("not everything was copied")

// ErrDiffers reports that the destination has another object under the key. It is
// also fs.ErrExist.
var ErrDiffers = fmt.Errorf("another object has this key: %w", fs.ErrExist)

// Options are the options of [Copy]. Nil and the zero value mean the defaults.
type Options struct {
	// Prefix selects the keys of the source that begin with it.
	Prefix string
	// Key gives the key at the destination, and false for what is left out. Nil:
	// the same key. It may be called concurrently.
	Key func(source string) (key string, ok bool)
	// Resource gives the host's own thing that a file belongs to, for the trail
	// of the destination. Nil: none. It may be called concurrently.
	Resource func(*blobstore.Object) audit.Resource

	// Parallel is how many objects are copied at a time. Default: 4.
	Parallel int
	// BytesPerSecond limits what is read from the source, all in all. 0: no limit.
	BytesPerSecond int64
	// DryRun only compares, and reports what would be copied. Where neither side
	// has a digest it reads the content of both.
	DryRun bool
	// Overwrite replaces what differs. Without it that is ErrDiffers.
	Overwrite bool
	// Reread reads every copy again and compares it, for backends that are not
	// trusted to have checked what they were sent.
	Reread bool

	// Progress, if not nil, is told the bytes that were copied, as they are. It
	// may be called concurrently.
	Progress func(bytes int64)
	// Each, if not nil, is told what became of each object, one after the other.
	Each func(Result)
}

// Status is what became of an object.
type Status string

const (
	Copied  Status = "copied"  // or, of a dry run, would be
	Present Status = "present" // it was there already, with the same content
	Skipped Status = "skipped" // by Options.Key
	// Unreachable is the status of a file of the source that is not an object, such
	// as a symbolic link (see blobstore's Store.Skipped). Result.Err says why.
	Unreachable Status = "unreachable"
	Failed      Status = "failed"
)

// Result is what became of an object.
type Result struct {
	Source string // its key at the source
	Key    string // and at the destination
	Size   int64  // bytes
	Status Status
	Err    error // why it failed
}

// Report sums up.
type Report struct {
	Copied, Present, Skipped, Unreachable, Failed int
	Bytes                                         int64 // of what was copied
	Elapsed                                       time.Duration
	Failures                                      []Result // the first 1,000 that failed or are unreachable
}

const maxFailures = 1000

// Copy copies the objects of src that opts selects to dst. The actor of ctx acts
// in both. It returns when all were looked at, with [ErrIncomplete] if some
// failed, or at what makes going on pointless: the end of ctx, a listing that
// fails, a bucket that is missing, a trail that can't be written. The report is
// never nil.
//
// A file of src that is not an object can't be copied. It is reported as Unreachable,
// and the error is ErrIncomplete, unless Options.Key leaves its path out.
//
// Of each object the content, its encoding and type, the file name, the cache
// control and the metadata are copied. An object without a digest, as other programs
// leave it, is read twice: once for its digest. A content type that nobody set is
// found from the content. What is written to src meanwhile may or may not be
// copied.
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

// Count returns how many objects and bytes Copy would look at.
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
	limit    *rate.Limiter // nil: none

	mu     sync.Mutex
	report *Report
}

func (c *copier) all(ctx context.Context) error {
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for obj, err := range c.src.List(ctx, &blobstore.ListOptions{Prefix: c.Prefix}) {
		if err != nil {
			group.Go(func() error { return err }) // unless a copy failed before, and is why
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

// unreachable reports the files of the source that no listing yields.
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
		if errors.Is(err, fs.ErrExist) { // somebody was faster
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
			err = fmt.Errorf("%w: the copy, read again, is not what was sent", blobstore.ErrChecksum)
		}
		if err != nil {
			return Failed, err
		}
	}
	return Copied, nil
}

// same reports whether the object is at its destination already. It is
// fs.ErrNotExist if nothing is there, and ErrDiffers if something else is. The
// digest of obj is set if it had to be found out.
func (c *copier) same(ctx context.Context, obj *blobstore.Object, key string) (bool, error) {
	there, err := c.dst.Stat(ctx, key)
	if err != nil {
		return false, err
	}
	if there.Size != obj.Size {
		return false, fmt.Errorf("%w: it has %d bytes instead of %d", ErrDiffers, there.Size, obj.Size)
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
		return false, fmt.Errorf("%w: its content encoding is %.100q instead of %.100q", ErrDiffers, there.ContentEncoding, obj.ContentEncoding)
	}
	if !bytes.Equal(obj.SHA256, there.SHA256) {
		return false, fmt.Errorf("%w: its SHA-256 is %x instead of %x", ErrDiffers, there.SHA256, obj.SHA256)
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

// untyped is the content type that backends say of what nobody gave one.
const untyped = "application/octet-stream"

// burst is how many bytes are read at a time where the rate is limited.
const burst = 64 << 10

// limited is what is read of the source.
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
