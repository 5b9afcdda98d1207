package audit

import (
	"context"
	"iter"
	"time"
)

// Discard is a [Journal] that records nothing. Use it to opt out of the trail
// explicitly; a nil Logger is an error everywhere. Discard still rejects
// invalid events and contexts that are done. It stores nothing, so it cannot
// detect that an intent was already settled.
var Discard Journal = discard{}

type discard struct{}

func (discard) Log(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := PrepareLog(ctx, e)
	return err
}

func (discard) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, err := PrepareIntent(ctx, e)
	if err != nil {
		return nil, err
	}
	return discardIntent{e}, nil
}

func (discard) Dangling(context.Context, DanglingQuery) iter.Seq2[Intent, error] {
	return func(func(Intent, error) bool) {}
}

func (discard) Claim(context.Context, string, time.Duration, func(Event) bool) (Intent, error) {
	return nil, ErrNoIntent
}

type discardIntent struct{ event Event }

func (in discardIntent) OpID() string                               { return in.event.OpID }
func (in discardIntent) Event() Event                               { return in.event.Clone() }
func (in discardIntent) Renew(context.Context, time.Duration) error { return nil }

func (in discardIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := PrepareSettlement(ctx, in.event, r, also...)
	return err
}
