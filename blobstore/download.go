package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// DownloadOptions configures [Store.Download]. Nil and the zero value select
// the whole object without verification.
type DownloadOptions struct {
	// Range is the range to read. The zero value selects the whole object, and
	// a Length of 0 reads to the end. A range that ends past the end of the
	// object is shortened. If it starts past the end, the error is [ErrRange].
	Range Range
	// Verify compares the content with the stored SHA-256 while it is read. If
	// they differ, the last call to Read returns [ErrChecksum] instead of
	// io.EOF. Verify requires the whole object. Together with Range, or if the
	// object has no stored SHA-256, the error is [ErrUnsupported].
	Verify bool
	// Resource identifies the application's record that the file belongs to,
	// such as an invoice. It is recorded in the trail.
	Resource audit.Resource
}

// Reader reads an object or a range of it. The caller must close it. It is not
// safe for concurrent use.
type Reader struct {
	Object *Object // describes the version being read
	Range  Range   // the range being read

	ctx   context.Context
	body  io.ReadCloser
	read  int64 // bytes read so far
	empty progress.Count
	hash  hash.Hash // not nil if the content is verified
}

// Download opens an object for reading. The caller must close the returned
// reader. The download is recorded durably before Download returns, so no byte
// is served without a record. If the object does not exist, the error is
// fs.ErrNotExist. After ctx ends, reads fail with the error of ctx.
func (s *Store) Download(ctx context.Context, key string, opts *DownloadOptions) (*Reader, error) {
	return s.downloadBy(ctx, key, opts, nil)
}

// downloadBy downloads on behalf of a link, or of the store if by is nil.
func (s *Store) downloadBy(ctx context.Context, key string, opts *DownloadOptions, by *redeemed) (*Reader, error) {
	ctx, span := s.trace(ctx, audit.ActionDownload)
	r, err := s.download(ctx, key, opts, by)
	if span.end(err) != nil {
		return nil, &Error{Op: "download", Key: key, Err: err}
	}
	return r, nil
}

func (s *Store) download(ctx context.Context, key string, opts *DownloadOptions, by *redeemed) (*Reader, error) {
	var o DownloadOptions
	if opts != nil {
		o = *opts
	}
	partial := o.Range != Range{}
	switch {
	case o.Range.Offset < 0 || o.Range.Length < 0:
		return nil, fmt.Errorf("%w: invalid offset %d or length %d: must not be negative", ErrRange, o.Range.Offset, o.Range.Length)
	case o.Verify && partial:
		return nil, fmt.Errorf("%w: Verify requires the whole object: leave Range empty", ErrUnsupported)
	}
	e := audit.Event{Action: audit.ActionDownload, Key: key, Resource: o.Resource}
	if err := s.enterBy(ctx, &e, by.permit(http.MethodGet)); err != nil {
		return nil, err
	}
	defer s.leave()

	r, err := s.open(ctx, key, &o)
	if err == nil {
		e.Size, e.SHA256, e.ContentType = &r.Range.Length, r.Object.SHA256, r.Object.ContentType
		if partial {
			e.Details.Range = strconv.FormatInt(r.Range.Offset, 10) + "-" + strconv.FormatInt(r.Range.Length, 10)
		}
	}
	if err := s.record(ctx, e, err); err != nil {
		if r != nil {
			_ = r.Close() // nothing was read from it
		}
		return nil, err
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, key string, o *DownloadOptions) (*Reader, error) {
	length := int64(-1)
	if o.Range.Length > 0 {
		length = o.Range.Length
	}
	dr, err := s.bucket.Read(ctx, key, o.Range.Offset, length)
	if err != nil {
		return nil, err
	}
	obj, err := object(key, dr.Attributes)
	if err == nil && o.Verify && obj.SHA256 == nil {
		err = fmt.Errorf("%w: this object has no stored SHA-256", ErrUnsupported)
	}
	if err != nil {
		_ = dr.Close() // nothing was read from it
		return nil, err
	}
	r := &Reader{Object: obj, Range: Range{o.Range.Offset, obj.Size - o.Range.Offset}, ctx: ctx, body: dr}
	if length >= 0 {
		r.Range.Length = min(r.Range.Length, length)
	}
	if o.Verify {
		r.hash = sha256.New()
	}
	return r, nil
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, r.fail(context.Cause(r.ctx))
	}
	n, err := r.body.Read(p)
	err = r.empty.Check(p, n, err)
	r.read += int64(n)
	if r.hash != nil {
		r.hash.Write(p[:n])
		if err == io.EOF && !bytes.Equal(r.hash.Sum(nil), r.Object.SHA256) {
			err = ErrChecksum
		}
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, r.fail(err)
}

func (r *Reader) fail(err error) error {
	return &Error{Op: "download", Key: r.Object.Key, Err: ended(r.ctx, err)}
}

var smallBuffers = &provider.Buffers{Size: sendFrom}

// sendFrom is the minimum size, in bytes, for a file to be sent by the kernel.
// A smaller file fits into one write together with the header of the HTTP
// response.
const sendFrom = 32 << 10

// WriteTo implements [io.WriterTo]. It uses a pooled buffer. From a local file
// to an HTTP client, the kernel sends the content without a buffer.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if file := r.file(w); file != nil {
		n, err := w.(io.ReaderFrom).ReadFrom(file)
		r.read += n
		if err != nil {
			err = r.fail(err)
		}
		return n, err
	}
	if r.Range.Length < sendFrom {
		return provider.CopyBy(smallBuffers, w, r)
	}
	return provider.Copy(w, r)
}

// file returns the remaining content as part of a file, in the form that the
// kernel can send directly to the socket of w. It returns nil if that is not
// possible or not worthwhile.
func (r *Reader) file(w io.Writer) io.Reader {
	if r.hash != nil || r.Range.Length-r.read < sendFrom || r.ctx.Err() != nil {
		return nil
	}
	if _, ok := w.(interface {
		http.ResponseWriter
		io.ReaderFrom
	}); !ok {
		return nil
	}
	dr, ok := r.body.(*driver.Reader)
	if !ok {
		return nil
	}
	var src io.Reader
	if as, ok := dr.ReadCloser.(interface{ As(any) bool }); !ok || !as.As(&src) {
		return nil
	}
	switch src := src.(type) {
	case *os.File:
		// With a limit, the kernel does not need to look for the end itself, so
		// it is much faster.
		return &io.LimitedReader{R: src, N: r.Range.Length - r.read}
	case *io.LimitedReader:
		if _, ok := src.R.(*os.File); ok {
			return src
		}
	}
	return nil
}

// Close releases the reader.
func (r *Reader) Close() error { return r.body.Close() }
