package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// This file implements the start of every operation of a Store: enter validates
// and authorizes it. An operation that changes objects continues with change,
// in hold.go. Any other operation calls record, which makes one entry durable
// before the operation returns data.

// enter starts an operation. It rejects a closed store, an invalid key and a
// missing actor, and calls the authorizer. If enter returns nil, the caller
// must call leave when the operation ends.
func (s *Store) enter(ctx context.Context, e *audit.Event) error {
	return s.enterBy(ctx, e, nil)
}

// permit replaces the authorizer for an operation. It may complete the event.
type permit func(e *audit.Event) error

// enterBy is like enter, but calls by instead of the authorizer if by is not
// nil. In both cases it rejects keys outside the view.
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
		if !entered { // including when the application's authorizer panics
			s.leave()
		}
	}()
	if err := s.authorize(ctx, e, by); err != nil {
		return err
	}
	entered = true
	return nil
}

// ended makes err match ctx.Err() if err is the cause that ended ctx. A cause
// passed to a CancelCauseFunc does not necessarily wrap context.Canceled. All
// other errors are returned unchanged.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return provider.As(ctx.Err(), err)
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

// deny records the refusal of an operation and returns its error.
func (s *Store) deny(ctx context.Context, e audit.Event, cause error) error {
	e.Outcome, e.ErrorCode = audit.OutcomeDenied, "denied"
	return both(provider.As(ErrDenied, cause), s.log(context.WithoutCancel(ctx), e))
}

// record writes a durable entry for an operation that changes no objects. If
// cause is not nil, record writes the entry of a failed operation and returns
// cause.
func (s *Store) record(ctx context.Context, e audit.Event, cause error) error {
	cause = ended(ctx, cause)
	e.Outcome = audit.OutcomeOK
	if cause != nil {
		e.Outcome, e.ErrorCode = audit.OutcomeFailed, errorCode(cause)
	}
	if cause != nil {
		ctx = context.WithoutCancel(ctx) // the end of ctx may be the cause
	}
	return both(cause, s.log(ctx, e))
}

func (s *Store) log(ctx context.Context, e audit.Event) error {
	ctx, cancel := context.WithTimeout(asRecorded(ctx, e), s.opts.Timeout)
	defer cancel()
	return provider.As(ErrAudit, s.journal.Log(ctx, e))
}

// asRecorded returns a context that makes the journal store the events with
// their own actors. enter has already chosen these. An event without an actor
// belongs to an operation whose actor is unknown, for example because it was
// erased. The journal must not replace it by the actor of ctx.
func asRecorded(ctx context.Context, events ...audit.Event) context.Context {
	for _, e := range events {
		if e.Actor.IsZero() {
			return audit.WithActor(ctx, audit.Actor{})
		}
	}
	return ctx
}

// both returns an error that wraps both a and b. Either may be nil.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; and %w", a, b)
}
