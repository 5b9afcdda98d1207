package blobstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Reconciled counts the operations settled by [Store.Reconcile].
type Reconciled struct {
	OK      int // had taken effect
	Failed  int // had no effect; partial results were removed
	Unknown int // have an outcome that can no longer be determined
	Amended int // took effect after they were settled as failed or unknown
}

// LogValue implements [slog.LogValuer].
func (r Reconciled) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("ok", r.OK), slog.Int("failed", r.Failed), slog.Int("unknown", r.Unknown), slog.Int("amended", r.Amended))
}

// Reconcile settles the operations that killed processes left open in this
// bucket. It takes over each intent whose lease has expired, checks in the
// bucket whether the operation took effect, removes partial results, and
// settles the intent with the outcome. It never guesses: if the outcome cannot
// be determined, it records "unknown".
//
// Call Reconcile when the program starts and every few minutes after that.
// Several processes may call it concurrently. On a view returned by [Store.Sub]
// it fails with [ErrUnsupported]; call it on the store.
//
// A delayed write can take effect after its operation was settled. Reconcile
// therefore checks again the writes that were settled as failed or unknown
// within the last three hours, if their request may still have been in flight.
// If the object exists now, Reconcile appends an entry with outcome ok that
// refers to the operation in RefOpID. For a staged upload that was never
// committed, it removes the object, and the outcome is failed. This check
// requires a trail that implements [audit.Reader].
//
// Reconcile also removes the content of direct uploads that were not completed
// in time; see [Store.BeginUpload].
//
// If an intent cannot be settled, for example because the backend does not
// respond, Reconcile leaves it for the next call and continues with the others.
// It returns the first such error. If the backend does not follow the path of
// an operation's key ([ErrPath]), the operation is settled as unknown.
func (s *Store) Reconcile(ctx context.Context) (Reconciled, error) {
	ctx, span := s.trace(ctx, audit.ActionReconcile)
	done, err := s.reconcile(ctx)
	return done, span.end(err)
}

func (s *Store) reconcile(ctx context.Context) (Reconciled, error) {
	var done Reconciled
	if s.prefix != "" {
		return done, &Error{Op: "reconcile", Err: fmt.Errorf("%w: Reconcile does not work on a view: call it on the store", ErrUnsupported)}
	}
	if err := s.start(); err != nil {
		return done, &Error{Op: "reconcile", Err: err}
	}
	defer s.leave()
	info := s.bucket.Info()
	var first error
	for intent, err := range s.journal.Dangling(ctx, audit.DanglingQuery{Backend: info.Backend, Bucket: info.Bucket, Lease: s.opts.Lease}) {
		if err != nil { // Dangling ends after an error
			first = both(first, provider.As(ErrAudit, ended(ctx, err)))
			continue
		}
		outcome, err := s.reconcileOne(ctx, intent)
		switch {
		case errors.Is(err, audit.ErrNotHeld): // settled by another process
		case err != nil:
			if first == nil {
				first = fmt.Errorf("%s of %.300q: %w", intent.Event().Action, intent.Event().Key, err)
			}
		case outcome == audit.OutcomeOK:
			done.OK++
		case outcome == audit.OutcomeFailed:
			done.Failed++
		default:
			done.Unknown++
		}
	}
	var err error
	if done.Amended, err = s.amendLate(ctx); err != nil && first == nil {
		first = err
	}
	if err := s.sweepTickets(ctx); err != nil && first == nil {
		first = err
	}
	if first != nil {
		return done, &Error{Op: "reconcile", Err: first}
	}
	return done, nil
}

// reconcileOne settles an operation left open by its process, and returns its
// outcome.
func (s *Store) reconcileOne(ctx context.Context, intent audit.Intent) (outcome audit.Outcome, err error) {
	err = s.hold(ctx, intent, func(ctx context.Context, intent audit.Intent) (effect, error) {
		e := intent.Event()
		r, also, err := s.findOut(ctx, e)
		if err != nil {
			return effect{open: true}, err
		}
		outcome, r.SettledBy = r.Outcome, audit.SettledByReconciler
		if r.Outcome == audit.OutcomeFailed {
			r.ErrorCode = interrupted.ErrorCode
		}
		return effect{
			result: r, also: also,
			settled: func(ctx context.Context) error { s.clearStaged(ctx, e); return nil },
			lost:    func(_ context.Context, _, notHeld error) error { return notHeld }, // settled by another process
		}, nil
	})
	return outcome, err
}

// findOut removes the partial results of an operation. It returns the result,
// which is unknown if the bucket does not show it, and additional entries.
func (s *Store) findOut(ctx context.Context, e audit.Event) (r audit.Result, also []audit.Event, err error) {
	if err := checkOperation(e); err != nil {
		return r, nil, err
	}
	for _, key := range touched(e) {
		if err := s.bucket.Sweep(ctx, key); err != nil && !errors.Is(err, ErrPath) {
			return r, nil, err
		}
	}
	unknown := audit.Result{Outcome: audit.OutcomeUnknown}
	r = unknown
	switch e.Action {
	case audit.ActionUpload, audit.ActionCopy:
		r, err = s.findWrite(ctx, e)
		if err == nil && r.Outcome == audit.OutcomeOK && e.Details.Staged && !e.Details.Committed {
			if r, err = s.discard(ctx, e, r); isRefused(err) {
				err = nil // settle it as stored, because the object remains
			}
		}
	case audit.ActionDelete:
		r, err = s.findDelete(ctx, e)
	case audit.ActionCheck:
		r.Outcome, err = audit.OutcomeFailed, s.removeStaged(ctx, e.Key)
	case audit.ActionMove:
		r, also, err = s.findMove(ctx, e)
	}
	if errors.Is(err, ErrPath) {
		// The path of the key was changed by other means. The outcome cannot be
		// determined, now or later.
		return unknown, nil, nil
	}
	return r, also, err
}

