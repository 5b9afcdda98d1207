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

// CopyOptions are the options of [Store.Copy] and [Store.Move].
type CopyOptions struct {
	// Overwrite allows an existing object at the destination to be replaced. If
	// false, a destination that is taken fails with fs.ErrExist.
	Overwrite bool
	// Resource identifies the application's record that the file belongs to. It is
	// recorded in the trail.
	Resource audit.Resource
}

// Copy copies the object srcKey to dstKey, with its content type, name and
// metadata. In the trail dstKey is the key, and srcKey the source key.
//
// The destination comes first in Copy and Move, as in io.Copy. The order is the
// reverse of os.Rename.
func (s *Store) Copy(ctx context.Context, dstKey, srcKey string, opts *CopyOptions) error {
	ctx, span := s.trace(ctx, audit.ActionCopy)
	if err := span.end(s.copyOrMove(ctx, audit.ActionCopy, dstKey, srcKey, opts)); err != nil {
		return &Error{Op: "copy", Key: dstKey, Err: err}
	}
	return nil
}

// Move renames the object srcKey to dstKey: it copies the object and then deletes
// the source. If the source can't be deleted, Move takes the copy back, so that only
// one of them exists when it returns. The trail gets an entry "move" for dstKey and,
// in the same transaction, an entry "delete" for srcKey.
//
// A move that replaced an object can't be taken back. If the source can't be deleted
// then, both objects exist, and the error is also [ErrInDoubt]: the move stays open,
// and [Store.Reconcile] deletes the source if it is still the same.
//
// If the service refuses both deletions, as under a lock, the move has become a
// copy: it is recorded as failed, together with an entry "copy", and the error
// wraps fs.ErrPermission.
//
// Reconcile also finishes a move that a crash interrupted after the copy. It deletes
// the source only if it is still the object that was copied.
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
		// Whether there is something to lose decides what becomes of a move that
		// can't delete its source.
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

// copyTries bounds how often copyObject copies a source that is replaced concurrently.
const copyTries = 4

// copyObject copies obj to dst and returns what it copied: the object as it was
// while it was copied. Digest and content come to dst by two ways, so a source
// that is replaced in between would give it the one of the old object and the
// other of the new one.
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
			return nil, inDoubt(errors.New("whether the source was replaced while it was copied"), err)
		}
		if copied {
			if whole, err := s.isCopy(ctx, dst, obj, opID); err != nil {
				return nil, provider.As(ErrInDoubt, err)
			} else if whole {
				return obj, nil // it was replaced, or deleted, when the copy was made
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
	return nil, fmt.Errorf("source: %w, %d times", ErrReplaced, copyTries)
}

// isCopy reads the copy that an operation made and reports whether it is one of
// obj.
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

// movedAway is the entry that ends the history of a moved object's old key.
func movedAway(move audit.Event, opID string) audit.Event {
	e := move
	e.OpID, e.RefOpID, e.Outcome = "", opID, ""
	e.Action, e.Key, e.SourceKey, e.Details = audit.ActionDelete, move.SourceKey, "", audit.Details{}
	return e
}

// takeBack removes the copy that a failed move made. It does so only while the
// move is still ours: the reconciler finishes a move whose copy it sees, and that
// copy is then all that is left.
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
	case copied: // what it replaced is gone
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
		// The reconciler may have looked before the copy was there, and said so.
		copied := e
		copied.Action = audit.ActionCopy
		if err := s.settleLost(ctx, copied, audit.Result{Outcome: audit.OutcomeOK}, nil, lost); err != nil {
			lost = provider.As(ErrAudit, err)
		}
	}
	return effect{}, inDoubt(cause, lost) // if it replaced something, the move is to be finished
}

// onlyCopied is the entry of a move whose copy exists and whose source stays.
func onlyCopied(move audit.Event) audit.Event {
	e := move
	e.Action, e.OpID, e.RefOpID, e.Outcome, e.OccurredAt = audit.ActionCopy, "", move.OpID, "", time.Time{}
	return e
}
