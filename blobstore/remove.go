package blobstore

import (
	"context"
	"errors"
	"io/fs"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// remove deletes the version of an object that has that ETag and, if the backend
// failed, finds out whether it did so all the same.
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
		return nil // only the reply was lost
	case replaced:
		return inDoubt(cause, ErrReplaced) // with or without a deletion in between
	case failed:
		if errors.Is(cause, fs.ErrPermission) {
			return refusedError{cause}
		}
		return cause
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

// removeOwn removes the object under key if it is the one that operation wrote.
// Every error is [ErrInDoubt]; see also isRefused.
func (s *Store) removeOwn(ctx context.Context, key, opID string) error {
	at, a, err := s.look(ctx, subject{key: key, opID: opID})
	switch next(ownRemoved, state{object: at}) {
	case done:
		return nil // it is gone, or another operation's by now
	case leave:
		return provider.As(ErrInDoubt, err)
	}
	err = s.remove(ctx, key, a.ETag)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrReplaced) && !errors.Is(err, ErrInDoubt) {
		return nil
	}
	return provider.As(ErrInDoubt, err)
}

// removeVersion sees to it that a version of an object is gone.
func (s *Store) removeVersion(ctx context.Context, key, etag string) error {
	err := s.bucket.Delete(ctx, key, &driver.DeleteOptions{IfMatch: etag})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrReplaced) {
		return nil
	}
	return err
}

// inDoubt returns cause as an error whose effect could not be found out because
// of err.
func inDoubt(cause, err error) error {
	return both(provider.As(ErrInDoubt, cause), err)
}
