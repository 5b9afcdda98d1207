package blobstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// This file implements the sequence for all changes of objects. begin makes the
// intent durable. hold performs the operation while it renews the intent's
// lease, and then settles the intent. hold consists of holdOpen and end. Stage
// calls these two separately, to keep the intent open after it returns.

// effect is the result of an act. It determines how the intent is settled.
type effect struct {
	// result is recorded unchanged if it has an Outcome. Otherwise, the outcome
	// is ok if the act succeeded, and failed if it did not.
	result audit.Result
	also   []audit.Event // recorded in the same transaction, except if the act failed without an Outcome
	left   []audit.Event // recorded in the same transaction in that case: effects that could not be undone

	// open leaves the intent open. If lease is not 0, the intent is renewed for
	// that time.
	open  bool
	lease time.Duration

	// settled is called after the settlement. It may be nil.
	settled func(ctx context.Context) error
	// lost ends an operation whose intent was taken over by another process.
	// notHeld wraps audit.ErrNotHeld, and cause is the error of the act. If
	// nil, held.lost is used.
	lost func(ctx context.Context, cause, notHeld error) error
}

// outcome returns the result and the additional entries of an operation that
// ended with cause.
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

// act is the part of an operation that changes objects. Its context ends when
// the lease is lost or about to expire.
type act func(ctx context.Context, intent audit.Intent) (effect, error)

// change begins an operation and holds its intent during do.
func (s *Store) change(ctx context.Context, e audit.Event, do act) error {
	intent, err := s.begin(ctx, e, s.opts.Lease)
	if err != nil {
		return err
	}
	return s.hold(ctx, intent, do)
}

// begin makes the intent of an operation durable. If the operation uses a link,
// begin first records that use.
func (s *Store) begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	if e.GrantID != "" {
		// Record the use of the link first, so that it counts even if the
		// operation fails later.
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

// precheck rejects an operation known by the backend to be impossible. It does
// not reject a check, because Check determines the reason.
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

// hold renews the lease of an intent while it runs do, and settles the intent
// with the effect. If do fails with ErrInDoubt, hold leaves the intent open for
// the reconciler.
func (s *Store) hold(ctx context.Context, intent audit.Intent, do act) error {
	h := s.holdOpen(ctx, intent)
	defer h.release() // including when the application's reader panics
	eff, err := do(h.ctx, intent)
	return h.end(ctx, eff, err)
}

// held is an intent with a lease that is being renewed.
type held struct {
	s       *Store
	intent  audit.Intent
	ctx     context.Context // ends when the lease is lost or about to expire
	release func()          // may be called more than once
}

// holdOpen renews the lease of an intent until end or release is called.
func (s *Store) holdOpen(ctx context.Context, intent audit.Intent) *held {
	h := &held{s: s, intent: intent}
	h.ctx, h.release = s.keep(ctx, intent)
	return h
}

// end settles the intent with the effect of an act that returned err, even if
// the caller's context has ended. It returns err together with the error of the
// settlement.
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

// lost ends an operation that took effect, possibly with the effect undone,
// while another process took over its intent; see settleLost.
func (h *held) lost(ctx context.Context, eff effect, cause, notHeld error) error {
	r, also := eff.outcome(cause)
	if r.Outcome == audit.OutcomeOK || errors.As(cause, new(undoneError)) {
		notHeld = h.s.settleLost(ctx, h.intent.Event(), r, also, notHeld)
	}
	return both(cause, provider.As(ErrAudit, notHeld))
}

// renew verifies that an intent is still held, and extends its lease.
func (s *Store) renew(ctx context.Context, intent audit.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return provider.As(ErrAudit, intent.Renew(ctx, s.opts.Lease))
}

// keep renews the intent's lease until release is called.
//
// The returned context ends when ctx ends. It also ends when the lease is lost
// or about to expire, so that the caller stops before the reconciler acts on
// the same object.
//
// The end of ctx does not stop the renewal, because the caller then still has
// to clean up. Calling release more than once is safe.
func (s *Store) keep(ctx context.Context, intent audit.Intent) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var (
		mu    sync.Mutex
		timer *time.Timer
		pause = s.opts.Lease / 3
		safe  = s.opts.Lease - pause/2 // leaves time for the operation to stop
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
