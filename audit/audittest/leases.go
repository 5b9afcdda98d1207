package audittest

import (
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks leases and claims: the holder of an intent, and the duration
// of the hold.

var leaseCases = []testCase{
	{"leases/held, not dangling", heldDoesNotDangle},
	{"leases/run out, dangling once", runsOut},
	{"leases/takeover fences the former holder", takeoverFences},
	{"leases/taken over, settled by both", takeoverThenBothSettle},
	{"leases/ran out unnoticed", ranOutUnnoticed},
	{"leases/renewed", renew},
	{"leases/renewed to end sooner", renewShorter},
	{"leases/renewed after it was settled", renewSettled},
	{"leases/zero is a minute", zeroLease},
	{"leases/taken over, run out again", takenOverRunsOut},
	{"leases/event outlives a takeover", eventOutlivesTakeover},
	{"leases/claimed from a live holder", claim},
	{"leases/claim of no open intent", claimUnknown},
	{"leases/claim of what matches", claimMatching},
	{"leases/claim against settle", claimRacesSettle},
}

// An intent MUST NOT be yielded to a reconciler during its lease.
func heldDoesNotDangle(e *env) {
	e.begin(upload("k"), long)
	e.expire()
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
	e.wantOpen(1)
}

// An intent whose lease has expired MUST be yielded to one reconciler, which
// MUST then hold it.
func runsOut(e *env) {
	in := e.begin(upload("k"), e.short())
	e.expire()
	got := e.dangling(audit.DanglingQuery{})
	require.Equal(e, []string{in.OpID()}, idsOf(got))
	assert.Empty(e, e.dangling(audit.DanglingQuery{}), "it is held now")
	require.NoError(e, got[0].Renew(e.ctx, long))
	require.NoError(e, got[0].Settle(e.ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler}))
	assert.Equal(e, in.OpID(), e.only().OpID)
	e.wantOpen(0)
}

// After an intent is taken over, Renew and Settle of the former holder MUST
// fail with ErrNotHeld and change nothing.
func takeoverFences(e *env) {
	in := e.begin(upload("k"), e.short())
	e.expire()
	got := e.dangling(audit.DanglingQuery{})
	require.Len(e, got, 1)
	require.ErrorIs(e, in.Renew(e.ctx, long), audit.ErrNotHeld)
	require.ErrorIs(e, in.Settle(e.ctx, ok, upload("also")), audit.ErrNotHeld)
	assert.Empty(e, e.entries(audit.Query{}))
	e.wantOpen(1)
	require.NoError(e, got[0].Settle(e.ctx, ok), "the new holder is unharmed")
}

// After a reconciler has settled, a late Settle of the former holder MUST fail:
// one operation has one entry.
func takeoverThenBothSettle(e *env) {
	in := e.begin(upload("k"), e.short())
	e.expire()
	got := e.dangling(audit.DanglingQuery{})
	require.Len(e, got, 1)
	require.NoError(e, got[0].Settle(e.ctx, audit.Result{Outcome: audit.OutcomeUnknown}))
	require.ErrorIs(e, in.Settle(e.ctx, ok), audit.ErrNotHeld)
	assert.Equal(e, audit.OutcomeUnknown, e.only().Outcome)
}

// If a lease has expired and the intent was not taken over, its holder MUST
// still be able to renew or settle it.
func ranOutUnnoticed(e *env) {
	a, b := e.begin(upload("a"), e.short()), e.begin(upload("b"), e.short())
	e.expire()
	require.NoError(e, a.Settle(e.ctx, ok))
	require.NoError(e, b.Renew(e.ctx, long))
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
	require.NoError(e, b.Settle(e.ctx, ok))
	assert.Equal(e, []string{"a", "b"}, keysOf(e.entries(audit.Query{})))
}

// Renew MUST set the end of the lease to the given duration from now.
func renew(e *env) {
	in := e.begin(upload("k"), e.short())
	require.NoError(e, in.Renew(e.ctx, long))
	e.expire()
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
	require.NoError(e, in.Settle(e.ctx, ok))
	e.only()
}

