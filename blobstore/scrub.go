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

// ErrUnrecorded reports an object in the bucket without a record in the trail.
var ErrUnrecorded = errors.New("the object is not recorded in the trail")

// ScrubOptions configures [Store.Scrub]. Nil and the zero value select all
// objects and compare each with its stored digest only.
type ScrubOptions struct {
	// Prefix selects the keys beginning with it.
	Prefix string
	// Trail is usually the journal of the store. If set, every object must also
	// be recorded there. Only the trail reveals an attacker who replaces both
	// content and stored digest.
	Trail audit.Reader
}

// Scrubbed is the finding of [Store.Scrub] about one object.
type Scrubbed struct {
	Object *Object
	Err    error // nil if the object is intact
}

// Scrub reads objects again, in key order, to find damaged or unrecorded ones.
// It yields a finding for each object. Scrubbed.Err is nil if the object is
// intact, and otherwise one of these errors:
//
//   - [ErrChecksum]: the content does not match its stored digest or the trail.
//   - [ErrUnrecorded]: the trail has no record of the object.
//   - [ErrUnsupported]: neither the object nor the trail has a digest to
//     compare the content with.
//   - any other error: reading the object failed.
//
// If an object cannot be opened, Scrubbed.Object has only the fields provided
// by the listing: Key, Size and ModTime.
//
// Scrub records each problem in the trail, with action "scrub", before it
// yields the finding. It does not record intact objects, because it serves no
// content. A problem does not end the iteration.
//
// The second value is not nil if Scrub cannot continue: the listing failed, the
// bucket does not exist, the trail is unavailable, the operation was denied, or
// ctx ended. It ends the iteration.
//
// Scrub skips objects deleted while it runs. An object whose upload is in
// progress or staged may be reported as unrecorded; check it again later.
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

// scrubOne returns the finding about a listed object, or an error that ends the
// iteration. The finding is empty if the object was deleted.
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
		if uuid.Validate(obj.OpID) == nil { // an attacker may have stored any text as the ID
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

// compare compares an object with its stored digest and with the trail.
func compare(ctx context.Context, obj *Object, sum []byte, trail audit.Reader) error {
	if obj.SHA256 != nil && !bytes.Equal(sum, obj.SHA256) {
		return fmt.Errorf("%w: the content does not match the stored digest", ErrChecksum)
	}
	if trail == nil {
		if obj.SHA256 == nil {
			return fmt.Errorf("%w: this object has no stored SHA-256", ErrUnsupported)
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
			return fmt.Errorf("%w: the content does not match the digest in the trail", ErrChecksum)
		}
		return nil
	}
	return ErrUnrecorded
}
