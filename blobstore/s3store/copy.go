package s3store

// This file implements copies within the bucket, performed by the service.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// copyPart is the number of bytes copied by one request. It limits the duration
// of a request.
const copyPart = 256 << 20

// Copy implements [driver.Bucket]. A create-only copy uses a multipart upload.
// Every service supports the create-only condition for completing one, but some
// ignore it for a plain copy.
func (b *bucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &src})
	if err != nil {
		return b.missing(ctx, err)
	}
	if head.ContentLength == nil || aws.ToString(head.ETag) == "" {
		return errNoSize
	}
	if o.IfMatch != "" && o.IfMatch != aws.ToString(head.ETag) {
		return driver.ErrReplaced
	}
	meta := maps.Clone(head.Metadata)
	if meta == nil {
		meta = make(map[string]string)
	}
	ours, err := encodeMetadata(o.Metadata)
	if err != nil {
		return err
	}
	if o.ContentOnly {
		head = &s3.HeadObjectOutput{ETag: head.ETag, ContentLength: head.ContentLength, ContentType: &o.ContentType}
		clear(meta)
	}
	maps.Copy(meta, ours)
	if err := b.refuseTaken(ctx, dst, ours, o.IfNotExist); err != nil {
		return err
	}
	from := httpbinding.EscapePath(b.name+"/"+src, false)
	size := aws.ToInt64(head.ContentLength)
	switch {
	case size == 0:
		err = b.copyEmpty(ctx, dst, head, meta, o.IfNotExist)
	case o.IfNotExist || o.ContentOnly || size > copyPart: // a plain copy would include the tags
		err = b.copyParts(ctx, dst, from, head, meta, o.IfNotExist)
	default:
		var out *s3.CopyObjectOutput
		out, err = b.client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &b.name, Key: &dst, CopySource: &from, CopySourceIfMatch: head.ETag,
			MetadataDirective: types.MetadataDirectiveReplace, Metadata: meta,
			ContentType: head.ContentType, CacheControl: head.CacheControl, ContentDisposition: head.ContentDisposition,
			ContentEncoding: head.ContentEncoding, ContentLanguage: head.ContentLanguage,
			ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
		})
		if err = sourceChanged(err); err == nil && (out.CopyObjectResult == nil || out.CopyObjectResult.ETag == nil) {
			// The service does not support this request and handled it as a
			// plain PUT.
			err = errNoCopy("CopyObject")
		}
	}
	return b.mapWrite(ctx, err)
}

// errNoCopy is the error for a response to a copy request without its result.
// The service stored the empty body of the request, or nothing.
func errNoCopy(request string) error {
	return fmt.Errorf("%w: the response to %s has no result, so the service does not support this request", errors.ErrUnsupported, request)
}

// sourceChanged maps the error of a request with the unchanged source as its
// only condition.
func sourceChanged(err error) error {
	if code(err) == "PreconditionFailed" {
		// Do not wrap the original error, because it would be mapped to "key
		// exists".
		return driver.ErrReplaced
	}
	return err
}

func (b *bucket) copyEmpty(ctx context.Context, dst string, head *s3.HeadObjectOutput, meta map[string]string, ifNotExist bool) error {
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &dst, Body: bytes.NewReader(nil), ContentLength: aws.Int64(0), Metadata: meta,
		ContentType: head.ContentType, CacheControl: head.CacheControl, ContentDisposition: head.ContentDisposition,
		ContentEncoding: head.ContentEncoding, ContentLanguage: head.ContentLanguage,
		ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	}
	if ifNotExist {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := b.client.PutObject(ctx, in)
	return err
}

func (b *bucket) copyParts(ctx context.Context, dst, from string, head *s3.HeadObjectOutput, meta map[string]string, ifNotExist bool) error {
	u, err := b.startUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &dst, Metadata: meta,
		ContentType: head.ContentType, CacheControl: head.CacheControl, ContentDisposition: head.ContentDisposition,
		ContentEncoding: head.ContentEncoding, ContentLanguage: head.ContentLanguage,
		ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	})
	if err != nil {
		return err
	}
	size := aws.ToInt64(head.ContentLength)
	step := max(copyPart, (size+maxParts-1)/maxParts)
	for at := int64(0); at < size && err == nil; at += step {
		err = sourceChanged(u.putCopy(ctx, &s3.UploadPartCopyInput{
			CopySource: &from, CopySourceIfMatch: head.ETag,
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", at, min(at+step, size)-1)),
		}))
	}
	return u.finish(ctx, ifNotExist, err)
}

// Received implements [driver.Bucket]. It refuses archived objects, because
// they would have to be restored first.
func (b *bucket) Received(ctx context.Context, key string) (*blob.Attributes, error) {
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, b.mapError(err)
	}
	switch {
	case head.StorageClass == types.StorageClassGlacier, head.StorageClass == types.StorageClassDeepArchive:
		return nil, fmt.Errorf("%w: the client sent the object to the storage class %s: send it without a storage class", provider.ErrKind, head.StorageClass)
	case head.ArchiveStatus != "":
		return nil, fmt.Errorf("%w: the object is in an archive (%s): send it without a storage class", provider.ErrKind, head.ArchiveStatus)
	}
	return &blob.Attributes{
		ContentType: aws.ToString(head.ContentType), Size: aws.ToInt64(head.ContentLength),
		ModTime: aws.ToTime(head.LastModified), ETag: aws.ToString(head.ETag),
	}, nil
}