// Renew MUST be able to shorten the lease.
func renewShorter(e *env) {
	in := e.begin(upload("k"), long)
	require.NoError(e, in.Renew(e.ctx, e.short()))
	e.expire()
	assert.Equal(e, []string{in.OpID()}, idsOf(e.dangling(audit.DanglingQuery{})))
}

// Renew of a settled intent MUST fail with ErrNotHeld and MUST NOT open it
// again.
func renewSettled(e *env) {
	in := e.begin(upload("k"), long)
	require.NoError(e, in.Settle(e.ctx, ok))
	require.ErrorIs(e, in.Renew(e.ctx, e.short()), audit.ErrNotHeld)
	e.expire()
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
	e.wantOpen(0)
}

// A lease of zero MUST mean one minute in every method.
func zeroLease(e *env) {
	takeAll := func() (out []audit.Intent) { // takes over intents with a lease of zero
		for in, err := range e.j.Dangling(e.ctx, audit.DanglingQuery{}) {
			require.NoError(e, err)
			out = append(out, in)
		}
		return out
	}
	begun := e.begin(upload("begun"), 0)
	renewed := e.begin(upload("renewed"), e.short())
	require.NoError(e, renewed.Renew(e.ctx, 0))
	claimed := e.begin(upload("claimed"), e.short())
	_, err := e.j.Claim(e.ctx, claimed.OpID(), 0, nil)
	require.NoError(e, err)
	if e.h.Advance == nil { // waiting for a minute would take too long
		e.expire()
		assert.Empty(e, takeAll())
		return
	}
	all := []string{begun.OpID(), renewed.OpID(), claimed.OpID()}
	e.h.Advance(e, 45*time.Second)
	assert.Empty(e, takeAll(), "45 seconds later")
	e.h.Advance(e, 20*time.Second)
	assert.ElementsMatch(e, all, idsOf(takeAll()), "65 seconds later")
	e.h.Advance(e, 45*time.Second)
	assert.Empty(e, takeAll(), "45 seconds after the takeover")
	e.h.Advance(e, 20*time.Second)
	assert.ElementsMatch(e, all, idsOf(takeAll()), "65 seconds after the takeover")
}

// If a reconciler dies too, it MUST lose the intent to the next one.
func takenOverRunsOut(e *env) {
	e.begin(upload("k"), e.short())
	e.expire()
	first := e.dangling(audit.DanglingQuery{Lease: e.short()})
	require.Len(e, first, 1)
	e.expire()
	second := e.dangling(audit.DanglingQuery{})
	require.Len(e, second, 1)
	require.ErrorIs(e, first[0].Settle(e.ctx, ok), audit.ErrNotHeld)
	require.NoError(e, second[0].Settle(e.ctx, ok))
	e.only()
}

// A new holder MUST get the original event of the intent. The entry MUST be the
// same as if the first holder had settled it.
func eventOutlivesTakeover(e *env) {
	events := []audit.Event{fullEvent(), hostileEvent(), upload("bare"), {Action: "host.own", Size: new(int64(0))}}
	for i, ev := range events {
		ev.Outcome = ""
		events[i] = ev
		e.begin(ev, e.short())
	}
	e.expire()
	held := e.dangling(audit.DanglingQuery{})
	require.Len(e, held, len(events))
	other := e.second()
	for i, ev := range events {
		claimed, err := other.Claim(e.ctx, held[i].OpID(), long, nil)
		require.NoError(e, err)
		if ev.OpID == "" { // generated by Begin
			ev.OpID, ev.OccurredAt = held[i].OpID(), held[i].Event().OccurredAt
		}
		e.same(ev, held[i].Event())
		e.same(ev, claimed.Event())
		require.NoError(e, claimed.Settle(e.ctx, ok))
		ev.Outcome = audit.OutcomeOK
		got := e.entries(audit.Query{OpID: ev.OpID})
		require.Len(e, got, 1)
		e.same(ev, got[0].Event)
	}
}

