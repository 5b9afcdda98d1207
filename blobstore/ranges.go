package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
)

// This file implements downloads of ranges. An HTTP request may ask for several
// ranges, or for none if it only checks whether the object changed. The ranges
// can be chosen only after the object is known. DownloadRanges records one
// entry for any number of ranges.

// Range is a range of an object's content.
type Range struct {
	Offset int64 // bytes from the beginning
	Length int64 // bytes
}

// RangesOptions configures [Store.DownloadRanges].
type RangesOptions struct {
	// Choose returns the ranges to read, in any order. Each must be non-empty
	// and within the object. If Choose returns none, nothing is read, and that
	// is recorded too. If Choose returns an error, the download fails with it,
	// and the failure is recorded. If the object is replaced concurrently,
	// Choose is called again. Choose is required.
	Choose func(*Object) ([]Range, error)

	// Expect is the range that Choose most likely returns, alone or first. A
	// Length of 0 means to the end. The store opens this range while looking up
	// the object, to save one request. If nil, no range is opened before Choose
	// returns.
	Expect *Range

	// Resource identifies the application's record that the file belongs to,
	// such as an invoice. It is recorded in the trail.
	Resource audit.Resource

	// Head requests only the description of the object, for a HEAD request. The
	// trail records the method HEAD. Choose must return no ranges.
	Head bool
}

// RangeReader reads ranges of an object. The caller must close it. It is not
// safe for concurrent use.
type RangeReader struct {
	Object *Object // the version of the object; all ranges belong to it

	store  *Store
	ranges []Range
	first  *Reader // opened in advance
}

// DownloadRanges opens ranges of an object, selected by RangesOptions.Choose
// after the object is known. One entry with the total length of the ranges is
// recorded durably before DownloadRanges returns. If the object does not exist,
// the error is fs.ErrNotExist.
func (s *Store) DownloadRanges(ctx context.Context, key string, opts *RangesOptions) (*RangeReader, error) {
	return s.downloadRangesBy(ctx, key, opts, nil)
}

// downloadRangesBy downloads on behalf of a link, or of the store if by is nil.
func (s *Store) downloadRangesBy(ctx context.Context, key string, opts *RangesOptions, by *redeemed) (*RangeReader, error) {
	ctx, span := s.trace(ctx, audit.ActionDownload)
	p, err := s.downloadRanges(ctx, key, opts, by)
	if span.end(err) != nil {
		return nil, &Error{Op: "download", Key: key, Err: err}
	}
	return p, nil
}

func (s *Store) downloadRanges(ctx context.Context, key string, o *RangesOptions, by *redeemed) (*RangeReader, error) {
	if o == nil || o.Choose == nil {
		return nil, errors.New("RangesOptions.Choose is nil: set it to select the ranges to read")
	}
	e := audit.Event{Action: audit.ActionDownload, Key: key, Resource: o.Resource}
	method := http.MethodGet
	if o.Head {
		method = http.MethodHead
		e.Details.Method = method
	}
	if err := s.enterBy(ctx, &e, by.permit(method)); err != nil {
		return nil, err
	}
	defer s.leave()

	p, err := s.openRanges(ctx, key, o)
	if err == nil {
		total, ranges := p.sum()
		e.Size, e.SHA256, e.ContentType = &total, p.Object.SHA256, p.Object.ContentType
		if ranges != "" {
			e.Details.Range = ranges
		}
	}
	if err := s.record(ctx, e, err); err != nil {
		if p != nil {
			_ = p.Close() // nothing was read from it
		}
		return nil, err
	}
	return p, nil
}

// sum returns the total length of all ranges, and the ranges in the format of
// audit.Details.Range, which is empty for none and for the whole object.
func (p *RangeReader) sum() (total int64, ranges string) {
	var b strings.Builder
	for _, part := range p.ranges {
		total += part.Length
		if part.Length == p.Object.Size {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(part.Offset, 10))
		b.WriteByte('-')
		b.WriteString(strconv.FormatInt(part.Length, 10))
	}
	return total, b.String()
}

