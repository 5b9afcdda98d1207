package driver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/internal/provider"
)

// FromBlob makes a [Bucket] of any Go CDK bucket, with the capabilities that all of
// them have: it signs no links, and is create-only and durable as far as the Go
// CDK's driver is. A provider embeds it and overrides what its service does better. info.Backend is the name of the backend in the trail; empty
// means "custom". info.Bucket is the bucket's name there. Stores that share a trail
// need different names, because each settles the open operations of its bucket.
func FromBlob(b *blob.Bucket, info Info) Bucket {
	if b == nil {
		return nil
	}
	if info.Backend == "" {
		info.Backend = "custom"
	}
	return &plain{b, info}
}

// plain is the [Bucket] of FromBlob.
type plain struct {
	bucket *blob.Bucket
	info   Info
}

// Blob implements [Bucket].
func (b *plain) Blob() *blob.Bucket { return b.bucket }

// Info implements [Bucket].
func (b *plain) Info() Info { return b.info }

// Attributes describes an object of b: as b does itself if it is a [Describer],
// and otherwise by the Go CDK.
func Attributes(ctx context.Context, b Bucket, key string) (*blob.Attributes, error) {
	if d, ok := b.(Describer); ok {
		return d.Attributes(ctx, key)
	}
	a, err := b.Blob().Attributes(ctx, key)
	if err != nil {
		return nil, b.MapError(err)
	}
	return a, nil
}

// Close implements [Bucket].
func (b *plain) Close() error { return b.bucket.Close() }

// Read implements [Bucket] by asking for the attributes and then for the
// content, again if the object was replaced in between.
func (b *plain) Read(ctx context.Context, key string, offset, length int64) (*Reader, error) {
	const tries = 25 // each costs little, and a busy writer may win several in a row
	for range tries {
		attrs, err := b.bucket.Attributes(ctx, key)
		if err != nil {
			return nil, b.MapError(err)
		}
		if offset > attrs.Size || offset < 0 {
			return nil, fmt.Errorf("%w: offset %d of %d bytes", ErrRange, offset, attrs.Size)
		}
		r, err := b.bucket.NewRangeReader(ctx, key, offset, length, nil)
		if err != nil {
			return nil, b.MapError(err)
		}
		if r.Size() == attrs.Size && r.ModTime().Equal(attrs.ModTime) {
			return &Reader{r, attrs}, nil
		}
		if err := r.Close(); err != nil {
			return nil, b.MapError(err)
		}
	}
	return nil, fmt.Errorf("the object was replaced %d times while it was opened", tries)
}

// Write implements [Bucket].
func (b *plain) Write(ctx context.Context, key string, r io.Reader, o *WriteOptions) error {
	return provider.Write(ctx, b.bucket.Upload, key, r, WriterOptions(o), b.MapError)
}

// List implements [Bucket].
func (b *plain) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return ListThrough(ctx, b, o)
}

// ListThrough lists what the Go CDK's bucket of b does, with the errors of b. It
// is for providers whose MapError is their own.
func ListThrough(ctx context.Context, b Bucket, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		it := b.Blob().List(o)
		for {
			obj, err := next(ctx, it)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, b.MapError(err))
				return
			}
			if !yield(obj, nil) {
				return
			}
		}
	}
}

// next returns the next object. The Go CDK's drivers panic if a service leaves
// out what they take for granted, such as the time of an object.
func next(ctx context.Context, it *blob.ListIterator) (obj *blob.ListObject, err error) {
	defer func() {
		if r := recover(); r != nil {
			obj, err = nil, fmt.Errorf("the service answered a listing without what is needed: %v", r)
		}
	}()
	return it.Next(ctx)
}

// WriterOptions returns o in the form that the Go CDK takes.
func WriterOptions(o *WriteOptions) *blob.WriterOptions {
	return &blob.WriterOptions{
		ContentType:                 o.ContentType,
		CacheControl:                o.CacheControl,
		ContentEncoding:             o.ContentEncoding,
		Metadata:                    o.Metadata,
		IfNotExist:                  o.IfNotExist,
		DisableContentTypeDetection: true,
	}
}

// Copy implements [Bucket] by reading and writing, which stamps the new object
// with metadata of its own.
func (b *plain) Copy(ctx context.Context, dst, src string, o *CopyOptions) error {
	return CopyThrough(ctx, b, dst, src, o)
}

// Received implements [Bucket]: a plain bucket has one kind of object.
func (b *plain) Received(ctx context.Context, key string) (*blob.Attributes, error) {
	a, err := b.bucket.Attributes(ctx, key)
	return a, b.MapError(err)
}

// CopyThrough copies within b by reading src and writing dst. Content that is
// not what the digest kept with src says is ErrChecksum. With o.ContentOnly the
// digest is that of o.Metadata.
func CopyThrough(ctx context.Context, b Bucket, dst, src string, o *CopyOptions) error {
	r, err := b.Read(ctx, src, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	attrs := r.Attributes
	if o.IfMatch != "" && o.IfMatch != attrs.ETag {
		return ErrReplaced
	}
	if o.ContentOnly {
		attrs = &blob.Attributes{Size: attrs.Size, ContentType: o.ContentType, Metadata: o.Metadata}
	}
	meta := maps.Clone(attrs.Metadata)
	if meta == nil {
		meta = make(map[string]string)
	}
	maps.Copy(meta, o.Metadata)
	want, err := provider.StoredSHA256(attrs.Metadata)
	if err != nil {
		return err
	}
	content := provider.NewContent(r, attrs.Size, -1, want)
	return b.Write(ctx, dst, content, &WriteOptions{
		IfNotExist:   o.IfNotExist,
		Size:         attrs.Size,
		SHA256:       want,
		ContentType:  attrs.ContentType,
		CacheControl: attrs.CacheControl,
		Metadata:     meta,

		ContentEncoding: attrs.ContentEncoding,
		Final: func() map[string]string {
			return map[string]string{provider.MetaSHA256: hex.EncodeToString(content.SHA256())}
		},
	})
}

// Delete implements [Bucket], a condition by looking first.
func (b *plain) Delete(ctx context.Context, key string, o *DeleteOptions) error {
	if o.IfMatch != "" {
		switch a, err := b.bucket.Attributes(ctx, key); {
		case err != nil:
			return b.MapError(err)
		case a.ETag != o.IfMatch:
			return ErrReplaced
		}
	}
	return b.MapError(b.bucket.Delete(ctx, key))
}

// Sign implements [Bucket]: a plain bucket signs nothing, because the Go CDK's
// own links hold hardly any constraint.
func (b *plain) Sign(context.Context, string, *SignOptions) (*SignedURL, error) {
	return nil, fmt.Errorf("%w: this backend signs no links", errors.ErrUnsupported)
}

// Sweep implements [Bucket]; a plain bucket leaves nothing that could be found.
func (b *plain) Sweep(context.Context, string) error { return nil }

// MapError implements [Bucket] by the Go CDK's error codes.
func (b *plain) MapError(err error) error { return provider.MapCode(err) }
