package blobstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// This file implements the only sequence that changes an object: begin makes the
// intent durable, hold lets the operation act while it keeps the intent's lease, and
// then settles the intent. Stage holds an intent beyond its own return, by
// holdOpen and end, which hold consists of.

// effect is the result of an act: how its intent is to be settled.
type effect struct {
	// result is settled as it is if it has an Outcome. Otherwise the outcome is ok
	// if the act succeeded, and failed if not.
	result audit.Result
	also   []audit.Event // recorded in the same transaction, unless the act failed without an Outcome
	left   []audit.Event // recorded in the same transaction if it did: what it could not take back

	// open leaves the intent open. If lease is not 0 it is renewed for that long.
	open  bool
	lease time.Duration

	// settled is called after the settlement; nil: nothing is left to do.
	settled func(ctx context.Context) error
	// lost ends an operation whose intent another process took over, which is
	// reported by an error that wraps audit.ErrNotHeld. cause is the error of the
	// act. Nil: see held.lost.
	lost func(ctx context.Context, cause, notHeld error) error
}

// outcome returns the result and the further entries of an operation that ended
// with cause.
func (eff effect) outcome(cause error) (audit.Result, []audit.Event) {
	switch {
	case eff.result.Outcome != "":
		return eff.result, eff.also
	case cause != nil:
		return failedBy(cause), eff.left
	}
	eff.result.Outcome = audit.OutcomeOK
	return eff.result, eff.also
}

// act is the part of an operation that changes objects. Its context ends when the
// lease can't be kept.
type act func(ctx context.Context, intent audit.Intent) (effect, error)

// change begins an operation and holds it for act.
func (s *Store) change(ctx context.Context, e audit.Event, do act) error {
	intent, err := s.begin(ctx, e, s.opts.Lease)
	if err != nil {
		return err
	}
	return s.hold(ctx, intent, do)
}

// begin makes the intent of an operation durable.
func (s *Store) begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	if e.GrantID != "" {
		// A link is used: that comes first, so that it counts whatever follows.
		use := e
		use.Action = audit.ActionRedeem
		if err := s.log(ctx, use); err != nil {
			return nil, err
		}
	}
	if err := s.precheck(ctx, e); err != nil {
		return nil, s.record(ctx, e, err)
	}
	ctx, cancel := context.WithTimeout(asRecorded(ctx, e), s.opts.Timeout)
	defer cancel()
	intent, err := s.journal.Begin(ctx, e, lease)
	return intent, provider.As(ErrAudit, err)
}

// precheck refuses an operation that the backend can see to be impossible. A
// check is not refused, since it has to find out the reason.
func (s *Store) precheck(ctx context.Context, e audit.Event) error {
	b, ok := s.bucket.(provider.Prechecker)
	if !ok || e.Action == audit.ActionCheck {
		return nil
	}
	keys := []string{e.Key}
	if e.Action == audit.ActionMove {
		keys = append(keys, e.SourceKey)
	}
	for _, key := range keys {
		if err := b.Precheck(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps the lease of an intent while it runs an act, and settles the intent
// with the effect. If the act fails with ErrInDoubt the intent stays open, for the
// reconciler.
func (s *Store) hold(ctx context.Context, intent audit.Intent, do act) error {
	h := s.holdOpen(ctx, intent)
	defer h.release() // also if the host's reader panics
	eff, err := do(h.ctx, intent)
	return h.end(ctx, eff, err)
}

// held is an intent whose lease is kept.
type held struct {
	s       *Store
	intent  audit.Intent
	ctx     context.Context // ends when the lease can't be kept
	release func()          // may be called again
}

// holdOpen keeps the lease of an intent until end or release is called.
func (s *Store) holdOpen(ctx context.Context, intent audit.Intent) *held {
	h := &held{s: s, intent: intent}
	h.ctx, h.release = s.keep(ctx, intent)
	return h
}

// end settles the intent with the effect of an act that returned err, whatever
// became of the caller's context. It returns err, and the error of the settlement.
func (h *held) end(ctx context.Context, eff effect, err error) error {
	h.release()
	err = ended(ctx, err)
	if eff.lost == nil {
		eff.lost = func(ctx context.Context, cause, notHeld error) error { return h.lost(ctx, eff, cause, notHeld) }
	}
	open := eff.open || errors.Is(err, ErrInDoubt)
	if open && eff.lease == 0 {
		return err
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.s.opts.Timeout)
	defer cancel()
	var failed error
	if open {
		failed = h.intent.Renew(sctx, eff.lease)
	} else {
		r, also := eff.outcome(err)
		failed = h.intent.Settle(asRecorded(sctx, also...), r, also...)
	}
	switch {
	case errors.Is(failed, audit.ErrNotHeld):
		return eff.lost(sctx, err, failed)
	case failed == nil && !open && eff.settled != nil:
		return both(err, eff.settled(sctx))
	}
	return both(err, provider.As(ErrAudit, failed))
}

// lost ends an operation whose effect happened, or happened and was undone, though
// another process took its intent over; see settleLost.
func (h *held) lost(ctx context.Context, eff effect, cause, notHeld error) error {
	r, also := eff.outcome(cause)
	if r.Outcome == audit.OutcomeOK || errors.As(cause, new(undoneError)) {
		notHeld = h.s.settleLost(ctx, h.intent.Event(), r, also, notHeld)
	}
	return both(cause, provider.As(ErrAudit, notHeld))
}

// renew makes sure that an intent is still held.
func (s *Store) renew(ctx context.Context, intent audit.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return provider.As(ErrAudit, intent.Renew(ctx, s.opts.Lease))
}

// keep renews the intent's lease until release is called. The context that it
// returns ends with ctx, and when the lease is lost or soon will be, so that
// nothing is done to an object which the reconciler may be looking at. When ctx
// ends the lease is kept on, because what was done is then cleared away. release
// may be called again.
func (s *Store) keep(ctx context.Context, intent audit.Intent) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var (
		mu    sync.Mutex
		timer *time.Timer
		pause = s.opts.Lease / 3
		safe  = s.opts.Lease - pause/2 // the rest is for the effect to come to an end
		ends  = time.Now().Add(safe)
	)
	renew := func() {
		started := time.Now()
		rctx, done := context.WithDeadline(running, ends)
		err := intent.Renew(rctx, s.opts.Lease)
		done()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case running.Err() != nil:
			return
		case err == nil:
			ends = started.Add(safe)
		case errors.Is(err, audit.ErrNotHeld), time.Until(ends) <= 0:
			cancel(provider.As(ErrAudit, err))
			return
		}
		timer.Reset(min(pause, time.Until(ends)))
	}
	mu.Lock()
	timer = time.AfterFunc(pause, renew)
	mu.Unlock()
	return ctx, func() {
		stop()
		cancel(context.Canceled)
		timer.Stop()
	}
}