// openRanges calls Choose and opens the first range, so that failures occur
// before the entry is recorded.
func (s *Store) openRanges(ctx context.Context, key string, o *RangesOptions) (*RangeReader, error) {
	const tries = 25 // each attempt is cheap, and a busy writer may win several in a row
	expect := o.Expect
	for range tries {
		obj, r, err := s.lookUpOrOpen(ctx, key, expect)
		if errors.Is(err, ErrRange) && expect != nil {
			expect = nil // Choose decides how to handle it
			continue
		}
		if err != nil {
			return nil, err
		}
		p := &RangeReader{Object: obj, store: s}
		p.ranges, err = o.Choose(obj)
		if err == nil {
			err = p.check()
		}
		if err == nil && o.Head && len(p.ranges) > 0 {
			err = fmt.Errorf("%w: RangesOptions.Head allows no ranges, and Choose returned %d", ErrUnsupported, len(p.ranges))
			p.ranges = nil
		}
		if err != nil || len(p.ranges) == 0 {
			closeUnread(r)
			return p, err
		}
		if r != nil && (r.Range != p.ranges[0]) {
			closeUnread(r)
			r = nil
		}
		if r == nil {
			r, err = p.open(ctx, p.ranges[0])
			if errors.Is(err, errReplaced) || errors.Is(err, ErrRange) || errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		p.first = r
		return p, nil
	}
	return nil, fmt.Errorf("%w in each of %d attempts", errReplaced, tries)
}

var errReplaced = errors.New("the object was replaced while it was read")

// lookUpOrOpen returns an object, with a reader if a range is expected.
func (s *Store) lookUpOrOpen(ctx context.Context, key string, expect *Range) (*Object, *Reader, error) {
	if expect == nil {
		obj, err := s.lookUp(ctx, key)
		return obj, nil, err
	}
	r, err := s.open(ctx, key, &DownloadOptions{Range: *expect})
	if err != nil {
		return nil, nil, err
	}
	return r.Object, r, nil
}

// check rejects invalid ranges, which only a mistake in Choose can cause.
func (p *RangeReader) check() error {
	for _, part := range p.ranges {
		if part.Offset < 0 || part.Length <= 0 || part.Length > p.Object.Size-part.Offset {
			return fmt.Errorf("%w: range of %d bytes at offset %d, object size %d", ErrRange, part.Length, part.Offset, p.Object.Size)
		}
	}
	return nil
}

// open opens a range of the same version of the object.
func (p *RangeReader) open(ctx context.Context, part Range) (*Reader, error) {
	r, err := p.store.open(ctx, p.Object.Key, &DownloadOptions{Range: part})
	if err != nil {
		return nil, err
	}
	a, b := r.Object, p.Object
	if a.ETag != b.ETag || a.OpID != b.OpID || a.Size != b.Size || !a.ModTime.Equal(b.ModTime) {
		closeUnread(r)
		return nil, errReplaced
	}
	return r, nil
}

func closeUnread(r *Reader) {
	if r != nil {
		_ = r.Close() // nothing was read from it
	}
}

// Next opens the next range, and returns io.EOF after the last. It fails if the
// object was replaced after Choose selected the ranges. The caller must close
// the reader before the next call.
func (p *RangeReader) Next(ctx context.Context) (*Reader, error) {
	if len(p.ranges) == 0 {
		return nil, io.EOF
	}
	r := p.first
	if r == nil {
		var err error
		if r, err = p.open(ctx, p.ranges[0]); err != nil {
			return nil, &Error{Op: "download", Key: p.Object.Key, Err: err}
		}
	}
	p.first, p.ranges = nil, p.ranges[1:]
	return r, nil
}

// Close releases the range opened in advance if Next has not returned it.
func (p *RangeReader) Close() error {
	r := p.first
	p.first, p.ranges = nil, nil
	if r == nil {
		return nil
	}
	return r.Close()
}
