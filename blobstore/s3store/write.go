package s3store

// This file implements writes. s3blob of the Go CDK uses the transfer manager
// of the SDK, which buffers up to 64 MiB for each upload and does not abort a
// canceled multipart upload. This code fills and sends one buffer at a time.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	// partBytes is the size of a part, and the limit of a single request if the
	// size is unknown.
	partBytes    = 8 << 20
	maxPartBytes = 16 << 20
	maxOnePut    = 16 << 20 // a known size below this limit needs one request
	// hashAgain is the size up to which a second hash by the SDK is faster than
	// passing it the hash.
	hashAgain = 8 << 10
	maxParts  = 9_998 // two less than the limit of the service; see beatParts
	growAfter = 5_000 // number of parts before larger ones are used, if the size is unknown
)

// Write implements [driver.Bucket].
func (b *bucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	meta, err := encodeMetadata(o.Metadata)
	if err != nil {
		return err
	}
	size, err := partSize(o.Size)
	if err != nil {
		return err
	}
	if err := b.refuseTaken(ctx, key, meta, o.IfNotExist); err != nil {
		return err
	}
	src := provider.NewSource(ctx, r)
	buf, release, whole, err := b.head(src, o.Size)
	defer release()
	if err != nil {
		return err
	}
	if whole {
		err = b.putAll(ctx, key, buf, o, meta)
	} else {
		err = b.putParts(ctx, key, buf, size, src, o, meta)
	}
	if src.Err() != nil {
		return src.Err()
	}
	return b.mapWrite(ctx, err)
}

// mapWrite is like mapError, for an error that the end of ctx may have caused.
func (b *bucket) mapWrite(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return provider.As(context.Cause(ctx), b.mapError(err))
	}
	if code(err) == "ConditionalRequestConflict" {
		return fmt.Errorf("another request changed this key concurrently, try again: %w", err)
	}
	return b.mapError(err)
}

// head reads the content to send in one request. If whole is false, it read
// only the first part. The buffer is valid until release is called.
func (b *bucket) head(src *provider.Source, size int64) (buf []byte, release func(), whole bool, err error) {
	if size > partBytes && size < maxOnePut {
		buf = make([]byte, size)
		n, err := src.Fill(buf)
		if err == nil {
			whole, err = src.AtEnd()
		}
		return buf[:n], func() {}, whole, err
	}
	return src.Head(provider.CopyBuffers, &b.parts)
}

// partSize returns the part size of an upload, or 0 if it depends on the number
// of the part.
func partSize(size int64) (int64, error) {
	const mib = 1 << 20
	if size < 0 {
		return 0, nil
	}
	part := max(partBytes, ((size+maxParts-1)/maxParts+mib-1)&^(mib-1))
	if part > maxPartBytes {
		return 0, fmt.Errorf("%w: %d bytes: at most %d in %d parts", driver.ErrTooLarge, size, int64(maxPartBytes)*maxParts, maxParts)
	}
	return part, nil
}

// putAll stores content with one request.
func (b *bucket) putAll(ctx context.Context, key string, content []byte, o *driver.WriteOptions, meta map[string]string) error {
	sum := o.SHA256
	if o.Final != nil {
		final := o.Final()
		var err error
		if sum, err = provider.StoredSHA256(final); err != nil {
			return err
		}
		encoded, err := encodeMetadata(final)
		if err != nil {
			return err
		}
		maps.Copy(meta, encoded)
	}
	if sum == nil {
		s := sha256.Sum256(content)
		sum = s[:]
	}
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))),
		ContentType: &o.ContentType, CacheControl: optional(o.CacheControl), Metadata: meta,
		ContentEncoding:      optional(o.ContentEncoding),
		ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	}
	if o.IfNotExist {
		in.IfNoneMatch = aws.String("*")
	}
	if b.sum {
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	var opts []func(*s3.Options)
	if len(content) > hashAgain {
		opts = append(opts, withPayloadHash(sum))
	}
	_, err := b.client.PutObject(ctx, in, opts...)
	if o.IfNotExist && unanswered(err) {
		err = b.taken(ctx, key, meta, err)
	}
	return err
}

// taken returns cause, and adds fs.ErrExist if the key exists. cause is the
// error of a create-only request without a response. A service may refuse such
// a request before it has read the content and close the connection, which
// loses the response.
func (b *bucket) taken(ctx context.Context, key string, meta map[string]string, cause error) error {
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return cause
	}
	if sameOperation(head.Metadata, meta) {
		return cause // the request may have stored it
	}
	return provider.As(fs.ErrExist, cause)
}

// sameOperation reports whether both objects were written by the same
// operation.
func sameOperation(a, b map[string]string) bool {
	op := cloudhttp.S3Name(provider.MetaOp)
	return a[op] == b[op]
}

// withPayloadHash signs a known digest. The SDK does not compute it again, and
// the service checks it.
func withPayloadHash(sum []byte) func(*s3.Options) {
	sha := hex.EncodeToString(sum)
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("knownPayloadHash",
				func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
					return next.HandleFinalize(v4.SetPayloadHash(ctx, sha), in)
				}), "ComputePayloadHash", middleware.Before)
		})
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// encodeMetadata escapes names and values in the same way as s3blob of the Go
// CDK, which reads them.
func encodeMetadata(meta map[string]string) (map[string]string, error) {
	m, total := make(map[string]string, len(meta)+1), 0
	for k, v := range meta {
		m[cloudhttp.S3Name(k)] = cloudhttp.EscapeValue(v)
		total += cloudhttp.MetaCost(k, v)
	}
	if total > cloudhttp.MaxMeta {
		return nil, fmt.Errorf("%w: escaped metadata of %d bytes: S3 accepts at most %d", driver.ErrTooLarge, total, cloudhttp.MaxMeta)
	}
	return m, nil
}

// putParts stores content as a multipart upload. first is the beginning of the
// content.
func (b *bucket) putParts(ctx context.Context, key string, first []byte, size int64, src *provider.Source, o *driver.WriteOptions, meta map[string]string) error {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ContentType: &o.ContentType, CacheControl: optional(o.CacheControl), Metadata: meta,
		ContentEncoding:      optional(o.ContentEncoding),
		ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	}
	if b.sum {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite
	}
	u, err := b.startUpload(ctx, in)
	if err != nil {
		return err
	}
	return u.finish(ctx, o.IfNotExist, u.putAll(ctx, first, size, src))
}

// putAll sends all parts. buf contains the first part or its beginning.
func (u *upload) putAll(ctx context.Context, buf []byte, size int64, src *provider.Source) error {
	n := len(buf)
	buf = buf[:cap(buf)]
	for {
		want := size
		if size == 0 {
			want = partBytes
			if len(u.done) >= growAfter {
				want = maxPartBytes
			}
		}
		if int64(len(buf)) < want {
			larger := make([]byte, want)
			copy(larger, buf[:n])
			buf = larger
		}
		if int64(n) < want {
			m, err := src.Fill(buf[n:want])
			if err != nil {
				return err
			}
			n += m
		}
		if n == 0 {
			return nil
		}
		if len(u.done) == maxParts {
			return fmt.Errorf("%w: content exceeds the %d parts of an upload of unknown size", driver.ErrTooLarge, maxParts)
		}
		if err := u.put(ctx, buf[:n]); err != nil {
			return err
		}
		n = 0
	}
}
