package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// CopyOptions configures [Store.Copy] and [Store.Move]. Nil and the zero value
// select the defaults.
type CopyOptions struct {
	// Overwrite allows an existing object at the destination to be replaced. If
	// false, an existing destination fails with fs.ErrExist.
	Overwrite bool
	// Resource identifies the application's record that the file belongs to. It
	// is recorded in the trail.
	Resource audit.Resource
}

// Copy copies the object srcKey to dstKey, with its content type, file name and
// metadata. The trail records dstKey as the key and srcKey as the source key.
//
// In Copy and Move, the destination comes first, as in io.Copy. This is the
// reverse of os.Rename.
func (s *Store) Copy(ctx context.Context, dstKey, srcKey string, opts *CopyOptions) error {
	ctx, span := s.trace(ctx, audit.ActionCopy)
	if err := span.end(s.copyOrMove(ctx, audit.ActionCopy, dstKey, srcKey, opts)); err != nil {
		return &Error{Op: "copy", Key: dstKey, Err: err}
	}
	return nil
}

// Move renames the object srcKey to dstKey. It copies the object and then
// deletes the source. The trail gets an entry with action "move" for dstKey
// and, in the same transaction, an entry with action "delete" for srcKey.
//
// If the source cannot be deleted, Move removes the copy again, so that only
// one of the two objects remains. There are two exceptions:
//
//   - If the service refuses to delete the source, for example because of an
//     object lock, and the copy cannot be removed either, the move becomes a
//     copy. It is recorded as failed, together with an entry with action
//     "copy". The error wraps fs.ErrPermission.
//   - In other cases, a move that replaced an object at dstKey cannot be
//     undone. Both objects remain, and the error also wraps [ErrInDoubt]. The
//     operation stays open, and [Store.Reconcile] later deletes the source
//     unless it has changed.
//
// Reconcile also completes a move interrupted by a crash after the copy. In
// every case, the source is deleted only if it is still the version that was
// copied.
func (s *Store) Move(ctx context.Context, dstKey, srcKey string, opts *CopyOptions) error {
	ctx, span := s.trace(ctx, audit.ActionMove)
	if err := span.end(s.copyOrMove(ctx, audit.ActionMove, dstKey, srcKey, opts)); err != nil {
		return &Error{Op: "move", Key: dstKey, Err: err}
	}
	return nil
}

func (s *Store) copyOrMove(ctx context.Context, action audit.Action, dst, src string, opts *CopyOptions) error {
	var o CopyOptions
	if opts != nil {
		o = *opts
	}
	if err := CheckKey(src); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if src == dst {
		return errors.New("source and destination are the same key")
	}
	e := audit.Event{Action: action, Key: dst, Resource: o.Resource, SourceKey: src}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()

	obj, err := s.lookUp(ctx, src)
	if err != nil {
		return s.record(ctx, e, fmt.Errorf("source: %w", err))
	}
	e.Size, e.SHA256, e.ContentType = &obj.Size, obj.SHA256, obj.ContentType
	e.Details.ETag = obj.ETag
	if action == audit.ActionMove && o.Overwrite {
		// A move that replaces an object cannot be undone.
		switch _, err := s.lookUp(ctx, dst); {
		case err == nil || errors.Is(err, ErrChecksum):
			e.Details.Replaces = true
		case !errors.Is(err, fs.ErrNotExist):
			return s.record(ctx, e, err)
		}
	}
	return s.change(ctx, e, func(ctx context.Context, intent audit.Intent) (effect, error) {
		opID := intent.OpID()
		copied, err := s.copyObject(ctx, dst, obj, opID, o.Overwrite)
		if err != nil {
			return effect{}, err
		}
		eff := effect{result: resultOf(copied)}
		if action == audit.ActionCopy {
			return eff, nil
		}
		if err := s.remove(ctx, src, copied.ETag); err != nil {
			if errors.Is(err, ErrInDoubt) {
				return effect{}, err
			}
			return s.takeBack(ctx, intent, fmt.Errorf("source: %w", err))
		}
		e.Size, e.SHA256, e.ContentType = &copied.Size, copied.SHA256, copied.ContentType
		eff.also = []audit.Event{movedAway(e, opID)}
		return eff, nil
	})
}

// copyTries bounds the attempts of copyObject to copy a source that is replaced
// concurrently.
const copyTries = 4

