package blobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// This file implements the beginning of every operation of a Store: enter refuses
// or authorizes it. An operation that changes objects goes on through change, in
// hold.go. One that changes none goes on through record: one durable entry before
// anything leaves.

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

// deny records that an operation was refused, and returns the error of it.
func (s *Store) deny(ctx context.Context, e audit.Event, cause error) error {
	e.Outcome, e.ErrorCode = audit.OutcomeDenied, "denied"
	return both(provider.As(ErrDenied, cause), s.log(context.WithoutCancel(ctx), e))
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
	return provider.As(ErrAudit, s.journal.Log(ctx, e))
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