// checkOperation rejects an event with keys that no operation of a Store uses.
// Only the operation named in a private key may use that key.
func checkOperation(e audit.Event) error {
	refuse := func(key string) error {
		return fmt.Errorf("operation %s is left open: %w: no %s by a store uses the key %.300q", e.OpID, audit.ErrUntrusted, e.Action, key)
	}
	if staging := e.Details.StagingKey; staging != "" && (e.Action != audit.ActionUpload || stagingOf(e) == "") {
		return refuse(staging)
	}
	if e.Action == audit.ActionCheck {
		if e.Key != canaryPrefix+e.OpID {
			return refuse(e.Key)
		}
		return nil
	}
	for _, key := range touched(e) {
		if CheckKey(key) != nil && (key == "" || key != stagingOf(e)) {
			return refuse(key)
		}
	}
	return nil
}

// touched returns the keys that an operation with this action may change. It
// returns none for the application's own actions, which Reconcile settles as
// unknown.
func touched(e audit.Event) []string {
	switch e.Action {
	case audit.ActionUpload:
		if staging := stagingOf(e); staging != "" {
			return []string{e.Key, staging}
		}
		return []string{e.Key}
	case audit.ActionDelete, audit.ActionCheck:
		return []string{e.Key}
	case audit.ActionCopy, audit.ActionMove:
		return []string{e.Key, e.SourceKey}
	}
	return nil
}

// attributes returns nil if the object does not exist.
func (s *Store) attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	a, err := s.bucket.Attributes(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return a, err
}

// findWrite determines whether the operation's object exists.
func (s *Store) findWrite(ctx context.Context, e audit.Event) (audit.Result, error) {
	at, a, err := s.look(ctx, written(e))
	switch next(interruptedWrite, state{object: at}) {
	case leave:
		return audit.Result{}, err
	case failed:
		return audit.Result{Outcome: audit.OutcomeFailed}, nil
	case unknown:
		// Another operation has written the object since. It replaced this
		// operation's object, or that object never existed.
		return audit.Result{Outcome: audit.OutcomeUnknown}, nil
	}
	sum, err := provider.StoredSHA256(a.Metadata)
	if err == nil && sum == nil {
		sum, err = s.digest(ctx, e.Key)
	}
	if err != nil {
		return audit.Result{}, err
	}
	return audit.Result{Outcome: audit.OutcomeOK, Size: &a.Size, SHA256: sum, ContentType: a.ContentType}, nil
}

// writtenBefore reports whether an object is certainly older than t, provided
// that the clocks agree. It allows for services with times in whole seconds,
// and for file systems with the time of their last tick.
func writtenBefore(a *blob.Attributes, t time.Time) bool {
	slack := 10 * time.Millisecond
	if a.ModTime.Nanosecond() == 0 {
		slack = time.Second
	}
	return a.ModTime.Add(slack).Before(t)
}

// digest reads an object to compute its SHA-256.
func (s *Store) digest(ctx context.Context, key string) ([]byte, error) {
	r, err := s.bucket.Read(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	return s.digestOf(r)
}

// digestOf computes the SHA-256 of the content of r and closes r.
func (s *Store) digestOf(r *driver.Reader) ([]byte, error) {
	defer r.Close()
	h := sha256.New()
	if _, err := provider.Copy(h, progress.Reader(r)); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// findDelete determines whether the object was removed.
func (s *Store) findDelete(ctx context.Context, e audit.Event) (audit.Result, error) {
	at, _, err := s.look(ctx, removed(e.Key, e.Details.ETag))
	switch next(interruptedDelete, state{object: at}) {
	case done:
		return audit.Result{Outcome: audit.OutcomeOK}, nil
	case failed:
		return audit.Result{Outcome: audit.OutcomeFailed}, nil
	case unknown:
		// Another object was stored after the deletion, or instead of it.
		return audit.Result{Outcome: audit.OutcomeUnknown}, nil
	}
	return audit.Result{}, err
}

// findMove determines how far a move progressed, and completes it if the copy
// exists. It does not remove the copy: a process that was only suspended would
// then delete the source, and both objects would be lost.
func (s *Store) findMove(ctx context.Context, e audit.Event) (audit.Result, []audit.Event, error) {
	r, err := s.findWrite(ctx, e)
	if err != nil || r.Outcome != audit.OutcomeOK {
		return r, nil, err
	}
	at, _, err := s.look(ctx, removed(e.SourceKey, e.Details.ETag))
	switch next(interruptedSource, state{object: at}) {
	case leave:
		return audit.Result{}, nil, err
	case takeBack:
		err := s.remove(ctx, e.SourceKey, e.Details.ETag)
		if isRefused(err) {
			return failedBy(err), []audit.Event{onlyCopied(e.With(r))}, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrReplaced) {
			return audit.Result{}, nil, err
		}
	}
	return r, []audit.Event{movedAway(e, e.OpID)}, nil
}
