package audit

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// AsJournal returns l itself if it is a [Journal], and otherwise a Journal on
// top of l. That Journal logs each operation twice under one OpID: first with
// [OutcomeBegun], then with its outcome. Nothing happens without a record, but
// the wrapper has two limits:
//
//   - It cannot find operations that a crash interrupted. To find them, search
//     the log for operations that have begun and have no outcome.
//   - It cannot store the events of an operation atomically. If Settle fails,
//     the caller may call it again, and it continues with the event that
//     failed. If l had stored that event despite the error, the event is stored
//     twice.
func AsJournal(l Logger) Journal {
	if j, ok := l.(Journal); ok {
		return j
	}
	return loggerJournal{l}
}

type loggerJournal struct{ Logger }

// Log adds the actor and the attributes of ctx to e, in case the Logger does
// not.
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

	mu     sync.Mutex // Settle holds mu
	logged int        // the number of settling events that l has stored
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
