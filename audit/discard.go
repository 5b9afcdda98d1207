package audit

import (
	"context"
	"iter"
	"time"
)

// Discard is a [Journal] that records nothing. It is the visible way to opt out
// of the trail; a nil Logger is an error everywhere.
var Discard Journal = discard{}

type discard struct{}

func (discard) Log(ctx context.Context, e Event) error {
	_, err := PrepareLog(e)
	return err
}

func (discard) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	e, err := PrepareIntent(e)
	return discardIntent{e}, err
}

func (discard) Dangling(context.Context, DanglingQuery) iter.Seq2[Intent, error] {
	return func(func(Intent, error) bool) {}
}

func (discard) Claim(context.Context, string, time.Duration) (Intent, error) {
	return nil, ErrNoIntent
}

type discardIntent struct{ event Event }

func (in discardIntent) ID() string                                 { return in.event.OpID }
func (in discardIntent) Event() Event                               { return in.event }
func (in discardIntent) Renew(context.Context, time.Duration) error { return nil }

func (in discardIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	_, err := PrepareSettlement(in.event, r, also...)
	return err
}
