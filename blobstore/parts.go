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

// A request over HTTP may ask for several ranges, or for none because it only
// wants to know whether the object changed: what is read can be decided only
// when it is known what the object is. DownloadParts is one use of an object, and
// one entry, for whatever number of reads.

// Part is a part of an object.
type Part struct {
	Offset int64 // bytes from the beginning
	Length int64 // bytes
}

// PartsOptions are the options of [Store.DownloadParts].
type PartsOptions struct {
	// Choose is told what the object is and returns the parts to read: within
	// the object, none of them empty, in any order. None means that nothing is
	// read, which is recorded as well. An error refuses the download; it is
	// recorded and returned. If the object is replaced meanwhile, Choose is
	// called again. It is required.
	Choose func(*Object) ([]Part, error)

	// Expect is what Choose will most likely return, as its only or first part;
	// Length 0: to the end. It is opened while the object is looked up, which
	// saves that a second time. Nil: nothing is opened before Choose has
	// returned.
	Expect *Part

	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource

	// Head asks for the object's description alone, to answer a HEAD request:
	// Choose must return no parts, and the trail keeps the method HEAD.
	Head bool

	// Use, if not nil, is the use of a GET or HEAD link to this key, for a
	// handler that serves links; see [Store.UseLink]. The authorizer is not
	// asked, and the use is recorded in place of a download. The use of a HEAD
	// request needs Head.
	Use *Use
}

// Parts are the parts of an object that are being read. It is not safe for
// concurrent use. The caller closes it.
type Parts struct {
	Object *Object // what is read; all parts are of this same state

	store *Store
	parts []Part
	first *Reader // opened already
}

// DownloadParts opens parts of an object that are chosen when it is known what
// the object is. Its one entry, with the sum of their lengths, is durable before
// it returns. A missing object is fs.ErrNotExist.
func (s *Store) DownloadParts(ctx context.Context, key string, opts *PartsOptions) (*Parts, error) {
	ctx, span := s.trace(ctx, audit.ActionDownload)
	p, err := s.downloadParts(ctx, key, opts)
	if span.end(err) != nil {
		return nil, &Error{Op: "download", Key: key, Err: err}
	}
	return p, nil
}

func (s *Store) downloadParts(ctx context.Context, key string, o *PartsOptions) (*Parts, error) {
	if o == nil || o.Choose == nil {
		return nil, errors.New("nil PartsOptions.Choose: it must say what to read")
	}
	e := audit.Event{Action: audit.ActionDownload, Key: key, Resource: o.Resource}
	method := http.MethodGet
	if o.Head {
		method = http.MethodHead
		e.Details.Method = method
	}
	if err := s.enterBy(ctx, &e, o.Use.permit(s, method)); err != nil {
		return nil, err
	}
	defer s.leave()

	p, err := s.openParts(ctx, key, o)
	if err == nil && o.Head && len(p.parts) > 0 {
		err = errors.New("PartsOptions.Choose returned parts, although Head asks for none")
	}
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

// sum returns the number of bytes of all parts, and what they are in the form of
// audit.Details; empty for none and for the whole object.
func (p *Parts) sum() (total int64, ranges string) {
	var b strings.Builder
	for _, part := range p.parts {
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

// openParts has the parts chosen and opens the first of them, so that what can
// fail fails before the entry says that it was read.
func (s *Store) openParts(ctx context.Context, key string, o *PartsOptions) (*Parts, error) {
	const tries = 25 // each costs little, and a busy writer may win several in a row
	expect := o.Expect
	for range tries {
		obj, r, err := s.lookUpOrOpen(ctx, key, expect)
		if errors.Is(err, ErrRange) && expect != nil {
			expect = nil // it is for Choose to say what that means
			continue
		}
		if err != nil {
			return nil, err
		}
		p := &Parts{Object: obj, store: s}
		p.parts, err = o.Choose(obj)
		if err == nil {
			err = p.check()
		}
		if err == nil && o.Head && len(p.parts) > 0 {
			err = fmt.Errorf("%w: PartsOptions.Head allows no parts, and Choose returned %d", ErrUnsupported, len(p.parts))
			p.parts = nil
		}
		if err != nil || len(p.parts) == 0 {
			closeUnread(r)
			return p, err
		}
		if r != nil && (r.Offset != p.parts[0].Offset || r.Length != p.parts[0].Length) {
			closeUnread(r)
			r = nil
		}
		if r == nil {
			r, err = p.open(ctx, p.parts[0])
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
	return nil, fmt.Errorf("%w %d times", errReplaced, tries)
}

var errReplaced = errors.New("the object was replaced while it was read")

// lookUpOrOpen describes an object, and opens the part that is expected, if any.
func (s *Store) lookUpOrOpen(ctx context.Context, key string, expect *Part) (*Object, *Reader, error) {
	if expect == nil {
		obj, err := s.lookUp(ctx, key)
		return obj, nil, err
	}
	r, err := s.open(ctx, key, &DownloadOptions{Offset: expect.Offset, Length: expect.Length})
	if err != nil {
		return nil, nil, err
	}
	return r.Object, r, nil
}

// check refuses parts that are none, which only a mistake in Choose can cause.
func (p *Parts) check() error {
	for _, part := range p.parts {
		if part.Offset < 0 || part.Length <= 0 || part.Length > p.Object.Size-part.Offset {
			return fmt.Errorf("%w: part of %d bytes from %d on, of %d", ErrRange, part.Length, part.Offset, p.Object.Size)
		}
	}
	return nil
}

// open opens a part of the same state of the object.
func (p *Parts) open(ctx context.Context, part Part) (*Reader, error) {
	r, err := p.store.open(ctx, p.Object.Key, &DownloadOptions{Offset: part.Offset, Length: part.Length})
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

// Next opens the next of the parts, and returns io.EOF after the last. It fails
// if the object is no longer the one that was chosen from. The caller closes the
// reader before the next call.
func (p *Parts) Next(ctx context.Context) (*Reader, error) {
	if len(p.parts) == 0 {
		return nil, io.EOF
	}
	r := p.first
	if r == nil {
		var err error
		if r, err = p.open(ctx, p.parts[0]); err != nil {
			return nil, &Error{Op: "download", Key: p.Object.Key, Err: err}
		}
	}
	p.first, p.parts = nil, p.parts[1:]
	return r, nil
}

// Close releases what was opened and not yet returned by Next.
func (p *Parts) Close() error {
	r := p.first
	p.first, p.parts = nil, nil
	if r == nil {
		return nil
	}
	return r.Close()
}
