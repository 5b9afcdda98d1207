package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
)

// Scrubbing: reading every object again, to find those that rotted, or that
// somebody changed behind the store's back.

// ErrUnrecorded: an object stands in the bucket that the trail knows nothing of.
var ErrUnrecorded = errors.New("the trail has no record of this object")

// ScrubOptions are the options of [Store.Scrub]. Nil and the zero value mean
// every object, compared with the digest that is kept with it.
type ScrubOptions struct {
	// Prefix selects the keys that begin with it.
	Prefix string
	// Trail, if not nil, must also know each object: by whom changes digest and
	// content alike it alone is not deceived. It is most often the journal that
	// the store writes to.
	Trail audit.Reader
}

// Scrub reads the objects again, in the order of their keys, and yields each
// with nil if it is sound, and otherwise with what is wrong: [ErrChecksum] if the
// content is not what its digest or the trail says, [ErrUnrecorded] if the trail
// doesn't know it, [ErrUnsupported] if there is nothing to compare it with, or
// the error with which reading it failed. Its Size is that of the listing. What
// is wrong is recorded (action "scrub") before it is yielded; what is sound is
// not, since nothing is served. It goes on after what is wrong; an error without
// an object ends it.
//
// An object that is deleted meanwhile is passed over. One whose upload is still
// under way, or staged, may be yielded as unrecorded: ask again later.
func (s *Store) Scrub(ctx context.Context, opts *ScrubOptions) iter.Seq2[*Object, error] {
	var o ScrubOptions
	if opts != nil {
		o = *opts
	}
	return func(yield func(*Object, error) bool) {
		for obj, err := range s.List(ctx, &ListOptions{Prefix: o.Prefix}) {
			if err != nil {
				yield(nil, err)
				return
			}
			sctx, span := s.trace(ctx, audit.ActionScrub)
			found, err := s.scrub(sctx, obj.Key, o.Trail)
			if errors.Is(err, errGone) {
				_ = span.end(nil)
				continue
			}
			_ = span.end(err)
			switch {
			case ctx.Err() != nil:
				yield(nil, &Error{Op: "scrub", Key: obj.Key, Err: ended(ctx, context.Cause(ctx))})
				return
			case errors.Is(err, ErrAudit), errors.Is(err, ErrDenied), errors.Is(err, ErrClosed):
				yield(nil, &Error{Op: "scrub", Key: obj.Key, Err: err})
				return
			case err != nil:
				err = &Error{Op: "scrub", Key: obj.Key, Err: err}
			}
			if found == nil {
				found = obj
			}
			if !yield(found, err) {
				return
			}
		}
	}
}

var errGone = errors.New("the object was deleted")

func (s *Store) scrub(ctx context.Context, key string, trail audit.Reader) (*Object, error) {
	e := audit.Event{Action: audit.ActionScrub, Key: key}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()
	obj, sum, err := s.reread(ctx, key)
	if err == nil {
		err = compare(ctx, obj, sum, trail)
	}
	if err == nil || errors.Is(err, errGone) || ctx.Err() != nil {
		return obj, err
	}
	if obj != nil {
		e.Size, e.SHA256, e.ContentType = &obj.Size, sum, obj.ContentType
		if uuid.Validate(obj.OpID) == nil { // whoever planted it may have written anything
			e.RefOpID = obj.OpID
		}
	}
	return obj, s.record(ctx, e, err)
}

// reread returns an object and the digest of its content.
func (s *Store) reread(ctx context.Context, key string) (*Object, []byte, error) {
	r, err := s.open(ctx, key, &DownloadOptions{})
	if err != nil {
		if _, gone := s.lookUp(ctx, key); errors.Is(gone, fs.ErrNotExist) {
			return nil, nil, errGone
		}
		return nil, nil, err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, r)
	if closing := r.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return r.Object, nil, err
	}
	return r.Object, hash.Sum(nil), nil
}

// compare compares an object with what is known of it.
func compare(ctx context.Context, obj *Object, sum []byte, trail audit.Reader) error {
	if obj.SHA256 != nil && !bytes.Equal(sum, obj.SHA256) {
		return fmt.Errorf("%w: the content is not that of the digest kept with it", ErrChecksum)
	}
	if trail == nil {
		if obj.SHA256 == nil {
			return fmt.Errorf("%w: no SHA-256 is kept with this object", ErrUnsupported)
		}
		return nil
	}
	if obj.OpID == "" {
		return ErrUnrecorded
	}
	wrote := []audit.Action{audit.ActionUpload, audit.ActionCopy, audit.ActionMove}
	for e, err := range trail.Entries(ctx, audit.Query{OpID: obj.OpID, Key: obj.Key, Outcomes: []audit.Outcome{audit.OutcomeOK}}) {
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrAudit, err)
		case !slices.Contains(wrote, e.Action):
			continue
		case e.SHA256 == nil && obj.SHA256 == nil:
			return fmt.Errorf("%w: neither the object nor the trail has its SHA-256", ErrUnsupported)
		case e.SHA256 != nil && !bytes.Equal(e.SHA256, sum):
			return fmt.Errorf("%w: the content is not what the trail says", ErrChecksum)
		}
		return nil
	}
	return ErrUnrecorded
}
