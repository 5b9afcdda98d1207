package audit

import (
	"context"
	"fmt"
	"slices"
)

// What every logger must do alike with the events it is given stands here, so
// that implementations differ only in where they put them.

// PrepareIntent returns e as [Journal.Begin] stores it: with the attributes of
// ctx, and with its actor if e has none, see [Logger]. It is for those who implement a Journal. An error
// wraps [ErrEvent].
func PrepareIntent(ctx context.Context, e Event) (Event, error) {
	if e.Outcome != "" {
		return e, fmt.Errorf("%w: Begin with outcome %q: an operation that has an outcome is logged, not begun", ErrEvent, cleanText(string(e.Outcome), 80))
	}
	return withContext(ctx, e).prepared()
}

// PrepareSettlement returns the events that settle an intent, the final one
// first, as [Intent.Settle] stores them. The final one keeps the intent's actor,
// even if it is the zero one. Each further event without an actor gets the one
// of ctx, see [Logger]. It is for those who implement a Journal. An error wraps
// [ErrEvent].
//
// A Journal that passes the events on to a Logger must do so with a context
// that carries no actor, WithActor(ctx, Actor{}), or else the Logger gives the
// settling actor to an operation whose own actor is unknown.
func PrepareSettlement(ctx context.Context, intent Event, r Result, also ...Event) ([]Event, error) {
	switch {
	case r.Outcome == "" || r.Outcome == OutcomeBegun:
		return nil, fmt.Errorf("%w: Settle with outcome %q: want ok, failed, denied or unknown", ErrEvent, r.Outcome)
	case r.SettledBy != "" && r.SettledBy != SettledByWriter && r.SettledBy != SettledByReconciler:
		return nil, fmt.Errorf("%w: SettledBy %q: want writer or reconciler", ErrEvent, cleanText(string(r.SettledBy), 80))
	}
	events := make([]Event, 0, 1+len(also))
	events = append(events, intent.With(r))
	for _, e := range also {
		events = append(events, withContext(ctx, e))
	}
	return prepareFinal(events...)
}

// PrepareLog returns e as [Logger.Log] stores it: with the attributes of ctx, and
// with its actor if e has none, see [Logger]. It is for those who implement a Logger. An error wraps
// [ErrEvent].
func PrepareLog(ctx context.Context, e Event) (Event, error) {
	events, err := prepareFinal(withContext(ctx, e))
	if err != nil {
		return e, err
	}
	return events[0], nil
}

// withContext returns e with the attributes of ctx, and with its actor if e has
// none. It never merges two actors: an actor with nothing but an IP address is a
// complete statement, and fields of two actors could belong to two persons.
func withContext(ctx context.Context, e Event) Event {
	if e.Actor.IsZero() {
		e.Actor, _ = ActorFrom(ctx)
	}
	if attrs := attrsFrom(ctx); len(attrs) > 0 {
		e.Attrs = merged(attrs, e.Attrs)
	}
	return e
}

// prepared returns a context for logging events that were prepared already: one
// that adds no attributes, and no actor if one of the events has none.
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
	return fmt.Errorf("%w: operation %s is open already", ErrEvent, opID)
}
