package blobstore

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// DeleteOptions are the options of [Store.Delete].
type DeleteOptions struct {
	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource
	// Use, if not nil, is the use of a DELETE link to this key, for a handler
	// that serves links; see [Store.UseLink]. The authorizer is not asked, and the
	// use is recorded and joined to the link's issue.
	Use *Use
}

// Delete removes an object. A missing one is fs.ErrNotExist. If it is replaced
// meanwhile, what took its place is removed, and recorded as what was; a deletion
// that was held up until somebody else settled it removes nothing that came since
// (see Capabilities.ExactDelete).
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
	e := audit.Event{Action: audit.ActionDelete, Key: key, Resource: o.Resource}
	if err := s.enterBy(ctx, &e, o.Use.permit(s, http.MethodDelete)); err != nil {
		return err
	}
	defer s.leave()

	obj, err := s.lookUp(ctx, key)
	if obj == nil { // one whose digest is broken can be deleted all the same
		return s.record(ctx, e, err)
	}
	e.Size, e.SHA256, e.ContentType = &obj.Size, obj.SHA256, obj.ContentType
	e.Details.ETag = obj.ETag
	return s.change(ctx, e, func(ctx context.Context, intent audit.Intent) (effect, error) {
		return s.deleteAsIs(ctx, intent, obj)
	})
}

// deleteTries is how often an object is deleted that is replaced meanwhile.
const deleteTries = 4

// deleteAsIs deletes an object, or what has replaced it since it was looked at.
func (s *Store) deleteAsIs(ctx context.Context, intent audit.Intent, obj *Object) (eff effect, err error) {
	for try := 1; ; try++ {
		err = s.remove(ctx, obj.Key, obj.ETag)
		// In doubt it may be deleted, and what is there now may have come since.
		if try == deleteTries || !errors.Is(err, ErrReplaced) || errors.Is(err, ErrInDoubt) {
			return eff, err
		}
		// Only while the deletion is still ours: if this process was stopped for
		// long, others have been told that it failed.
		rctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		err = intent.Renew(rctx, s.opts.Lease)
		cancel()
		if err != nil {
			return eff, both(ErrReplaced, driver.As(ErrAudit, err))
		}
		now, err := s.lookUp(ctx, obj.Key)
		if now == nil {
			return eff, err
		}
		obj = now
		eff.result = resultOf(obj)
	}
}

// remove deletes the version of an object that has that ETag and, if the backend
// failed, finds out whether it did so all the same.
func (s *Store) remove(ctx context.Context, key, etag string) error {
	dctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	cause := s.bucket.Delete(dctx, key, &driver.DeleteOptions{IfMatch: etag})
	cancel()
	if cause == nil || errors.Is(cause, fs.ErrNotExist) || errors.Is(cause, ErrReplaced) || errors.Is(cause, ErrInDoubt) {
		return cause
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	a, err := driver.Attributes(ctx, s.bucket, key)
	switch {
	case err == nil && a.ETag != etag:
		return inDoubt(cause, ErrReplaced) // with or without a deletion in between
	case err == nil && errors.Is(cause, fs.ErrPermission):
		return refusedError{cause}
	case err == nil:
		return cause
	case errors.Is(err, fs.ErrNotExist):
		return nil // only the reply was lost
	}
	return inDoubt(cause, err)
}

// refusedError is the cause of a deletion that the service refused: by the rights
// of the store's credentials, or by a lock. The object was seen to be there
// afterwards, so that nothing about it is in doubt.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// isRefused reports whether an object is known to exist because the service
// refused to delete it.
func isRefused(err error) bool { return errors.As(err, new(refusedError)) }
