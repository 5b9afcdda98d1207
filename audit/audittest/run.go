// Package audittest checks implementations of [audit.Journal] and
// [audit.Reader] against their contract. It also helps to test code that uses a
// journal.
//
// [Run] is the conformance suite. An implementation calls it from its tests:
//
//	func TestConformance(t *testing.T) {
//		audittest.Run(t, func(t *testing.T) audittest.Harness {
//			db := openEmptyDatabase(t)
//			return audittest.Harness{
//				Open:        func(tb testing.TB) audittest.Journal { return newJournal(tb, db) },
//				Shared:      true,
//				Advance:     func(tb testing.TB, d time.Duration) { makeLeasesEndEarlier(tb, db, d) },
//				OpenIntents: func(tb testing.TB) int { return countIntents(tb, db) },
//			}
//		})
//	}
//
// [Faults] makes selected calls of a journal fail or wait.
//
// The package imports testing and testify. Import it only from tests.
package audittest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// Journal is a journal with readable entries. The suite requires both.
type Journal interface {
	audit.Journal
	audit.Reader
}

// Harness describes an empty store to the suite. Every case requests a new
// Harness. The functions of a Harness release their resources with Cleanup.
type Harness struct {
	// Open returns a handle to the store. The suite calls it once or, if Shared
	// is set, several times.
	Open func(tb testing.TB) Journal

	// Shared means that each call of Open returns a separate handle to the same
	// store, as another process would have. If it is false, the cases about
	// several processes use one handle for all of them.
	Shared bool

	// Advance advances the clock of leases by d. The clock of entries may
	// advance too. If the journal uses the clock of its database, Advance can
	// shorten all stored leases by d instead. If it is nil, the suite uses
	// leases of 50 ms and waits until they expire.
	Advance func(tb testing.TB, d time.Duration)

	// OpenIntents returns the number of intents in the store, including those
	// with expired leases.
	OpenIntents func(tb testing.TB) int
}

// Run runs every case of the suite as a subtest, sequentially, each with a
// separate Harness.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) { c.on(t, newHarness(t)) })
	}
}

type testCase struct {
	name string
	run  func(e *env)
}

// caseTimeout limits a case, in case the journal deadlocks.
const caseTimeout = time.Minute

// on runs the case. It reports failures to tb, so that tests of the suite can
// observe them.
func (c testCase) on(tb testing.TB, h Harness) {
	ctx, cancel := context.WithTimeout(tb.Context(), caseTimeout)
	defer cancel()
	require.NotNil(tb, h.Open, "Harness.Open")
	require.NotNil(tb, h.OpenIntents, "Harness.OpenIntents")
	c.run(&env{TB: tb, h: h, ctx: ctx, j: h.Open(tb)})
}

func allCases() []testCase {
	var all []testCase
	for _, group := range [][]testCase{intentCases, leaseCases, danglingCases, entryCases, actorCases, textCases, crowdCases, sequenceCases, queryCases()} {
		all = append(all, group...)
	}
	return all
}

// env is the environment of a case. It is also the testing.TB of the case.
type env struct {
	testing.TB
	h   Harness
	j   Journal
	ctx context.Context
}

// These are the leases of the suite. e.expire makes short leases expire. A long
// lease outlasts every case.
const (
	advancedLease = 10 * time.Second
	realLease     = 50 * time.Millisecond
	long          = time.Hour
)

const sentinel = "audittest-sentinel" // the bucket of intents that only measure time

func (e *env) short() time.Duration {
	if e.h.Advance != nil {
		return advancedLease
	}
	return realLease
}

// expire returns after every earlier short lease has expired.
func (e *env) expire() {
	e.Helper()
	if e.h.Advance != nil {
		e.h.Advance(e, advancedLease+time.Second)
		return
	}
	// The newest lease expires last.
	in := e.begin(audit.Event{Action: audit.ActionUpload, Bucket: sentinel}, e.short())
	require.Eventually(e, func() bool {
		for got, err := range e.j.Dangling(e.ctx, audit.DanglingQuery{Bucket: sentinel}) {
			if err == nil && got.OpID() == in.OpID() && got.Settle(e.ctx, ok) == nil {
				return true
			}
		}
		return false
	}, caseTimeout/2, 5*time.Millisecond, "a lease of %v never expires", e.short())
}

// second returns another handle to the store, if it supports several.
func (e *env) second() Journal {
	e.Helper()
	if e.h.Shared {
		return e.h.Open(e)
	}
	return e.j
}

var ok = audit.Result{Outcome: audit.OutcomeOK}

func upload(key string) audit.Event {
	return audit.Event{Action: audit.ActionUpload, Key: key}
}

func (e *env) begin(ev audit.Event, lease time.Duration) audit.Intent {
	e.Helper()
	in, err := e.j.Begin(e.ctx, ev, lease)
	require.NoError(e, err, "Begin")
	require.NotNil(e, in)
	return in
}

func (e *env) log(events ...audit.Event) {
	e.Helper()
	for _, ev := range events {
		require.NoError(e, e.j.Log(e.ctx, ev), "Log")
	}
}

// entries returns the entries selected by q, except those of expire.
func (e *env) entries(q audit.Query) []audit.Entry {
	e.Helper()
	var out []audit.Entry
	for en, err := range e.j.Entries(e.ctx, q) {
		require.NoError(e, err, "Entries")
		if en.Bucket != sentinel {
			out = append(out, en)
		}
	}
	return out
}

// only returns the single entry of the trail.
func (e *env) only() audit.Entry {
	e.Helper()
	got := e.entries(audit.Query{})
	require.Len(e, got, 1, "entries in the trail")
	return got[0]
}

// dangling takes over and returns the intents selected by q. If q has no lease,
// the lease is long.
func (e *env) dangling(q audit.DanglingQuery) []audit.Intent {
	e.Helper()
	if q.Lease == 0 {
		q.Lease = long
	}
	var out []audit.Intent
	for in, err := range e.j.Dangling(e.ctx, q) {
		require.NoError(e, err, "Dangling")
		out = append(out, in)
	}
	return out
}

func (e *env) wantOpen(n int) {
	e.Helper()
	require.Equal(e, n, e.h.OpenIntents(e), "open intents")
}

// same requires that got is the stored form of want.
func (e *env) same(want, got audit.Event) {
	e.Helper()
	want, err := prepared(want)
	require.NoError(e, err)
	require.Equal(e, time.UTC, got.OccurredAt.Location(), "OccurredAt is in UTC")
	require.True(e, want.OccurredAt.Equal(got.OccurredAt), "OccurredAt: want %v, got %v", want.OccurredAt, got.OccurredAt)
	got.OccurredAt = want.OccurredAt
	require.Equal(e, want, got)
}

// prepared returns e in stored form, without values from a context.
func prepared(e audit.Event) (audit.Event, error) {
	if e.Outcome == "" {
		return audit.PrepareIntent(context.Background(), e)
	}
	return audit.PrepareLog(context.Background(), e)
}

func keysOf(entries []audit.Entry) []string {
	out := make([]string, 0, len(entries))
	for _, en := range entries {
		out = append(out, en.Key)
	}
	return out
}

func idsOf(intents []audit.Intent) []string {
	out := make([]string, 0, len(intents))
	for _, in := range intents {
		out = append(out, in.OpID())
	}
	return out
}