// Claim MUST take over an open intent through every handle, even during the
// lease of another holder. Calls of the former holder MUST fail with ErrNotHeld.
func claim(e *env) {
	in := e.begin(upload("k"), long)
	got, err := e.second().Claim(e.ctx, in.OpID(), long, nil)
	require.NoError(e, err)
	assert.Equal(e, in.OpID(), got.OpID())
	require.ErrorIs(e, in.Renew(e.ctx, long), audit.ErrNotHeld)
	require.ErrorIs(e, in.Settle(e.ctx, ok), audit.ErrNotHeld)
	again, err := e.j.Claim(e.ctx, in.OpID(), e.short(), nil)
	require.NoError(e, err)
	require.ErrorIs(e, got.Settle(e.ctx, ok), audit.ErrNotHeld)
	e.expire()
	taken := e.dangling(audit.DanglingQuery{})
	require.Equal(e, []string{in.OpID()}, idsOf(taken), "a claim's lease runs out as any other")
	require.ErrorIs(e, again.Settle(e.ctx, ok), audit.ErrNotHeld)
	require.NoError(e, taken[0].Settle(e.ctx, ok))
	e.only()
}

// match MUST receive the original event. If match returns false, Claim MUST
// return ErrNoIntent and leave the intent unchanged.
func claimMatching(e *env) {
	in := e.begin(upload("k"), long)
	got, err := e.j.Claim(e.ctx, in.OpID(), e.short(), func(seen audit.Event) bool {
		assert.Equal(e, in.Event(), seen)
		return false
	})
	require.ErrorIs(e, err, audit.ErrNoIntent)
	assert.Nil(e, got)
	require.NoError(e, in.Renew(e.ctx, long), "still held by who held it")
	got, err = e.j.Claim(e.ctx, in.OpID(), long, func(seen audit.Event) bool { return seen.Key == "k" })
	require.NoError(e, err)
	require.ErrorIs(e, in.Settle(e.ctx, ok), audit.ErrNotHeld)
	require.NoError(e, got.Settle(e.ctx, ok))
	e.only()
}

// Claim MUST fail with ErrNoIntent if the operation never began, is settled, or
// has an invalid ID.
func claimUnknown(e *env) {
	in := e.begin(upload("k"), 0)
	require.NoError(e, in.Settle(e.ctx, ok))
	for _, id := range []string{in.OpID(), "0198f2e0-0000-7000-8000-00000000ffff", "", "42", "it's\x00 not an id \xff"} {
		got, err := e.j.Claim(e.ctx, id, 0, nil)
		require.ErrorIs(e, err, audit.ErrNoIntent, "%q", id)
		assert.Nil(e, got)
	}
	e.only()
}

// Whatever the order of claims and settlements, each operation MUST have
// exactly one entry. Every losing call MUST return ErrNotHeld or ErrNoIntent.
func claimRacesSettle(e *env) {
	const operations = 8
	other := e.second()
	var wg sync.WaitGroup
	for range operations {
		in := e.begin(upload("k"), long)
		start := make(chan struct{})
		for _, j := range []Journal{e.j, other} {
			wg.Go(func() {
				<-start
				got, err := j.Claim(e.ctx, in.OpID(), long, nil)
				if err == nil {
					err = got.Settle(e.ctx, ok)
				}
				if err != nil && !isLost(err) {
					assert.NoError(e, err, "neither settled nor lost")
				}
			})
		}
		wg.Go(func() {
			<-start
			if err := in.Settle(e.ctx, ok); err != nil {
				assert.ErrorIs(e, err, audit.ErrNotHeld)
			}
		})
		close(start)
		wg.Wait()
	}
	// Two claims may take the intent from each other and from the first holder,
	// but the last one holds it until it settles.
	got := e.entries(audit.Query{})
	require.Len(e, got, operations)
	ops := map[string]bool{}
	for _, en := range got {
		ops[en.OpID] = true
	}
	assert.Len(e, ops, operations)
	e.wantOpen(0)
}
