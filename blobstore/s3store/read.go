package s3store

// This file implements reading, listing and deleting.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Read implements [driver.Bucket]. One request returns both the content and all
// attributes.
func (b *bucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	switch {
	case offset < 0:
		return nil, fmt.Errorf("%w: offset %d is negative", driver.ErrRange, offset)
	case length == 0:
		return cloud.ReadNothing(ctx, b, key, offset)
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if err = b.missing(ctx, err); errors.Is(err, driver.ErrRange) {
		// The range at the end of an object is empty, but not an error.
		return cloud.ReadNothing(ctx, b, key, offset)
	}
	if err != nil {
		return nil, err
	}
	size, err := cloud.WholeSize(aws.ToInt64(out.ContentLength), out.ContentRange)
	if out.ContentLength == nil {
		err = errNoSize
	}
	if err != nil {
		_ = out.Body.Close() // nothing was read from it
		return nil, err
	}
	return &driver.Reader{
		ReadCloser: &body{ReadCloser: out.Body, b: b, ctx: ctx, key: key, etag: out.ETag, at: offset, left: aws.ToInt64(out.ContentLength)},
		Attributes: &blob.Attributes{
			CacheControl: aws.ToString(out.CacheControl), ContentDisposition: aws.ToString(out.ContentDisposition),
			ContentEncoding: aws.ToString(out.ContentEncoding), ContentLanguage: aws.ToString(out.ContentLanguage),
			ContentType: aws.ToString(out.ContentType), Metadata: decodeMetadata(out.Metadata),
			ModTime: aws.ToTime(out.LastModified), Size: size, MD5: md5Of(out.ETag), ETag: aws.ToString(out.ETag),
		},
	}, nil
}

// Attributes implements [driver.Bucket].
func (b *bucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, b.missing(ctx, err)
	}
	if out.ContentLength == nil {
		return nil, errNoSize
	}
	return &blob.Attributes{
		CacheControl: aws.ToString(out.CacheControl), ContentDisposition: aws.ToString(out.ContentDisposition),
		ContentEncoding: aws.ToString(out.ContentEncoding), ContentLanguage: aws.ToString(out.ContentLanguage),
		ContentType: aws.ToString(out.ContentType), Metadata: decodeMetadata(out.Metadata),
		ModTime: aws.ToTime(out.LastModified), Size: aws.ToInt64(out.ContentLength), MD5: md5Of(out.ETag), ETag: aws.ToString(out.ETag),
	}, nil
}

var errNoSize = errors.New("the service did not return the size of the object")

// body maps the errors of a download. If the connection breaks, body resumes
// the download as long as the object is the same.
type body struct {
	io.ReadCloser
	b        *bucket
	ctx      context.Context
	key      string
	etag     *string
	at, left int64 // position and number of remaining bytes
	resumed  int
}

func (r *body) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.at += int64(n)
	r.left -= int64(n)
	if err == nil || err == io.EOF && r.left <= 0 {
		return n, err
	}
	if r.left > 0 && r.ctx.Err() == nil && r.resumed < cloud.Resumes && r.resume() == nil {
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, r.b.mapError(err)
}

// resume requests the remaining bytes.
func (r *body) resume() error {
	r.resumed++
	out, err := r.b.client.GetObject(r.ctx, &s3.GetObjectInput{
		Bucket: &r.b.name, Key: &r.key, IfMatch: r.etag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", r.at, r.at+r.left-1)),
	})
	if err != nil {
		return err
	}
	_ = r.ReadCloser.Close() // it is broken
	r.ReadCloser = out.Body
	return nil
}

func md5Of(etag *string) []byte {
	sum, err := hex.DecodeString(strings.Trim(aws.ToString(etag), `"`))
	if err != nil || len(sum) != 16 {
		return nil // not an MD5: uploaded in parts, or encrypted
	}
	return sum
}

func decodeMetadata(meta map[string]string) map[string]string {
	m := make(map[string]string, len(meta))
	for k, v := range meta {
		m[cloudhttp.UnescapeName(cloudhttp.UnescapeValue(k))] = cloudhttp.UnescapeValue(v)
	}
	return m
}

// List implements [driver.Bucket].
func (b *bucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return provider.List(ctx, b.Blob(), o, b.mapError)
}

// Delete implements [driver.Bucket]. S3 reports success for a missing object,
// so Delete first checks whether the object exists. In a bucket with
// versioning, S3 hides the object behind a delete marker. Delete does not send
// the condition to the service: some services refuse it, others ignore it, and
// the ETag may cover only the content.
func (b *bucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return b.missing(ctx, err)
	}
	if o.IfMatch != "" && o.IfMatch != aws.ToString(head.ETag) {
		return driver.ErrReplaced
	}
	_, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	return b.missing(ctx, err)
}
