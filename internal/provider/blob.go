package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"
)

// ErrRange reports a range that begins past the end of the object. Package
// driver exports it.
var ErrRange = errors.New("range begins past the end of the object")

// OpenTries bounds how many times Read reopens an object that is replaced
// between reading its attributes and its content. A try costs little, and a
// busy writer may win several times in a row.
const OpenTries = 25

// ErrReplacedOften is the error after OpenTries attempts.
var ErrReplacedOften = fmt.Errorf("the object was replaced %d times while it was being opened", OpenTries)

// CheckOffset returns ErrRange unless offset is between 0 and size.
func CheckOffset(offset, size int64) error {
	if offset < 0 || offset > size {
		return fmt.Errorf("%w: offset %d of %d bytes", ErrRange, offset, size)
	}
	return nil
}

// WriterOptions returns options for a write with the Go CDK. They disable the
// detection of the content type.
func WriterOptions(contentType, cacheControl, encoding string, metadata map[string]string, ifNotExist bool) *blob.WriterOptions {
	return &blob.WriterOptions{
		ContentType:                 contentType,
		CacheControl:                cacheControl,
		ContentEncoding:             encoding,
		Metadata:                    metadata,
		IfNotExist:                  ifNotExist,
		DisableContentTypeDetection: true,
	}
}

// Attributes describes an object of a Go CDK bucket. mapError converts an error
// of the bucket to the contract, here and in List.
func Attributes(ctx context.Context, b *blob.Bucket, key string, mapError func(error) error) (*blob.Attributes, error) {
	a, err := b.Attributes(ctx, key)
	if err != nil {
		return nil, mapError(err)
	}
	return a, nil
}

// MapReads returns a reader of r with mapError applied to the errors of Read.
func MapReads(r io.ReadCloser, mapError func(error) error) io.ReadCloser {
	return &mappedReader{r, mapError}
}

type mappedReader struct {
	io.ReadCloser
	mapError func(error) error
}

func (r *mappedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.mapError(err)
	}
	return n, err
}

// As calls the As method of the underlying reader, if any.
func (r *mappedReader) As(i any) bool {
	as, ok := r.ReadCloser.(interface{ As(any) bool })
	return ok && as.As(i)
}

// List yields the objects of a Go CDK bucket selected by o.
func List(ctx context.Context, b *blob.Bucket, o *blob.ListOptions, mapError func(error) error) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		it := b.List(o)
		for {
			obj, err := next(ctx, it)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, mapError(err))
				return
			}
			if !yield(obj, nil) {
				return
			}
		}
	}
}

// next returns the next object. The drivers of the Go CDK panic if a response
// lacks an expected field, such as the time of an object. next returns an error
// instead.
func next(ctx context.Context, it *blob.ListIterator) (obj *blob.ListObject, err error) {
	defer func() {
		if r := recover(); r != nil {
			obj, err = nil, fmt.Errorf("the response to the listing lacks a required field: %v", r)
		}
	}()
	return it.Next(ctx)
}