// copyObject copies obj to dst and returns the version of obj that it copied.
// The digest and the content reach dst separately. If the source is replaced in
// between, dst could get the digest of one version and the content of another,
// so copyObject checks the source again after the copy.
func (s *Store) copyObject(ctx context.Context, dst string, obj *Object, opID string, overwrite bool) (*Object, error) {
	for range copyTries {
		meta := map[string]string{provider.MetaOp: opID}
		if obj.SHA256 != nil {
			meta[provider.MetaSHA256] = hex.EncodeToString(obj.SHA256)
		}
		err := s.bucket.Copy(ctx, dst, obj.Key, &driver.CopyOptions{IfNotExist: !overwrite, IfMatch: obj.ETag, Metadata: meta})
		if err != nil && !errors.Is(err, ErrReplaced) {
			if err = s.afterFailedWrite(ctx, dst, meta, true, overwrite, err); err != nil {
				return nil, err
			}
		}
		copied := err == nil
		now, err := s.lookUp(ctx, obj.Key)
		switch {
		case copied && err == nil && now.ETag == obj.ETag:
			return obj, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, inDoubt(errors.New("could not determine whether the source was replaced during the copy"), err)
		}
		if copied {
			if whole, err := s.isCopy(ctx, dst, obj, opID); err != nil {
				return nil, provider.As(ErrInDoubt, err)
			} else if whole {
				return obj, nil // the source changed only after the copy
			}
		}
		if now == nil || !overwrite {
			if err := s.removeOwn(ctx, dst, opID); err != nil {
				return nil, err
			}
		}
		if now == nil {
			return nil, fmt.Errorf("source: %w", fs.ErrNotExist)
		}
		obj = now
	}
	if err := s.removeOwn(ctx, dst, opID); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("source: %w in each of %d attempts", ErrReplaced, copyTries)
}

// isCopy reads the object that the operation stored at dst and reports whether
// it is a copy of obj.
func (s *Store) isCopy(ctx context.Context, dst string, obj *Object, opID string) (bool, error) {
	r, err := s.open(ctx, dst, &DownloadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	if r.Object.OpID != opID || r.Object.Size != obj.Size || obj.SHA256 == nil {
		return r.Object.OpID == opID && r.Object.Size == obj.Size, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return false, err
	}
	return bytes.Equal(hash.Sum(nil), obj.SHA256), nil
}

// movedAway returns the entry that records the deletion of a moved object's old
// key.
func movedAway(move audit.Event, opID string) audit.Event {
	e := move
	e.OpID, e.RefOpID, e.Outcome = "", opID, ""
	e.Action, e.Key, e.SourceKey, e.Details = audit.ActionDelete, move.SourceKey, "", audit.Details{}
	return e
}

// takeBack removes the copy of a failed move, but only while this process holds
// the intent. If a reconciler took over the move and finds the copy, it
// completes the move, and the copy is then the only object left.
func (s *Store) takeBack(ctx context.Context, intent audit.Intent, cause error) (effect, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	e := intent.Event()
	q, at := failedMove, state{object: own, record: ours}
	switch {
	case e.Details.Replaces && isRefused(cause):
		q = refusedOverwrite
	case e.Details.Replaces:
		q = failedOverwrite
	}
	lost := s.renew(ctx, intent)
	switch {
	case errors.Is(lost, audit.ErrNotHeld):
		at.record = elsewhere
	case lost != nil:
		at.record = unread
	}
	switch next(q, at) {
	case copied: // the replaced object cannot be restored
		return effect{left: []audit.Event{onlyCopied(e)}}, cause
	case takeBack:
		err := s.removeOwn(ctx, e.Key, e.OpID)
		switch {
		case err == nil:
			return effect{}, cause
		case isRefused(err) && isRefused(cause):
			return effect{left: []audit.Event{onlyCopied(e)}}, cause
		}
		return effect{}, inDoubt(cause, err)
	case amend:
		// The reconciler may have looked before the copy existed, and recorded
		// that it does not.
		copied := e
		copied.Action = audit.ActionCopy
		if err := s.settleLost(ctx, copied, audit.Result{Outcome: audit.OutcomeOK}, nil, lost); err != nil {
			lost = provider.As(ErrAudit, err)
		}
	}
	return effect{}, inDoubt(cause, lost) // Reconcile completes a move that replaced an object
}

// onlyCopied returns the entry for a move that left both the copy and the
// source.
func onlyCopied(move audit.Event) audit.Event {
	e := move
	e.Action, e.OpID, e.RefOpID, e.Outcome, e.OccurredAt = audit.ActionCopy, "", move.OpID, "", time.Time{}
	return e
}
