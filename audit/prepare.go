package audit

import (
	"context"
	"fmt"
	"slices"
)

// This file implements the preparation of events for all loggers, so that
// implementations differ only in their storage.

// PrepareIntent returns e in the form that [Journal.Begin] stores. It adds the
// attributes of ctx, and the actor of ctx if e has none; see [Logger].
// Implementations of Journal call it. An error wraps [ErrEvent].
func PrepareIntent(ctx context.Context, e Event) (Event, error) {
	if e.Outcome != "" {
		return e, fmt.Errorf("%w: Begin with outcome %q: want none; call Log for an operation that has an outcome", ErrEvent, cleanText(string(e.Outcome), 80))
	}
	return withContext(ctx, e).prepared()
}

// PrepareSettlement returns the events that [Intent.Settle] stores, the final
// event of the intent first. The final event has the intent's actor, even if it
// is zero. Additional events without an actor get the actor of ctx; see
// [Logger]. Implementations of Journal call it. An error wraps [ErrEvent].
//
// A Journal that passes these events to a Logger must use a context without an
// actor, WithActor(ctx, Actor{}). Otherwise, the Logger adds the actor of the
// settling process to an operation whose actor is unknown.
func PrepareSettlement(ctx context.Context, intent Event, r Result, also ...Event) ([]Event, error) {
	switch {
	case r.Outcome == "" || r.Outcome == OutcomeBegun:
		return nil, fmt.Errorf("%w: Settle with outcome %q: want ok, failed, denied or unknown", ErrEvent, r.Outcome)
	case r.SettledBy != "" && r.SettledBy != SettledByWriter && r.SettledBy != SettledByReconciler:
		return nil, fmt.Errorf("%w: Settle with SettledBy %q: want writer or reconciler", ErrEvent, cleanText(string(r.SettledBy), 80))
	}
	events := make([]Event, 0, 1+len(also))
	events = append(events, intent.With(r))
	for _, e := range also {
		events = append(events, withContext(ctx, e))
	}
	return prepareFinal(events...)
}

// PrepareLog returns e in the form that [Logger.Log] stores. It adds the
// attributes of ctx, and the actor of ctx if e has none; see [Logger].
// Implementations of Logger call it. An error wraps [ErrEvent].
func PrepareLog(ctx context.Context, e Event) (Event, error) {
	events, err := prepareFinal(withContext(ctx, e))
	if err != nil {
		return e, err
	}
	return events[0], nil
}

// withContext adds the attributes of ctx to e, and the actor of ctx if e has
// none. It never merges two actors, because their fields could belong to two
// people. An actor with only an IP address is complete.
func withContext(ctx context.Context, e Event) Event {
	if e.Actor.IsZero() {
		e.Actor, _ = ActorFrom(ctx)
	}
	if attrs := attrsFrom(ctx); len(attrs) > 0 {
		e.Attrs = merged(attrs, e.Attrs)
	}
	return e
}

// prepared returns a context for logging events that are already prepared. The
// context adds no attributes. If one of the events has no actor, the context
// adds none.
func prepared(ctx context.Context, events ...Event) context.Context {
	if attrsFrom(ctx) != nil {
		ctx = context.WithValue(ctx, attrsKey{}, map[string]string(nil))
	}
	if slices.ContainsFunc(events, func(e Event) bool { return e.Actor.IsZero() }) {
		return WithActor(ctx, Actor{})
	}
	return ctx
}

func prepareFinal(events ...Event) ([]Event, error) {
	out := make([]Event, len(events))
	for i, e := range events {
		if e.Outcome == "" {
			e.Outcome = OutcomeOK
		}
		p, err := e.prepared()
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

func errDuplicateIntent(opID string) error {
	return fmt.Errorf("%w: operation %s is already open", ErrEvent, opID)
}
