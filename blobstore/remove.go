package blobstore

import (
	"context"
	"errors"
	"io/fs"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// remove deletes the version of an object with the given ETag. If the backend
// fails, remove determines whether the object was deleted all the same.
func (s *Store) remove(ctx context.Context, key, etag string) error {
	dctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	cause := s.bucket.Delete(dctx, key, &driver.DeleteOptions{IfMatch: etag})
	cancel()
	if cause == nil || errors.Is(cause, fs.ErrNotExist) || errors.Is(cause, ErrReplaced) || errors.Is(cause, ErrInDoubt) {
		return cause
	}
	at, _, err := s.look(context.WithoutCancel(ctx), removed(key, etag))
	switch next(failedDelete, state{object: at}) {
	case done:
		return nil // only the response was lost
	case replaced:
		return inDoubt(cause, ErrReplaced) // possibly deleted before it was replaced
	case failed:
		if errors.Is(cause, fs.ErrPermission) {
			return refusedError{cause}
		}
		return cause
	}
	return inDoubt(cause, err)
}

// refusedError is the cause of a deletion that the service refused because of
// missing permissions or a lock. A later lookup found the object, so its
// existence is not in doubt.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// isRefused reports whether an object is known to exist because the service
// refused to delete it.
func isRefused(err error) bool { return errors.As(err, new(refusedError)) }

// removeOwn removes the object under key if the given operation wrote it. Every
// error wraps ErrInDoubt; see also isRefused.
func (s *Store) removeOwn(ctx context.Context, key, opID string) error {
	at, a, err := s.look(ctx, subject{key: key, opID: opID})
	switch next(ownRemoved, state{object: at}) {
	case done:
		return nil // already gone, or replaced by another operation
	case leave:
		return provider.As(ErrInDoubt, err)
	}
	err = s.remove(ctx, key, a.ETag)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrReplaced) && !errors.Is(err, ErrInDoubt) {
		return nil
	}
	return provider.As(ErrInDoubt, err)
}

// removeVersion deletes a version of an object. It succeeds if that version no
// longer exists.
func (s *Store) removeVersion(ctx context.Context, key, etag string) error {
	err := s.bucket.Delete(ctx, key, &driver.DeleteOptions{IfMatch: etag})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrReplaced) {
		return nil
	}
	return err
}

// inDoubt returns an error that wraps ErrInDoubt, cause and err: the effect of
// the operation that failed with cause could not be determined because of err.
func inDoubt(cause, err error) error {
	return both(provider.As(ErrInDoubt, cause), err)
}
