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

// Call is the name of a method of a journal or an intent.
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
	// Call is the affected method. Required.
	Call Call

	// Match selects calls by their event; nil selects all. For Settle, the
	// event includes the result. For Claim, which has no event, Match receives
	// an event with only the OpID. It must be safe for concurrent use.
	Match func(audit.Event) bool

	// Nth selects one of these calls, counted from the addition of the fault; 1
	// is the next call. 0 selects every call.
	Nth int

	// After makes the call take effect before it fails or waits. With Err, it
	// simulates a lost acknowledgment.
	After bool

	// Gate makes the call wait, before its effect or, with After, after it. If
	// Gate is nil, the call does not wait. If the call's context ends first,
	// the call fails with its error.
	Gate *Gate

	// Err is the error of the call. If it is nil, the call continues once the
	// Gate is open. If the call itself fails, its own error is returned.
	Err error
}

// Faults is an [audit.Journal] for tests of code that uses a journal. Calls
// selected by [Faults.Add] fail or wait. All other calls, including those of
// its intents, go to the underlying journal.
//
// Faults is also an [audit.Reader]. If the underlying journal is one, Entries
// never fails artificially. Otherwise, Entries yields errors.ErrUnsupported.
// Faults is safe for concurrent use.
type Faults struct {
	reading
	journal audit.Journal

	mu     sync.Mutex
	faults []*planned
	calls  map[Call]int
}

// reading converts a logger to a Reader.
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
	seen int // number of selected calls so far
}

// NewFaults returns a Faults without faults on top of j. A logger that is not a
// journal is wrapped with [audit.AsJournal].
func NewFaults(j audit.Logger) *Faults {
	return &Faults{reading: reading{j}, journal: audit.AsJournal(j), calls: map[Call]int{}}
}

// Add adds faults. If several faults select the same call, the first one added
// applies. Add panics if Fault.Call is not a known method.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range faults {
		switch x.Call {
		case CallLog, CallBegin, CallClaim, CallRenew, CallSettle:
		default: // otherwise, the fault would never happen, and its test would pass
			panic(fmt.Sprintf("audittest: Fault.Call %q: want Log, Begin, Claim, Renew or Settle", x.Call))
		}
		f.faults = append(f.faults, &planned{Fault: x})
	}
}

// Clear removes all faults. Calls that wait at a gate continue to wait.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Calls returns the number of calls of c, including failed ones.
func (f *Faults) Calls(c Call) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[c]
}

// call runs do, the underlying call, with the fault that applies to it.
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

// next counts the call and returns the fault that applies to it, or nil.
func (f *Faults) next(c Call, e audit.Event) *Fault {
	f.mu.Lock()
	f.calls[c]++
	faults := slices.Clone(f.faults)
	f.mu.Unlock()

	var hit *Fault
	for _, x := range faults {
		if x.Call != c || x.Match != nil && !x.Match(e) { // Match runs unlocked, because it may use Calls
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

// Begin implements [audit.Journal]. If it fails after its effect, the intent is
// open without a holder, as after a lost acknowledgment.
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

// Dangling implements [audit.Journal]. Faults affect the yielded intents, not
// Dangling itself.
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

// Gate blocks calls until it is opened.
type Gate struct {
	reached, opened         chan struct{}
	onceReached, onceOpened sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
}

// Reached returns a channel that is closed when the first call arrives at the
// gate.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Open lets all calls pass, the waiting ones and later ones. A second call has
// no effect.
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
