package blobstore

import (
	"context"
	"errors"
	"net/http"

	"github.com/blobtrail/blobtrail/audit"
)

// DeleteOptions configures [Store.Delete] and [Store.DeletePrefix]. Nil and the
// zero value select the defaults.
type DeleteOptions struct {
	// Resource identifies the application's record that the file belongs to. It is
	// recorded in the trail.
	Resource audit.Resource
}

// Delete removes an object. If the object does not exist, the error is
// fs.ErrNotExist.
//
// If the object is replaced concurrently, Delete removes the replacement and
// records the object that it removed. After four attempts it gives up with
// [ErrReplaced].
//
// A Delete may be delayed for so long that Reconcile settles its operation
// first. On backends with Capabilities.ExactDelete, it then does not remove an
// object that was stored since. On other backends, checking the version and
// deleting are two separate steps.
func (s *Store) Delete(ctx context.Context, key string, opts *DeleteOptions) error {
	return s.deleteBy(ctx, key, opts, nil)
}

// deleteBy deletes on behalf of a link, or of the store if by is nil.
func (s *Store) deleteBy(ctx context.Context, key string, opts *DeleteOptions, by *redeemed) error {
	ctx, span := s.trace(ctx, audit.ActionDelete)
	if err := span.end(s.delete(ctx, key, opts, by)); err != nil {
		return &Error{Op: "delete", Key: key, Err: err}
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string, opts *DeleteOptions, by *redeemed) error {
	var o DeleteOptions
	if opts != nil {
		o = *opts
	}
	e := audit.Event{Action: audit.ActionDelete, Key: key, Resource: o.Resource}
	if err := s.enterBy(ctx, &e, by.permit(http.MethodDelete)); err != nil {
		return err
	}
	defer s.leave()

	obj, err := s.lookUp(ctx, key)
	if obj == nil { // an object with a malformed digest can still be deleted
		return s.record(ctx, e, err)
	}
	e.Size, e.SHA256, e.ContentType = &obj.Size, obj.SHA256, obj.ContentType
	e.Details.ETag = obj.ETag
	return s.change(ctx, e, func(ctx context.Context, intent audit.Intent) (effect, error) {
		return s.deleteAsIs(ctx, intent, obj)
	})
}

// deleteTries bounds the attempts to delete an object that is replaced
// concurrently.
const deleteTries = 4

// deleteAsIs deletes obj, or its replacement if it was replaced since the
// lookup.
func (s *Store) deleteAsIs(ctx context.Context, intent audit.Intent, obj *Object) (eff effect, err error) {
	for try := 1; ; try++ {
		err = s.remove(ctx, obj.Key, obj.ETag)
		// If the outcome is unknown, obj may be deleted already, and the
		// current object may be newer.
		if try == deleteTries || !errors.Is(err, ErrReplaced) || errors.Is(err, ErrInDoubt) {
			return eff, err
		}
		// Continue only while this process holds the intent. If the process was
		// suspended for long, the trail may already say that the deletion
		// failed.
		if err = s.renew(ctx, intent); err != nil {
			return eff, both(ErrReplaced, err)
		}
		now, err := s.lookUp(ctx, obj.Key)
		if now == nil {
			return eff, err
		}
		obj = now
		eff.result = resultOf(obj)
	}
}
