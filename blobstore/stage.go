package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Staged is an upload whose object is stored but whose record is still open. It
// ties the file to a row in the application's own database, so that both are
// kept or neither is:
//
//	staged, err := store.Stage(ctx, key, r, nil)
//	tx, err := db.BeginTxx(ctx, nil)
//	... insert the row ...
//	err = journal.CommitTx(ctx, tx, staged)  // in the same transaction
//	err = tx.Commit()
//	err = staged.Commit(ctx)                 // Discard after a rollback; Leave if the result is unknown
//
// A crash at any point is safe. If the process dies after tx.Commit and before
// staged.Commit, [Store.Reconcile] settles the upload as stored. If it dies
// before tx.Commit, Reconcile removes the object.
//
// Call Stage before beginning the transaction. An upload can take long, and the
// transaction should be short.
//
// The caller must call Commit, Discard or Leave. Until then, the store renews
// the lease of the operation, and [Store.Close] waits. The methods of Staged
// are safe for concurrent use.
type Staged struct {
	// Object describes the stored object. The trail records the upload as
	// successful only after Commit.
	Object *Object

	s      *Store
	intent audit.Intent

	mu   sync.Mutex
	held *held // nil after Commit, Discard or Leave
}

// Stage uploads like [Store.Upload] but leaves the operation open until the
// caller decides the outcome; see [Staged]. It does not accept
// UploadOptions.Link: issue the link after Commit. It does not accept
// UploadOptions.Overwrite either, because discarding the upload could not
// restore the replaced object.
func (s *Store) Stage(ctx context.Context, key string, r io.Reader, opts *UploadOptions) (*Staged, error) {
	return s.stageBy(ctx, key, r, opts, nil)
}

// stageBy stages on behalf of a link, or of the store if by is nil.
func (s *Store) stageBy(ctx context.Context, key string, r io.Reader, opts *UploadOptions, by *redeemed) (*Staged, error) {
	ctx, span := s.trace(ctx, opStage)
	st, err := s.stage(ctx, key, r, opts, by)
	if span.end(err) != nil {
		return nil, &Error{Op: "stage", Key: key, Err: err}
	}
	return st, nil
}

func (s *Store) stage(ctx context.Context, key string, r io.Reader, opts *UploadOptions, by *redeemed) (*Staged, error) {
	p, err := s.planUpload(key, r, opts, by)
	if err != nil {
		return nil, err
	}
	if by != nil && by.ticket != "" {
		return nil, fmt.Errorf("%w: the upload of a ticket cannot be staged: use Upload", ErrUnsupported)
	}
	// A link could lead to an object that is discarded later. A replaced object
	// could not be restored.
	if err := refuse("a staged upload does not accept", []option{{"Link", p.Link != nil}, {"Overwrite", p.Overwrite}}); err != nil {
		return nil, err
	}
	if err := s.enterBy(ctx, &p.event, by.permit(http.MethodPut)); err != nil {
		return nil, err
	}
	var st *Staged
	defer func() {
		if st == nil { // including when the application's reader panics
			s.leave()
		}
	}()
	st, err = s.stageEntered(ctx, p)
	return st, err
}

func (s *Store) stageEntered(ctx context.Context, p *uploadPlan) (st *Staged, err error) {
	p.event.Details.Staged = true
	intent, err := s.begin(ctx, p.event, s.opts.Lease)
	if err != nil {
		return nil, err
	}
	// Keep the lease after ctx ends, because the application's transaction
	// follows.
	h := s.holdOpen(context.WithoutCancel(ctx), intent)
	writeCtx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })
	defer func() {
		stop()
		cancel(nil)
		if st == nil {
			h.release()
		}
	}()
	obj, err := s.write(writeCtx, p, p.event.Key, intent.OpID())
	if err != nil {
		return nil, h.end(ctx, effect{}, err)
	}
	return &Staged{Object: obj, s: s, intent: intent, held: h}, nil
}

// OpID returns the ID of the open operation, for the method CommitTx of a
// sqlaudit.Journal.
func (st *Staged) OpID() string { return st.intent.OpID() }

