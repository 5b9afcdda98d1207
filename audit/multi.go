package audit

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Multi returns a Journal that stores the trail in the first logger and mirrors
// every entry to the others, such as a [Slog] or an export to another system.
// Only the first logger stores intents; see [AsJournal].
//
// Log writes to the mirrors before it writes to the first logger, and an error
// of any of them is an error. Every logger therefore has a record before the
// operation proceeds. When an operation is settled, its effect already exists,
// so the first logger comes before the mirrors. If a mirror then fails, Settle
// returns an error that wraps [ErrMirror], although the trail is complete.
//
// The result is a [Reader] if first is one. Multi panics if a logger is nil. To
// record nothing, use [Discard].
func Multi(first Logger, mirrors ...Logger) Journal {
	if first == nil || slices.Contains(mirrors, nil) {
		panic("audit: Multi: a logger is nil: use audit.Discard to record nothing")
	}
	m := multi{Journal: AsJournal(first), mirrors: mirrors}
	if r, ok := first.(Reader); ok {
		return readableMulti{m, r}
	}
	return m
}

type readableMulti struct {
	multi
	Reader
}

// ErrMirror reports that the trail has the entry, but a mirror could not be
// written; see [Multi].
var ErrMirror = errors.New("audit: the entry is stored, but a mirror could not be written")

type multi struct {
	Journal
	mirrors []Logger
}

func (m multi) Log(ctx context.Context, e Event) error {
	e, err := PrepareLog(ctx, e) // once, so that all loggers store the same OpID and time
	if err != nil {
		return err
	}
	if err := m.mirror(ctx, e); err != nil {
		return err
	}
	return m.Journal.Log(prepared(ctx, e), e)
}

func (m multi) mirror(ctx context.Context, events ...Event) error {
	var errs []error
	ctx = prepared(ctx, events...)
	for _, l := range m.mirrors {
		for _, e := range events {
			errs = append(errs, l.Log(ctx, e))
		}
	}
	return errors.Join(errs...)
}

func (m multi) Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error) {
	return m.wrap(m.Journal.Begin(ctx, e, lease))
}

func (m multi) Claim(ctx context.Context, opID string, lease time.Duration, match func(Event) bool) (Intent, error) {
	return m.wrap(m.Journal.Claim(ctx, opID, lease, match))
}

func (m multi) Dangling(ctx context.Context, q DanglingQuery) iter.Seq2[Intent, error] {
	return func(yield func(Intent, error) bool) {
		for in, err := range m.Journal.Dangling(ctx, q) {
			if !yield(m.wrap(in, err)) {
				return
			}
		}
	}
}

func (m multi) wrap(in Intent, err error) (Intent, error) {
	if err != nil {
		return nil, err
	}
	return multiIntent{in, m}, nil
}

type multiIntent struct {
	Intent
	m multi
}

func (in multiIntent) Settle(ctx context.Context, r Result, also ...Event) error {
	events, err := PrepareSettlement(ctx, in.Event(), r, also...)
	if err != nil {
		return err
	}
	if err := in.Intent.Settle(prepared(ctx, events[1:]...), r, events[1:]...); err != nil {
		return err
	}
	if err := in.m.mirror(ctx, events...); err != nil {
		return errors.Join(ErrMirror, err)
	}
	return nil
}
