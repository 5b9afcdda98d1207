package driver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/internal/provider"
)

// FromBlob makes a [Bucket] from any Go CDK bucket. The result signs no links.
// Its create-only writes and its durability are those of the Go CDK driver. A
// provider embeds the result and overrides the methods its service can improve.
// The embedded bucket calls its own methods, not the overriding ones; see
// [CopyThrough].
//
// info.Backend is the name of the backend in the trail. Empty means "custom".
// info.Bucket is the name of the bucket in the trail. Stores that share a trail
// need different names, because each store settles the open operations of its
// bucket.
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

// Attributes implements [Bucket].
func (b *plain) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	return provider.Attributes(ctx, b.bucket, key, provider.MapCode)
}

// Close implements [Bucket].
func (b *plain) Close() error { return b.bucket.Close() }

// Read implements [Bucket]. It requests the attributes, then the content. If
// the object was replaced in between, Read starts again.
func (b *plain) Read(ctx context.Context, key string, offset, length int64) (*Reader, error) {
	for range provider.OpenTries {
		attrs, err := b.bucket.Attributes(ctx, key)
		if err != nil {
			return nil, provider.MapCode(err)
		}
		if err := provider.CheckOffset(offset, attrs.Size); err != nil {
			return nil, err
		}
		r, err := b.bucket.NewRangeReader(ctx, key, offset, length, nil)
		if err != nil {
			return nil, provider.MapCode(err)
		}
		if r.Size() == attrs.Size && r.ModTime().Equal(attrs.ModTime) {
			return &Reader{provider.MapReads(r, provider.MapCode), attrs}, nil
		}
		if err := r.Close(); err != nil {
			return nil, provider.MapCode(err)
		}
	}
	return nil, provider.ErrReplacedOften
}

// Write implements [Bucket].
func (b *plain) Write(ctx context.Context, key string, r io.Reader, o *WriteOptions) error {
	return provider.Write(ctx, b.bucket.Upload, key, r, provider.WriterOptions(o.ContentType, o.CacheControl, o.ContentEncoding, o.Metadata, o.IfNotExist), provider.MapCode)
}

// List implements [Bucket].
func (b *plain) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return provider.List(ctx, b.bucket, o, provider.MapCode)
}

// Copy implements [Bucket] by reading and writing.
func (b *plain) Copy(ctx context.Context, dst, src string, o *CopyOptions) error {
	return CopyThrough(ctx, b, dst, src, o)
}

// Received implements [Bucket]. A plain bucket has only one kind of object.
func (b *plain) Received(ctx context.Context, key string) (*blob.Attributes, error) {
	return b.Attributes(ctx, key)
}

// CopyThrough copies within b by reading src and writing dst. Use it to
// implement Copy in a bucket that overrides Write and cannot copy within its
// service. If the content does not match the digest stored with src, the error
// is ErrChecksum. With o.ContentOnly, the digest is taken from o.Metadata.
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
		Metadata:     provider.Merged(attrs.Metadata, o.Metadata),

		ContentEncoding: attrs.ContentEncoding,
		Final: func() map[string]string {
			return map[string]string{provider.MetaSHA256: hex.EncodeToString(content.SHA256())}
		},
	})
}

// Delete implements [Bucket]. It checks o.IfMatch in a separate request.
func (b *plain) Delete(ctx context.Context, key string, o *DeleteOptions) error {
	if o.IfMatch != "" {
		switch a, err := b.bucket.Attributes(ctx, key); {
		case err != nil:
			return provider.MapCode(err)
		case a.ETag != o.IfMatch:
			return ErrReplaced
		}
	}
	return provider.MapCode(b.bucket.Delete(ctx, key))
}

// Sign implements [Bucket]. A plain bucket signs nothing, because the links of
// the Go CDK support almost no constraints.
func (b *plain) Sign(context.Context, string, *SignOptions) (*SignedURL, error) {
	return nil, fmt.Errorf("%w: this backend cannot sign links", errors.ErrUnsupported)
}

// Sweep implements [Bucket]. A plain bucket has no leftovers to find.
func (b *plain) Sweep(context.Context, string) error { return nil }
