package blobstore

import (
	"context"
	"errors"
	"io/fs"

	"github.com/blobtrail/blobtrail/audit"
)

// DeleteOptions are the options of [Store.Delete].
type DeleteOptions struct {
	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource
	// Attrs are further facts for the trail; see [audit.Event].
	Attrs map[string]string
	// GrantID is set by a handler that serves a delete link, so that its use is
	// recorded and joined to its issue.
	GrantID string
}

// attrETag keeps, in the intent of an operation that removes an object, which
// object that was, so that the reconciler does not take one that came later
// under the same key for it.
const attrETag = "etag"

// Delete removes an object. A missing one is fs.ErrNotExist.
func (s *Store) Delete(ctx context.Context, key string, opts *DeleteOptions) error {
	ctx, span := s.trace(ctx, audit.ActionDelete)
	if err := span.end(s.delete(ctx, key, opts)); err != nil {
		return &Error{Op: "delete", Key: key, Err: err}
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string, opts *DeleteOptions) error {
	var o DeleteOptions
	if opts != nil {
		o = *opts
	}
	e := audit.Event{Action: audit.ActionDelete, Key: key, Resource: o.Resource, GrantID: o.GrantID, Attrs: o.Attrs}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()

	obj, err := s.lookUp(ctx, key)
	if obj == nil { // one whose digest is broken can be deleted all the same
		return s.record(ctx, e, err)
	}
	e.Size, e.SHA256, e.ContentType = &obj.Size, obj.SHA256, obj.ContentType
	e.Attrs = with(e.Attrs, attrETag, obj.ETag)
	return s.change(ctx, e, func(ctx context.Context, _ audit.Intent) (effect, error) {
		return effect{}, s.remove(ctx, key)
	})
}

// remove deletes an object and, if the backend failed, finds out whether it did
// so all the same.
func (s *Store) remove(ctx context.Context, key string) error {
	dctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	cause := s.bucket.Delete(dctx, key)
	cancel()
	if cause == nil || errors.Is(cause, fs.ErrNotExist) || errors.Is(cause, ErrInDoubt) {
		return cause
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	_, err := s.bucket.Blob().Attributes(ctx, key)
	switch err = s.bucket.MapError(err); {
	case err == nil:
		return cause
	case errors.Is(err, fs.ErrNotExist):
		return nil // only the reply was lost
	}
	return inDoubt(cause, err)
}
