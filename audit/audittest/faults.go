package audittest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// Call names a method of a journal or of its intents.
type Call string

const (
	CallLog    Call = "Log"
	CallBegin  Call = "Begin"
	CallClaim  Call = "Claim"
	CallRenew  Call = "Renew"
	CallSettle Call = "Settle"
)

// Fault makes one call, or every call, fail or wait.
type Fault struct {
	// Call is the method that it is about. Required.
	Call Call

	// Match selects calls by their event; nil selects all. For Settle it is
	// given the event with the result. Claim has no event: it is given one
	// with the OpID alone. It may be called concurrently.
	Match func(audit.Event) bool

	// Nth is which of the selected calls it is about, counted from when the
	// fault was added, 1 being the next; 0: every one.
	Nth int

	// After lets the call take effect first, so that what the caller is told
	// differs from what happened: the case of a lost acknowledgement.
	After bool

	// Gate makes the call wait there, before or after the effect; nil: it
	// does not wait. If the call's context is done first, the call fails with
	// the context's error.
	Gate *Gate

	// Err is what the call fails with; nil: it doesn't, and goes on when the
	// Gate is open. After a call that failed by itself its own error stays.
	Err error
}

// Faults is an [audit.Journal] whose calls fail or wait as [Faults.Add] says,
// for tests of those who use a journal. All other calls go to the journal
// beneath; so do all calls of the intents that it gives out. It is an
// [audit.Reader], whose calls never fail, if the journal beneath is one; else its
// Entries is errors.ErrUnsupported. It is safe for concurrent use.
type Faults struct {
	reading
	journal audit.Journal

	mu     sync.Mutex
	faults []*planned
	calls  map[Call]int
}

// reading makes a Reader of a logger.
type reading struct{ logger audit.Logger }

// Entries implements [audit.Reader].
func (r reading) Entries(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
	if reader, ok := r.logger.(audit.Reader); ok {
		return reader.Entries(ctx, q)
	}
	return func(yield func(audit.Entry, error) bool) { yield(audit.Entry{}, errors.ErrUnsupported) }
}

type planned struct {
	Fault
	seen int // selected calls so far
}

// NewFaults returns a Faults over j, which fails nothing yet. A logger that is
// no journal is passed through [audit.AsJournal].
func NewFaults(j audit.Logger) *Faults {
	return &Faults{reading: reading{j}, journal: audit.AsJournal(j), calls: map[Call]int{}}
}

// Add adds faults. If several are about the same call the one that was added
// first counts. It panics if a fault names no call that there is.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range faults {
		switch x.Call {
		case CallLog, CallBegin, CallClaim, CallRenew, CallSettle:
		default: // it would never happen, and the test that counts on it would pass
			panic(fmt.Sprintf("audittest: Fault.Call %q: want Log, Begin, Claim, Renew or Settle", x.Call))
		}
		f.faults = append(f.faults, &planned{Fault: x})
	}
}

// Clear removes all faults. Calls that wait at a gate go on waiting.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Calls returns how often c was called, whether or not it failed.
func (f *Faults) Calls(c Call) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[c]
}

// call runs do, the call beneath, with the fault that is about it.
func (f *Faults) call(ctx context.Context, c Call, e audit.Event, do func() error) error {
	x := f.next(c, e)
	if x == nil {
		return do()
	}
	if x.After {
		if err := do(); err != nil {
			return err
		}
	}
	if err := x.Gate.wait(ctx); err != nil {
		return err
	}
	if x.Err != nil || x.After {
		return x.Err
	}
	return do()
}

// next counts the call and returns the fault that is about it, or nil.
func (f *Faults) next(c Call, e audit.Event) *Fault {
	f.mu.Lock()
	f.calls[c]++
	faults := slices.Clone(f.faults)
	f.mu.Unlock()

	var hit *Fault
	for _, x := range faults {
		if x.Call != c || x.Match != nil && !x.Match(e) { // Match runs unlocked: it may ask Calls
			continue
		}
		f.mu.Lock()
		x.seen++
		due := x.Nth == 0 || x.Nth == x.seen
		f.mu.Unlock()
		if due && hit == nil {
			hit = &x.Fault
		}
	}
	return hit
}

// Log implements [audit.Logger].
func (f *Faults) Log(ctx context.Context, e audit.Event) error {
	return f.call(ctx, CallLog, e, func() error { return f.journal.Log(ctx, e) })
}

// Begin implements [audit.Journal]. If it fails after its effect the intent is
// open and nobody holds it, as after a lost acknowledgement.
func (f *Faults) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	return f.take(ctx, CallBegin, e, func() (audit.Intent, error) { return f.journal.Begin(ctx, e, lease) })
}

// Claim implements [audit.Journal].
func (f *Faults) Claim(ctx context.Context, opID string, lease time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
	return f.take(ctx, CallClaim, audit.Event{OpID: opID}, func() (audit.Intent, error) { return f.journal.Claim(ctx, opID, lease, match) })
}

func (f *Faults) take(ctx context.Context, c Call, e audit.Event, do func() (audit.Intent, error)) (audit.Intent, error) {
	var in audit.Intent
	err := f.call(ctx, c, e, func() (err error) {
		in, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return faultyIntent{in, f}, nil
}

// Dangling implements [audit.Journal]. Faults are about the intents that it
// yields, not about itself.
func (f *Faults) Dangling(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
	return func(yield func(audit.Intent, error) bool) {
		for in, err := range f.journal.Dangling(ctx, q) {
			if err == nil {
				in = faultyIntent{in, f}
			}
			if !yield(in, err) {
				return
			}
		}
	}
}

type faultyIntent struct {
	audit.Intent
	f *Faults
}

func (in faultyIntent) Renew(ctx context.Context, lease time.Duration) error {
	return in.f.call(ctx, CallRenew, in.Event(), func() error { return in.Intent.Renew(ctx, lease) })
}

func (in faultyIntent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	return in.f.call(ctx, CallSettle, in.Event().With(r), func() error { return in.Intent.Settle(ctx, r, also...) })
}

// Gate holds up calls until it is opened.
type Gate struct {
	reached, opened         chan struct{}
	onceReached, onceOpened sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
}

// Reached is closed when the first call has come to the gate.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Open lets all calls through, those that wait and those to come. Opening it
// again does nothing.
func (g *Gate) Open() { g.onceOpened.Do(func() { close(g.opened) }) }

func (g *Gate) wait(ctx context.Context) error {
	if g == nil {
		return nil
	}
	g.onceReached.Do(func() { close(g.reached) })
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
