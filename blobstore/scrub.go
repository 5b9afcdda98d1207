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

// ErrUnrecorded reports an object in the bucket that the trail has no record of.
var ErrUnrecorded = errors.New("the trail has no record of this object")

// ScrubOptions are the options of [Store.Scrub]. Nil and the zero value mean
// every object, compared with the digest that is kept with it.
type ScrubOptions struct {
	// Prefix selects the keys that begin with it.
	Prefix string
	// Trail, if not nil, must also have a record of each object. Only the trail
	// catches someone who rewrites both content and stored digest. It is most often
	// the journal that the store writes to.
	Trail audit.Reader
}

// Scrubbed is the finding of [Store.Scrub] about one object.
type Scrubbed struct {
	Object *Object
	Err    error // nil if the object is sound
}

// Scrub reads every object again, in the order of the keys, and yields a finding
// for each. Its Err is nil for a sound object. Otherwise it is [ErrChecksum] if the
// content differs from its digest or from the trail, [ErrUnrecorded] if the trail
// has no record of it, [ErrUnsupported] if there is nothing to compare it with, or
// the error with which reading it failed. Each such finding is recorded (action
// "scrub") before it is yielded. A sound object is not recorded, since nothing is
// served.
//
// Findings don't end the sequence. An error does: the listing failed, the bucket is
// gone, the trail can't be read or written, the caller was denied, or ctx ended.
//
// Scrub leaves out an object that is deleted concurrently. It may report an object
// as unrecorded whose upload is still running or staged: scrub again later.
func (s *Store) Scrub(ctx context.Context, opts *ScrubOptions) iter.Seq2[Scrubbed, error] {
	var o ScrubOptions
	if opts != nil {
		o = *opts
	}
	return func(yield func(Scrubbed, error) bool) {
		for obj, err := range s.List(ctx, &ListOptions{Prefix: o.Prefix}) {
			if err != nil {
				yield(Scrubbed{}, err)
				return
			}
			found, end := s.scrubOne(ctx, obj, o.Trail)
			if end != nil {
				yield(Scrubbed{}, &Error{Op: "scrub", Key: obj.Key, Err: end})
				return
			}
			if found.Object != nil && !yield(found, nil) {
				return
			}
		}
	}
}

// scrubOne returns the finding about a listed object, which is empty if the object
// was deleted, or the error that ends the sequence.
func (s *Store) scrubOne(ctx context.Context, listed *Object, trail audit.Reader) (Scrubbed, error) {
	sctx, span := s.trace(ctx, audit.ActionScrub)
	found, err := s.scrub(sctx, listed.Key, trail)
	if errors.Is(err, errGone) {
		return Scrubbed{}, span.end(nil)
	}
	_ = span.end(err)
	if found == nil {
		found = listed
	}
	switch {
	case ctx.Err() != nil:
		return Scrubbed{}, ended(ctx, context.Cause(ctx))
	case errors.Is(err, ErrAudit), errors.Is(err, ErrDenied), errors.Is(err, ErrNoBucket), errors.Is(err, ErrClosed):
		return Scrubbed{}, err
	case err != nil:
		err = &Error{Op: "scrub", Key: listed.Key, Err: err}
	}
	return Scrubbed{found, err}, nil
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
