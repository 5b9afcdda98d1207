package audit

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// AsJournal returns l itself if it is a [Journal]. Any other Logger is wrapped:
// an operation is logged twice under one OpID, first with [OutcomeBegun] and
// then with its outcome, so that nothing happens unrecorded. What it cannot do
// is find again the operations that a crash cut short: they are those that
// were begun and never ended, and whoever reads the log must look for them. Nor can
// it store an operation's events as one: a Settle that failed may be called
// again and goes on with the event that l did not take, which is then stored
// twice if l had taken it after all.
func AsJournal(l Logger) Journal {
	if j, ok := l.(Journal); ok {
		return j
	}
	return loggerJournal{l}
}

type loggerJournal struct{ Logger }

// Log gives e the actor and attributes of ctx, whether or not the Logger does.
func (j loggerJournal) Log(ctx context.Context, e Event) error {
	return j.Logger.Log(ctx, withContext(ctx, e))
}

func (j loggerJournal) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	e, err := PrepareIntent(ctx, e)
	if err != nil {
		return nil, err
	}
	begun := e
	begun.Outcome = OutcomeBegun
	if err := j.Logger.Log(prepared(ctx, begun), begun); err != nil {
		return nil, err
	}
	return &loggerIntent{log: j.Logger, event: e}, nil
}

func (loggerJournal) Dangling(context.Context, DanglingQuery) iter.Seq2[Intent, error] {
	return func(func(Intent, error) bool) {}
}

func (loggerJournal) Claim(context.Context, string, time.Duration, func(Event) bool) (Intent, error) {
	return nil, ErrNoIntent
}

type loggerIntent struct {
	log     Logger
	event   Event
	settled atomic.Bool

	mu     sync.Mutex // held while settling
	logged int        // how many of the events that settle it are stored
}

func (in *loggerIntent) OpID() string { return in.event.OpID }
func (in *loggerIntent) Event() Event { return in.event.Clone() }

func (in *loggerIntent) Renew(context.Context, time.Duration) error {
	if in.settled.Load() {
		return ErrNotHeld
	}
	return nil
}

func (in *loggerIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	events, err := PrepareSettlement(ctx, in.event, r, also...)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.settled.Load() {
		return ErrNotHeld
	}
	for in.logged < len(events) {
		if err := in.log.Log(prepared(ctx, events[in.logged]), events[in.logged]); err != nil {
			return err
		}
		in.logged++
	}
	in.settled.Store(true)
	return nil
}
