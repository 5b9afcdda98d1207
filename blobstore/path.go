package blobstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// The single path. Every operation of a Store enters through enter, which
// refuses and authorises. What changes objects then goes on through change:
// begin (durable) -> act -> settle. What changes none goes on through record:
// one durable entry before anything leaves.

// enter starts an operation: it refuses a closed store, a bad key and a missing
// actor, and asks the authoriser. After a nil error the caller calls leave when
// the operation ends.
func (s *Store) enter(ctx context.Context, e *audit.Event) error {
	return s.enterBy(ctx, e, nil)
}

// permit decides on an operation in place of the authorizer. It may complete the
// event.
type permit func(e *audit.Event) error

// enterBy is enter for an operation that by, if not nil, permits or refuses. A
// view of the store is never left.
func (s *Store) enterBy(ctx context.Context, e *audit.Event, by permit) error {
	if ctx.Err() != nil {
		return ended(ctx, context.Cause(ctx))
	}
	if e.Action != audit.ActionList {
		if err := CheckKey(e.Key); err != nil {
			return err
		}
	}
	actor, ok := audit.ActorFrom(ctx)
	if !ok {
		actor = s.opts.DefaultActor
	}
	if actor.IsZero() {
		return audit.ErrNoActor
	}
	e.Actor = actor
	info := s.bucket.Info()
	e.Backend, e.Bucket = info.Backend, info.Bucket
	e.OccurredAt = time.Now()

	if err := s.start(); err != nil {
		return err
	}
	entered := false
	defer func() {
		if !entered { // also if the host's authoriser panics
			s.leave()
		}
	}()
	if err := s.authorize(ctx, e, by); err != nil {
		return err
	}
	entered = true
	return nil
}

// ended makes err, if it is why ctx ended, one that is ctx.Err() too: the cause
// that was given to a CancelCauseFunc need not be.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return driver.As(ctx.Err(), err)
}

func (s *Store) authorize(ctx context.Context, e *audit.Event, by permit) error {
	cause := s.inView(e.Key, e.SourceKey)
	switch {
	case cause != nil:
	case by != nil:
		cause = by(e)
	case s.opts.Authorize != nil:
		cause = s.opts.Authorize(ctx, *e)
	}
	if cause == nil {
		return nil
	}
	return s.deny(ctx, *e, cause)
}

// deny records that an operation was refused, and returns the error of it.
func (s *Store) deny(ctx context.Context, e audit.Event, cause error) error {
	e.Outcome, e.ErrorCode = audit.OutcomeDenied, "denied"
	return both(driver.As(ErrDenied, cause), s.log(context.WithoutCancel(ctx), e))
}

// record makes the entry of an operation that changes nothing durable. If the
// operation failed with cause, that is what is recorded, and returned.
func (s *Store) record(ctx context.Context, e audit.Event, cause error) error {
	cause = ended(ctx, cause)
	e.Outcome = audit.OutcomeOK
	if cause != nil {
		e.Outcome, e.ErrorCode = audit.OutcomeFailed, errorCode(cause)
	}
	if cause != nil {
		ctx = context.WithoutCancel(ctx) // which may be the cause
	}
	return both(cause, s.log(ctx, e))
}

func (s *Store) log(ctx context.Context, e audit.Event) error {
	ctx, cancel := context.WithTimeout(asRecorded(ctx, e), s.opts.Timeout)
	defer cancel()
	return driver.As(ErrAudit, s.journal.Log(ctx, e))
}

// asRecorded returns a context by which the journal stores the events with the
// actors that they have. enter has chosen them, and an event without one is that
// of an operation whose actor is unknown, such as one that was erased: the actor
// of ctx, who may be another, must not be put in its place.
func asRecorded(ctx context.Context, events ...audit.Event) context.Context {
	for _, e := range events {
		if e.Actor.IsZero() {
			return audit.WithActor(ctx, audit.Actor{})
		}
	}
	return ctx
}

// both returns an error that is a and b, of which either may be nil.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; and %w", a, b)
}

