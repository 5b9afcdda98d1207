package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"
)

// ErrRange is the error of a range that begins past the end of the object, which
// package driver exports.
var ErrRange = errors.New("range begins behind the end")

// OpenTries bounds how often Read asks again for an object that is replaced between
// its attributes and its content. Each costs little, and a busy writer may win
// several in a row.
const OpenTries = 25

// ErrReplacedOften is the error after OpenTries.
var ErrReplacedOften = fmt.Errorf("the object was replaced %d times while it was opened", OpenTries)

// CheckOffset returns ErrRange unless offset is in an object of that size, or at
// its end.
func CheckOffset(offset, size int64) error {
	if offset < 0 || offset > size {
		return fmt.Errorf("%w: offset %d of %d bytes", ErrRange, offset, size)
	}
	return nil
}

// WriterOptions returns the Go CDK's options of a write. The type is never
// detected.
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

// Attributes describes an object of a Go CDK bucket. mapError gives its errors
// their meaning, as it does for List.
func Attributes(ctx context.Context, b *blob.Bucket, key string, mapError func(error) error) (*blob.Attributes, error) {
	a, err := b.Attributes(ctx, key)
	if err != nil {
		return nil, mapError(err)
	}
	return a, nil
}

// MapReads returns a reader of r whose Read fails with mapped errors.
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

// As gives what the reader's own As does, such as the file that it reads.
func (r *mappedReader) As(i any) bool {
	as, ok := r.ReadCloser.(interface{ As(any) bool })
	return ok && as.As(i)
}

// List yields the objects of a Go CDK bucket that o selects.
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

// next returns the next object. The Go CDK's drivers panic if a service leaves
// out what they take for granted, such as the time of an object.
func next(ctx context.Context, it *blob.ListIterator) (obj *blob.ListObject, err error) {
	defer func() {
		if r := recover(); r != nil {
			obj, err = nil, fmt.Errorf("the service answered a listing without a field that the driver needs: %v", r)
		}
	}()
	return it.Next(ctx)
}
