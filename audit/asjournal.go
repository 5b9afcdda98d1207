package audit

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"
)

// AsJournal returns l itself if it is a [Journal]. Any other Logger is wrapped:
// an operation is logged twice under one OpID, first with [OutcomeBegun] and
// then with its outcome, so that nothing happens unrecorded. What it cannot do
// is find again the operations that a crash cut short: they are those that
// begun and never ended, and whoever reads the log must look for them.
func AsJournal(l Logger) Journal {
	if j, ok := l.(Journal); ok {
		return j
	}
	return loggerJournal{l}
}

type loggerJournal struct{ Logger }

func (j loggerJournal) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	e, err := PrepareIntent(e)
	if err != nil {
		return nil, err
	}
	begun := e
	begun.Outcome = OutcomeBegun
	if err := j.Log(ctx, begun); err != nil {
		return nil, err
	}
	return &loggerIntent{log: j.Logger, event: e}, nil
}

func (loggerJournal) Dangling(context.Context, DanglingQuery) iter.Seq2[Intent, error] {
	return func(func(Intent, error) bool) {}
}

func (loggerJournal) Claim(context.Context, string, time.Duration) (Intent, error) {
	return nil, ErrNoIntent
}

type loggerIntent struct {
	log     Logger
	event   Event
	settled atomic.Bool
}

func (in *loggerIntent) ID() string   { return in.event.OpID }
func (in *loggerIntent) Event() Event { return in.event }

func (in *loggerIntent) Renew(context.Context, time.Duration) error {
	if in.settled.Load() {
		return ErrNotHeld
	}
	return nil
}

func (in *loggerIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	events, err := PrepareSettlement(in.event, r, also...)
	if err != nil {
		return err
	}
	if !in.settled.CompareAndSwap(false, true) {
		return ErrNotHeld
	}
	var errs []error
	for _, e := range events {
		errs = append(errs, in.log.Log(ctx, e))
	}
	return errors.Join(errs...)
}
