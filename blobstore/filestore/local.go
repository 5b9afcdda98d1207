package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/filestore/localblob"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// localBucket is a folder under the driver of this library.
type localBucket struct {
	driver.Bucket
	local  *localblob.Bucket
	origin origin
}

func openLocal(_ context.Context, u *url.URL, c driver.Credentials) (driver.Bucket, error) {
	if err := c.Only(); err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	q := u.Query()
	if err := only(q, "create", "dir_mode", "file_mode", "md5"); err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	dir, create, err := folder(u)
	if err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	opts := &localblob.Options{CreateDir: create}
	if opts.DirMode, err = mode(q, "dir_mode", 0o700); err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	if opts.FileMode, err = mode(q, "file_mode", 0o600); err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	if opts.MD5, err = flag(q, "md5"); err != nil {
		return nil, fmt.Errorf("local://: %w", err)
	}
	from := originOf(dir)
	b, err := localblob.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &localBucket{local: b, origin: from, Bucket: driver.FromBlob(b.Blob(), driver.Info{
		Backend: backend, Bucket: identity(dir),
		Capabilities: driver.Capabilities{ExactCreate: true, ExactDelete: true, AtomicReplace: true, Durable: true, KeepsSHA256: true},
		Needs:        needs,
	})}, nil
}

// Write implements [driver.Bucket].
func (b *localBucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	var final func() (map[string]string, error)
	if o.Final != nil {
		final = func() (map[string]string, error) { return o.Final(), nil }
	}
	upload := func(ctx context.Context, key string, r io.Reader, opts *blob.WriterOptions) error {
		return b.local.Write(ctx, key, r, opts, final)
	}
	return unsure(b.MapError(provider.Write(ctx, upload, key, r, driver.WriterOptions(o), b.MapError)))
}

// MapError implements [driver.Bucket].
func (b *localBucket) MapError(err error) error {
	switch {
	case errors.Is(err, localblob.ErrNoFolder):
		return provider.As(driver.ErrNoBucket, err)
	case errors.Is(err, localblob.ErrPath):
		return provider.As(driver.ErrPath, err)
	}
	return b.Bucket.MapError(err)
}

// Attributes implements [driver.Describer].
func (b *localBucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	a, err := b.Blob().Attributes(ctx, key)
	if err != nil {
		return nil, b.MapError(err)
	}
	return a, nil
}

// List implements [driver.Bucket].
func (b *localBucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return driver.ListThrough(ctx, b, o)
}

// Precheck implements [driver.Prechecker].
func (b *localBucket) Precheck(ctx context.Context, key string) error {
	return b.MapError(b.local.Precheck(ctx, key))
}

// Skipped implements [driver.Skipper].
func (b *localBucket) Skipped(ctx context.Context, prefix string, limit int) iter.Seq2[driver.Skipped, error] {
	return func(yield func(driver.Skipped, error) bool) {
		for f, err := range b.local.Skipped(ctx, prefix, limit) {
			if !yield(driver.Skipped(f), b.MapError(err)) {
				return
			}
		}
	}
}

// Fresh implements [driver.Fresh].
func (b *localBucket) Fresh() (bool, string) { return b.origin.fresh() }

// Undo implements [driver.Fresh].
func (b *localBucket) Undo(context.Context) error { return b.origin.undo() }

// unsure maps the error of an effect that may not last.
func unsure(err error) error {
	if errors.Is(err, localblob.ErrNotSynced) {
		return provider.As(driver.ErrInDoubt, err)
	}
	return err
}

// Delete implements [driver.Bucket].
func (b *localBucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if o.IfMatch == "" {
		return unsure(b.MapError(b.Bucket.Delete(ctx, key, o)))
	}
	err := b.local.DeleteVersion(ctx, key, o.IfMatch)
	if errors.Is(err, localblob.ErrReplaced) {
		return driver.ErrReplaced
	}
	return unsure(b.MapError(err))
}

// Copy implements [driver.Bucket]. A new object that takes nothing but the
// content of src is another name of the same file.
func (b *localBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if o.ContentOnly && o.IfNotExist && o.IfMatch != "" {
		err := b.local.Adopt(ctx, dst, src, &localblob.AdoptOptions{ETag: o.IfMatch, ContentType: o.ContentType, Metadata: o.Metadata})
		switch {
		case errors.Is(err, localblob.ErrReplaced):
			return driver.ErrReplaced
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrExist):
			return provider.As(fs.ErrExist, err)
		}
		return unsure(b.MapError(err))
	}
	return driver.CopyThrough(ctx, b, dst, src, o)
}

// Read implements [driver.Bucket]. The driver takes attributes and content from
// the same opening.
func (b *localBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	r, a, err := b.local.OpenRange(ctx, key, offset, length)
	if err != nil {
		return nil, b.MapError(err)
	}
	if offset < 0 || offset > a.Size {
		err := fmt.Errorf("%w: offset %d of %d bytes", driver.ErrRange, offset, a.Size)
		return nil, errors.Join(err, r.Close())
	}
	return &driver.Reader{ReadCloser: r, Attributes: a}, nil
}

// Sweep implements [driver.Bucket].
func (b *localBucket) Sweep(ctx context.Context, key string) error {
	return b.MapError(b.local.SweepKey(ctx, key))
}
