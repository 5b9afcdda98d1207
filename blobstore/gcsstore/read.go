package gcsstore

// This file implements reading, listing, deleting and copying.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Read implements [driver.Bucket]. A response with content lacks some
// attributes. Read therefore requests the attributes first, and then the
// content of the same generation of the object.
func (b *bucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	if offset < 0 {
		return nil, fmt.Errorf("%w: offset %d is negative", driver.ErrRange, offset)
	}
	obj := b.handle.Object(key)
	for range provider.OpenTries {
		attrs, err := obj.Attrs(ctx)
		if err != nil {
			return nil, b.missing(ctx, err)
		}
		if err := provider.CheckOffset(offset, attrs.Size); err != nil {
			return nil, err
		}
		if offset == attrs.Size || length == 0 {
			return &driver.Reader{ReadCloser: http.NoBody, Attributes: attributes(attrs)}, nil
		}
		r, err := obj.Generation(attrs.Generation).NewRangeReader(withEncoding(ctx, attrs.ContentEncoding), offset, length)
		if errors.Is(err, storage.ErrObjectNotExist) {
			continue // replaced or deleted concurrently
		}
		if err != nil {
			return nil, b.missing(ctx, err)
		}
		return &driver.Reader{ReadCloser: provider.MapReads(r, b.mapError), Attributes: attributes(attrs)}, nil
	}
	return nil, provider.ErrReplacedOften
}

// Attributes implements [driver.Bucket].
func (b *bucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	attrs, err := b.handle.Object(key).Attrs(ctx)
	if err != nil {
		return nil, b.missing(ctx, err)
	}
	return attributes(attrs), nil
}

type encodingKey struct{}

// withEncoding returns a context for reading an object with a stored encoding.
func withEncoding(ctx context.Context, encoding string) context.Context {
	if encoding == "" {
		return ctx
	}
	return context.WithValue(ctx, encodingKey{}, encoding)
}

// asStored requests objects in their stored form. The service decodes gzip for
// clients that do not request it. It does so for any range, although it reports
// the length of the stored object. ReadCompressed of the library does not work
// with reads through the JSON API.
type asStored struct{ http.RoundTripper }

func (t asStored) RoundTrip(r *http.Request) (*http.Response, error) {
	if encoding, ok := r.Context().Value(encodingKey{}).(string); ok {
		r = r.Clone(r.Context())
		r.Header.Set("Accept-Encoding", encoding)
		if !strings.Contains(encoding, "gzip") {
			r.Header.Add("Accept-Encoding", "gzip")
		}
	}
	return t.RoundTripper.RoundTrip(r)
}

// attributes returns the same attributes as gcsblob of the Go CDK.
func attributes(a *storage.ObjectAttrs) *blob.Attributes {
	return &blob.Attributes{
		CacheControl: a.CacheControl, ContentDisposition: a.ContentDisposition, ContentEncoding: a.ContentEncoding,
		ContentLanguage: a.ContentLanguage, ContentType: a.ContentType, Metadata: a.Metadata,
		CreateTime: a.Created, ModTime: a.Updated, Size: a.Size, MD5: a.MD5, ETag: etagOf(a),
	}
}

func etagOf(a *storage.ObjectAttrs) string {
	if strings.HasPrefix(a.Etag, `"`) || strings.HasPrefix(a.Etag, `W/"`) {
		return a.Etag
	}
	return strconv.Quote(a.Etag) // the service returns it without quotes
}

// List implements [driver.Bucket].
func (b *bucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return provider.List(ctx, b.Blob(), o, b.mapError)
}

// Delete implements [driver.Bucket]. It never repeats a request, because the
// second response would be "not found".
func (b *bucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	obj := b.handle.Object(key).Retryer(storage.WithPolicy(storage.RetryNever))
	if o.IfMatch != "" {
		attrs, err := b.handle.Object(key).Attrs(ctx)
		if err != nil {
			return b.missing(ctx, err)
		}
		if etagOf(attrs) != o.IfMatch {
			return driver.ErrReplaced
		}
		obj = obj.If(storage.Conditions{GenerationMatch: attrs.Generation})
	}
	err := obj.Delete(ctx)
	if status(err) == http.StatusPreconditionFailed {
		return driver.ErrReplaced
	}
	return b.missing(ctx, err)
}

// Copy implements [driver.Bucket]. The service copies the content.
func (b *bucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	attrs, err := b.handle.Object(src).Attrs(ctx)
	if err != nil {
		return b.missing(ctx, err)
	}
	if o.IfMatch != "" && o.IfMatch != etagOf(attrs) {
		return driver.ErrReplaced
	}
	meta := provider.Merged(attrs.Metadata, o.Metadata)
	to := b.handle.Object(dst)
	if o.IfNotExist {
		to = to.If(storage.Conditions{DoesNotExist: true})
	}
	c := to.CopierFrom(b.handle.Object(src).Generation(attrs.Generation))
	if o.ContentOnly {
		attrs, meta = &storage.ObjectAttrs{ContentType: o.ContentType}, o.Metadata
	}
	c.ObjectAttrs = storage.ObjectAttrs{
		ContentType: attrs.ContentType, CacheControl: attrs.CacheControl, ContentDisposition: attrs.ContentDisposition,
		ContentEncoding: attrs.ContentEncoding, ContentLanguage: attrs.ContentLanguage, Metadata: meta,
	}
	made, err := c.Run(ctx)
	if err != nil && ctx.Err() != nil {
		return provider.As(context.Cause(ctx), b.mapError(err))
	}
	if err == nil && o.ContentOnly && made.CacheControl+made.ContentEncoding+made.ContentLanguage+made.ContentDisposition != "" {
		// Google copies no headers if the request describes the new object. For
		// a service that does, upload the content again.
		if err := b.handle.Object(dst).If(storage.Conditions{GenerationMatch: made.Generation}).Delete(ctx); err != nil {
			return provider.As(driver.ErrInDoubt, b.mapError(err))
		}
		return driver.CopyThrough(ctx, b, dst, src, o)
	}
	return b.mapError(err)
}

// Received implements [driver.Bucket]. Google decodes encoded content while
// serving it, so Received removes the encoding of the object.
func (b *bucket) Received(ctx context.Context, key string) (*blob.Attributes, error) {
	obj := b.handle.Object(key)
	attrs, err := obj.Attrs(ctx)
	if err == nil && attrs.ContentEncoding != "" {
		same := storage.Conditions{GenerationMatch: attrs.Generation, MetagenerationMatch: attrs.Metageneration}
		attrs, err = obj.If(same).Update(ctx, storage.ObjectAttrsToUpdate{ContentEncoding: ""})
		if status(err) == http.StatusPreconditionFailed {
			return nil, driver.ErrReplaced
		}
	}
	if err != nil {
		return nil, b.mapError(err)
	}
	return attributes(attrs), nil
}
