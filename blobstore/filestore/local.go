package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/url"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/filestore/localblob"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// localBucket is a bucket of package localblob.
type localBucket struct {
	driver.Bucket
	local  *localblob.Bucket
	origin origin
}

func openLocal(u *url.URL) (driver.Bucket, error) {
	opts := &localblob.Options{DirMode: 0o700, FileMode: 0o600}
	if err := provider.AllParameters(u.Query(), map[string]any{
		"create": &opts.CreateDir, "dir_mode": &opts.DirMode, "file_mode": &opts.FileMode, "md5": &opts.MD5,
	}); err != nil {
		return nil, err
	}
	dir, err := folder(u, opts.CreateDir)
	if err != nil {
		return nil, err
	}
	from := originOf(dir)
	b, err := localblob.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &localBucket{local: b, origin: from, Bucket: driver.FromBlob(b.Bucket, driver.Info{
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
	return unsure(b.mapError(provider.Write(ctx, upload, key, r, provider.WriterOptions(o.ContentType, o.CacheControl, o.ContentEncoding, o.Metadata, o.IfNotExist), b.mapError)))
}

// mapError returns err as an error of the contract.
func (b *localBucket) mapError(err error) error {
	switch {
	case errors.Is(err, localblob.ErrNoFolder):
		return provider.As(driver.ErrNoBucket, err)
	case errors.Is(err, localblob.ErrPath):
		return provider.As(driver.ErrPath, err)
	}
	return provider.MapCode(err)
}

// Attributes implements [driver.Bucket].
func (b *localBucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	return provider.Attributes(ctx, b.Blob(), key, b.mapError)
}

// List implements [driver.Bucket].
func (b *localBucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return provider.List(ctx, b.Blob(), o, b.mapError)
}

// Precheck implements [provider.Prechecker].
func (b *localBucket) Precheck(ctx context.Context, key string) error {
	return b.mapError(b.local.Precheck(ctx, key))
}

// Skipped implements [provider.Skipper].
func (b *localBucket) Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error {
	return b.mapError(b.local.Skipped(ctx, prefix, limit, found))
}

// Fresh implements [provider.Fresh].
func (b *localBucket) Fresh() (bool, string) { return b.origin.fresh() }

// Undo implements [provider.Fresh].
func (b *localBucket) Undo(context.Context) error { return b.origin.undo() }

// unsure returns err as [driver.ErrInDoubt] if the change may not be durable.
func unsure(err error) error {
	if errors.Is(err, localblob.ErrNotSynced) {
		return provider.As(driver.ErrInDoubt, err)
	}
	return err
}

// Delete implements [driver.Bucket].
func (b *localBucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if o.IfMatch == "" {
		return unsure(b.mapError(b.Bucket.Delete(ctx, key, o)))
	}
	err := b.local.DeleteVersion(ctx, key, o.IfMatch)
	if errors.Is(err, localblob.ErrReplaced) {
		return driver.ErrReplaced
	}
	return unsure(b.mapError(err))
}

// Copy implements [driver.Bucket]. If only the content of src is copied to a
// new object, dst becomes a second name of the same file.
func (b *localBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if o.ContentOnly && o.IfNotExist && o.IfMatch != "" {
		err := b.local.Adopt(ctx, dst, src, o.IfMatch, o.ContentType, o.Metadata)
		switch {
		case errors.Is(err, localblob.ErrReplaced):
			return driver.ErrReplaced
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrExist):
			return provider.As(fs.ErrExist, err)
		}
		return unsure(b.mapError(err))
	}
	return driver.CopyThrough(ctx, b, dst, src, o)
}

// Read implements [driver.Bucket]. The driver reads attributes and content from
// the same open file.
func (b *localBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	r, a, err := b.local.OpenRange(ctx, key, offset, length)
	if err != nil {
		return nil, b.mapError(err)
	}
	if err := provider.CheckOffset(offset, a.Size); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &driver.Reader{ReadCloser: r, Attributes: a}, nil
}

// Sweep implements [driver.Bucket].
func (b *localBucket) Sweep(ctx context.Context, key string) error {
	_, err := b.local.Sweep(ctx, key)
	return b.mapError(err)
}