// effect is what an operation did, to settle its intent with.
type effect struct {
	result audit.Result
	also   []audit.Event // recorded in the same transaction, and only if it succeeded
	left   []audit.Event // recorded in the same transaction, and only if it failed: what it could not take back
}

// change takes an operation that changes objects along the path. act has the
// effect; its context ends when the lease can't be kept. If act fails with
// ErrInDoubt the intent is left to the reconciler.
func (s *Store) change(ctx context.Context, e audit.Event, act func(ctx context.Context, intent audit.Intent) (effect, error)) error {
	intent, err := s.begin(ctx, e)
	if err != nil {
		return err
	}
	actCtx, release := s.keep(ctx, intent)
	defer release() // also if the host's reader panics
	eff, err := act(actCtx, intent)
	release()
	err = ended(ctx, err)
	if errors.Is(err, ErrInDoubt) {
		return err
	}
	return both(err, s.settle(ctx, intent, eff, err))
}

// begin makes the intent of an operation durable.
func (s *Store) begin(ctx context.Context, e audit.Event) (audit.Intent, error) {
	if e.GrantID != "" {
		// A link is used: that comes first, so that it counts whatever follows.
		use := e
		use.Action = audit.ActionRedeem
		if err := s.log(ctx, use); err != nil {
			return nil, err
		}
	}
	if err := s.precheck(ctx, e); err != nil {
		return nil, s.record(ctx, e, err)
	}
	ctx, cancel := context.WithTimeout(asRecorded(ctx, e), s.opts.Timeout)
	defer cancel()
	intent, err := s.journal.Begin(ctx, e, s.opts.Lease)
	return intent, driver.As(ErrAudit, err)
}

// precheck refuses an operation that the backend can see to be impossible. A
// check is to find out the reason by itself.
func (s *Store) precheck(ctx context.Context, e audit.Event) error {
	b, ok := s.bucket.(driver.Prechecker)
	if !ok || e.Action == audit.ActionCheck {
		return nil
	}
	keys := []string{e.Key}
	if e.Action == audit.ActionMove {
		keys = append(keys, e.SourceKey)
	}
	for _, key := range keys {
		if err := b.Precheck(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// settle makes the outcome durable, whatever became of the caller's context.
func (s *Store) settle(ctx context.Context, intent audit.Intent, eff effect, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	r, also := eff.outcome(cause)
	err := intent.Settle(asRecorded(ctx, also...), r, also...)
	if errors.Is(err, audit.ErrNotHeld) && (cause == nil || errors.As(cause, new(undoneError))) {
		err = s.settleLost(ctx, intent.Event(), r, also, err)
	}
	return driver.As(ErrAudit, err)
}

// outcome returns the result and the further entries of an operation that ended
// with cause.
func (eff effect) outcome(cause error) (audit.Result, []audit.Event) {
	if cause != nil {
		return audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: errorCode(cause)}, eff.left
	}
	eff.result.Outcome = audit.OutcomeOK
	return eff.result, eff.also
}

// keep renews the intent's lease until release is called. The context that it
// returns ends with ctx, and when the lease is lost or soon will be, so that
// nothing is done to an object which the reconciler may be looking at. When ctx
// ends the lease is kept on, because what was done is then cleared away. release
// may be called again.
func (s *Store) keep(ctx context.Context, intent audit.Intent) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var (
		mu    sync.Mutex
		timer *time.Timer
		pause = s.opts.Lease / 3
		safe  = s.opts.Lease - pause/2 // the rest is for the effect to come to an end
		ends  = time.Now().Add(safe)
	)
	renew := func() {
		started := time.Now()
		rctx, done := context.WithDeadline(running, ends)
		err := intent.Renew(rctx, s.opts.Lease)
		done()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case running.Err() != nil:
			return
		case err == nil:
			ends = started.Add(safe)
		case errors.Is(err, audit.ErrNotHeld), time.Until(ends) <= 0:
			cancel(driver.As(ErrAudit, err))
			return
		}
		timer.Reset(min(pause, time.Until(ends)))
	}
	mu.Lock()
	timer = time.AfterFunc(pause, renew)
	mu.Unlock()
	return ctx, func() {
		stop()
		cancel(context.Canceled)
		timer.Stop()
	}
}
