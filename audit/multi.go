package audit

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Multi returns a Journal that keeps the trail in the first logger and mirrors
// every entry to the others, such as a [Slog] or a stream to another system.
// Intents are held by the first alone (see [AsJournal]).
//
// Log writes to the mirrors before the first, so that nothing happens of which
// one of them has no record; a failure of any is an error. When an operation is
// settled the first comes before the mirrors, since its effect stands already;
// a mirror that fails then makes Settle fail with an error that wraps
// [ErrMirror], though the trail is complete.
//
// It is a [Reader] if the first is one. None may be nil, which panics; [Discard]
// keeps no trail.
func Multi(first Logger, mirrors ...Logger) Journal {
	if first == nil || slices.Contains(mirrors, nil) {
		panic("audit: Multi with a nil Logger; to keep no trail use Discard")
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

// ErrMirror: the trail has the entry, but a mirror of it could not be written;
// see [Multi].
var ErrMirror = errors.New("audit: mirror failed")

type multi struct {
	Journal
	mirrors []Logger
}

func (m multi) Log(ctx context.Context, e Event) error {
	e, err := PrepareLog(ctx, e) // once, so that all store the same OpID and time
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