// errFinished is the error of Commit and Discard after Commit, Discard or
// Leave.
var errFinished = errors.New("the staged upload is already finished: Commit, Discard or Leave was called before")

// Commit settles the upload as stored. Call it after the application's
// transaction was committed. If the error wraps [ErrAudit], [Store.Reconcile]
// settles the upload as stored, provided that CommitTx was part of the
// committed transaction. Otherwise, Reconcile removes the object.
//
// If the lease was lost, another process may have settled the upload. Commit
// succeeds if the object exists and the trail records it as stored. Otherwise,
// the error wraps both ErrAudit and [audit.ErrNotHeld]: check whether the
// object exists before relying on it.
func (st *Staged) Commit(ctx context.Context) error {
	return st.finish(ctx, opCommit, func(ctx context.Context, h *held) error {
		eff := effect{result: resultOf(st.Object)}
		eff.result.Committed = true
		return h.end(ctx, eff, nil)
	})
}

// Discard removes the object and settles the upload as failed. Call it after
// the application's transaction was rolled back. Never call it after the
// transaction was committed.
//
// If a transaction with CommitTx is still open, or the trail is unavailable,
// Discard removes nothing and returns an error that wraps [ErrAudit].
// [Store.Reconcile] then settles the upload according to the transaction.
//
// If the service refuses to remove the object, the object remains, and the
// upload is settled as stored but not committed. The error wraps
// fs.ErrPermission. Delete the object when the service permits it.
func (st *Staged) Discard(ctx context.Context) error {
	return st.finish(ctx, opDiscard, func(ctx context.Context, h *held) error {
		h.release()
		eff, err := st.s.discardStaged(context.WithoutCancel(ctx), h.intent, st.Object)
		return h.end(ctx, eff, err)
	})
}

// discardStaged removes the object of a staged upload, unless a transaction
// that could commit it is open.
func (s *Store) discardStaged(ctx context.Context, intent audit.Intent, obj *Object) (effect, error) {
	// Renewing fails while a transaction holds a lock on the row of the intent.
	// If that transaction is committed, the object must remain.
	if err := s.renew(ctx, intent); err != nil && !errors.Is(err, audit.ErrNotHeld) {
		return effect{open: true}, err
	}
	r, err := s.discard(ctx, intent.Event(), resultOf(obj))
	switch {
	case isRefused(err):
		err = provider.As(errDiscarded, err)
	case err != nil:
		err = inDoubt(errDiscarded, err)
	}
	return effect{result: r}, err
}

// Leave ends the upload without deciding its outcome. Call it if it is unknown
// whether the application's transaction was committed, for example because the
// connection broke during the commit. [Store.Reconcile] then settles the upload
// as stored if CommitTx was committed with the transaction. Otherwise,
// Reconcile removes the object. After Commit or Discard, Leave has no effect.
func (st *Staged) Leave() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.held != nil {
		st.held.release()
		st.held = nil
		st.s.leave()
	}
}

func (st *Staged) finish(ctx context.Context, op audit.Action, end func(context.Context, *held) error) error {
	ctx, span := st.s.trace(ctx, op)
	st.mu.Lock()
	defer st.mu.Unlock()
	err := errFinished
	if h := st.held; h != nil {
		defer st.s.leave()
		st.held = nil
		err = end(ctx, h)
	}
	if span.end(err) != nil {
		return &Error{Op: string(op), Key: st.Object.Key, Err: err}
	}
	return nil
}

// errDiscarded is the cause recorded for a staged upload that was never
// committed.
var errDiscarded = errors.New("discarded")

// discard removes the object of a staged upload that was not committed, and
// returns the result for the settlement.
//
// If the service refuses to remove the object, discard returns stored with
// outcome ok, because the object remains, and an error that isRefused matches.
func (s *Store) discard(ctx context.Context, e audit.Event, stored audit.Result) (audit.Result, error) {
	err := s.removeOwn(ctx, e.Key, e.OpID)
	var refused refusedError
	switch {
	case errors.As(err, &refused):
		stored.Outcome = audit.OutcomeOK
		return stored, refused // not in doubt: the object exists
	case err != nil:
		return audit.Result{}, err
	}
	return failedBy(errDiscarded), nil
}
