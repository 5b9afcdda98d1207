package blobstore

// This file implements the acceptance of a ticket: creating the object from the
// uploaded content.

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// acceptTries bounds the attempts of accept to check an upload that the client
// keeps replacing.
const acceptTries = 4

// accept creates the object from the content under the ticket's private key.
// The client can use its link until it expires, so accept must copy exactly the
// version it checked.
func (s *Store) accept(ctx context.Context, intent audit.Intent) (obj *Object, err error) {
	e := intent.Event()
	for try := 1; ; try++ {
		obj, err = s.acceptVersion(ctx, intent, e)
		if try == acceptTries || !errors.Is(err, ErrReplaced) || errors.Is(err, ErrInDoubt) {
			break
		}
	}
	if err == nil || errors.Is(err, errNotArrived) || errors.Is(err, ErrInDoubt) {
		return obj, err
	}
	// A previous request may have created the object without settling the
	// ticket.
	made, lookErr := s.arrived(ctx, e.Key, e.OpID)
	switch {
	case lookErr == nil:
		return made, nil
	case !errors.Is(lookErr, errNotArrived):
		return nil, both(err, unjudged(lookErr))
	}
	return nil, err
}

// acceptVersion makes one attempt to accept the current version of the content.
// It does not remove the content.
func (s *Store) acceptVersion(ctx context.Context, intent audit.Intent, e audit.Event) (*Object, error) {
	a, err := s.received(ctx, e)
	if err != nil {
		return nil, err
	}
	if a == nil {
		// A previous request may have created the object without settling the
		// ticket.
		obj, err := s.arrived(ctx, e.Key, e.OpID)
		if err != nil && !errors.Is(err, errNotArrived) {
			err = unjudged(err)
		}
		return obj, err
	}
	contentType, sum, err := s.judge(ctx, e, a)
	if err != nil {
		return nil, err
	}
	if err := s.renew(ctx, intent); err != nil {
		return nil, unjudged(err) // the request that took over the ticket decides
	}
	obj := &Object{Key: e.Key, Filename: e.Details.Filename, ContentType: contentType, Size: a.Size, SHA256: sum, OpID: e.OpID}
	meta := map[string]string{provider.MetaOp: e.OpID}
	if sum != nil {
		meta[provider.MetaSHA256] = hex.EncodeToString(sum)
	}
	if obj.Filename != "" {
		meta[provider.MetaFilename] = obj.Filename
	}
	err = s.bucket.Copy(ctx, e.Key, stagingOf(e), &driver.CopyOptions{
		IfNotExist: true, IfMatch: a.ETag, ContentOnly: true, ContentType: contentType, Metadata: meta,
	})
	switch {
	case err == nil:
		return obj, s.judgeCopy(ctx, e, contentType)
	case errors.Is(err, ErrReplaced), errors.Is(err, ErrChecksum):
		return nil, ErrReplaced // replaced since the check
	}
	return s.afterFailedAccept(ctx, e, err)
}

// judgeCopy checks the type of the new object if the ticket restricts it. A
// provider that copies more than the content must not bypass the restriction.
func (s *Store) judgeCopy(ctx context.Context, e audit.Event, contentType string) error {
	if e.ContentType == "" && len(e.Details.AllowedTypes) == 0 {
		return nil
	}
	a, err := s.attributes(ctx, e.Key)
	if err != nil {
		return provider.As(ErrInDoubt, err)
	}
	if a == nil || sameType(a.ContentType, contentType) {
		return nil
	}
	return both(ErrReplaced, s.removeOwn(ctx, e.Key, e.OpID))
}

// afterFailedAccept determines whether the ticket's object exists after a copy
// that failed with cause. The object may have been created by this request or
// by one that lost the ticket, so it is never removed here.
func (s *Store) afterFailedAccept(ctx context.Context, e audit.Event, cause error) (*Object, error) {
	ctx = context.WithoutCancel(ctx)
	q := failedAccept
	if errors.Is(cause, fs.ErrNotExist) {
		q = vanishedAccept
	}
	at, a, err := s.look(ctx, written(e))
	switch next(q, state{object: at}) {
	case leave:
		return nil, inDoubt(cause, err)
	case again:
		return nil, ErrReplaced // removed since the check
	case wait:
		return nil, unjudged(cause)
	case taken:
		return nil, provider.As(fs.ErrExist, cause)
	}
	rctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if _, err := s.bucket.Received(rctx, e.Key); err != nil { // the service may still be copying
		return nil, inDoubt(cause, err)
	}
	obj, err := object(e.Key, a)
	if obj.SHA256 == nil {
		obj.SHA256 = e.SHA256
	}
	return obj, provider.As(ErrInDoubt, err)
}
