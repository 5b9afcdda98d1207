package audittest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks intents from Begin to Settle. Each one becomes exactly one
// entry.

var intentCases = []testCase{
	{"intents/begun, no entry yet", beginLeavesNoEntry},
	{"intents/settled by one entry", settleLeavesOneEntry},
	{"intents/result joins the event", settleMerges},
	{"intents/result keeps what it leaves out", settleKeeps},
	{"intents/settled twice", settleTwice},
	{"intents/settled by many at once", settleByMany},
	{"intents/ends badly", settleBadly},
	{"intents/settled by the reconciler", settledByReconciler},
	{"intents/further events, in order", alsoInOrder},
	{"intents/bad further event settles nothing", alsoAtomic},
	{"intents/bad result settles nothing", badResult},
	{"intents/begun with an outcome", beginWithOutcome},
	{"intents/begun with a bad event", beginBadEvent},
	{"intents/operation open already", beginTwice},
	{"intents/operation begun by many at once", beginByMany},
	{"intents/event as stored, a copy", intentEvent},
	{"intents/caller's maps are not kept", beginKeepsNothing},
	{"intents/many open, settled in any order", manyIntents},
}

// An operation that has begun MUST be open and MUST NOT be an entry yet.
func beginLeavesNoEntry(e *env) {
	e.begin(upload("k"), 0)
	e.wantOpen(1)
	assert.Empty(e, e.entries(audit.Query{}))
}

// Settle MUST replace the intent with exactly one entry, settled by the writer.
// The entry has the operation's ID and the time of Begin.
func settleLeavesOneEntry(e *env) {
	in := e.begin(upload("k"), 0)
	require.NoError(e, in.Settle(e.ctx, ok))
	e.wantOpen(0)
	en := e.only()
	want := in.Event()
	want.Outcome = audit.OutcomeOK
	e.same(want, en.Event)
	assert.Equal(e, in.OpID(), en.OpID)
	assert.Equal(e, audit.SettledByWriter, en.SettledBy)
	checkIdentity(e, en)
}

// The entry MUST have the result's fields in place of the event's, and the
// result's attrs in addition to the event's.
func settleMerges(e *env) {
	begun := fullEvent()
	begun.Outcome, begun.ErrorCode = "", ""
	in := e.begin(begun, 0)
	r := audit.Result{
		Outcome: audit.OutcomeFailed, ErrorCode: "disk_full", Size: new(int64(0)),
		SHA256: []byte(strings.Repeat("s", 32)), ContentType: "text/plain", GrantID: "grant-2",
		Attrs: map[string]string{"name": "other.pdf", "new": "März"},
	}
	require.NoError(e, in.Settle(e.ctx, r))
	e.same(begun.With(r), e.only().Event)
}

// Fields missing in the result MUST remain as in the event.
func settleKeeps(e *env) {
	begun := fullEvent()
	begun.Outcome = ""
	in := e.begin(begun, 0)
	require.NoError(e, in.Settle(e.ctx, ok))
	begun.Outcome = audit.OutcomeOK
	e.same(begun, e.only().Event)
}

// A second Settle MUST fail with ErrNotHeld and store nothing.
func settleTwice(e *env) {
	in := e.begin(upload("k"), 0)
	require.NoError(e, in.Settle(e.ctx, ok))
	require.ErrorIs(e, in.Settle(e.ctx, ok), audit.ErrNotHeld)
	require.ErrorIs(e, in.Settle(e.ctx, audit.Result{Outcome: audit.OutcomeFailed}, upload("also")), audit.ErrNotHeld)
	assert.Equal(e, audit.OutcomeOK, e.only().Outcome)
}

// Of concurrent calls of Settle, exactly one MUST succeed. The others MUST fail
// with ErrNotHeld.
func settleByMany(e *env) {
	in := e.begin(upload("k"), 0)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := in.Settle(e.ctx, ok); err == nil {
				won.Add(1)
			} else {
				assert.ErrorIs(e, err, audit.ErrNotHeld)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(e, 1, won.Load(), "calls that succeeded")
	e.only()
	e.wantOpen(0)
}

// Every outcome except begun MUST be able to settle an intent.
func settleBadly(e *env) {
	for _, o := range []audit.Outcome{audit.OutcomeFailed, audit.OutcomeDenied, audit.OutcomeUnknown} {
		in := e.begin(upload(string(o)), 0)
		require.NoError(e, in.Settle(e.ctx, audit.Result{Outcome: o, ErrorCode: "why"}))
	}
	got := e.entries(audit.Query{})
	require.Len(e, got, 3)
	for _, en := range got {
		assert.Equal(e, en.Key, string(en.Outcome))
		assert.Equal(e, "why", en.ErrorCode)
	}
}

// The entry MUST identify settlement by the reconciler.
func settledByReconciler(e *env) {
	in := e.begin(upload("k"), 0)
	require.NoError(e, in.Settle(e.ctx, audit.Result{Outcome: audit.OutcomeUnknown, SettledBy: audit.SettledByReconciler}))
	assert.Equal(e, audit.SettledByReconciler, e.only().SettledBy)
}

// Additional events MUST become entries directly after the operation's entry,
// in their order. If they have no operation ID or outcome, they get an ID and
// ok.
func alsoInOrder(e *env) {
	in := e.begin(upload("k"), 0)
	var also []audit.Event
	for i := range 5 {
		also = append(also, audit.Event{
			Action: audit.ActionIssueLink, Key: fmt.Sprint("also-", i), RefOpID: in.OpID(), Attrs: map[string]string{"i": fmt.Sprint(i)},
		})
	}
	require.NoError(e, in.Settle(e.ctx, ok, also...))
	got := e.entries(audit.Query{})
	require.Equal(e, []string{"k", "also-0", "also-1", "also-2", "also-3", "also-4"}, keysOf(got))
	ops := map[string]bool{}
	for i, en := range got {
		ops[en.OpID] = true
		assert.Equal(e, got[0].WriterID, en.WriterID)
		assert.Equal(e, got[0].Seq+int64(i), en.Seq, "they follow one another")
		assert.Equal(e, audit.OutcomeOK, en.Outcome)
		if i > 0 {
			assert.Equal(e, in.OpID(), en.RefOpID)
			assert.Equal(e, fmt.Sprint(i-1), en.Attrs["i"])
		}
	}
	assert.Len(e, ops, 6, "each has an operation id of its own")
}

// If one of the additional events can never be stored, Settle MUST fail with
// ErrEvent and store none of them. The same holder MUST still hold the intent.
func alsoAtomic(e *env) {
	in := e.begin(upload("k"), 0)
	err := in.Settle(e.ctx, ok, upload("good"), audit.Event{Action: "Not An Action"})
	require.ErrorIs(e, err, audit.ErrEvent)
	assert.Empty(e, e.entries(audit.Query{}))
	e.wantOpen(1)
	require.NoError(e, in.Settle(e.ctx, ok))
	e.only()
}

// A result that can never be stored MUST be refused with ErrEvent. The same
// holder MUST still hold the intent.
func badResult(e *env) {
	in := e.begin(upload("k"), 0)
	for name, r := range map[string]audit.Result{
		"no outcome":      {},
		"begun":           {Outcome: audit.OutcomeBegun},
		"unknown outcome": {Outcome: "fine"},
		"unknown settler": {Outcome: audit.OutcomeOK, SettledBy: "me"},
		"short digest":    {Outcome: audit.OutcomeOK, SHA256: []byte{1, 2, 3}},
		"negative size":   {Outcome: audit.OutcomeOK, Size: new(int64(-1))},
	} {
		require.ErrorIs(e, in.Settle(e.ctx, r), audit.ErrEvent, name)
	}
	e.wantOpen(1)
	assert.Empty(e, e.entries(audit.Query{}))
	require.NoError(e, in.Settle(e.ctx, ok))
	e.only()
}

// Begin with an outcome MUST be refused with ErrEvent.
func beginWithOutcome(e *env) {
	for _, o := range []audit.Outcome{audit.OutcomeOK, audit.OutcomeBegun} {
		ev := upload("k")
		ev.Outcome = o
		_, err := e.j.Begin(e.ctx, ev, 0)
		require.ErrorIs(e, err, audit.ErrEvent)
	}
	e.wantOpen(0)
	assert.Empty(e, e.entries(audit.Query{}))
}

// Begin with an event that can never be stored MUST be refused with ErrEvent
// and leave nothing.
func beginBadEvent(e *env) {
	for name, ev := range badEvents() {
		if ev.Outcome != "" {
			continue
		}
		_, err := e.j.Begin(e.ctx, ev, 0)
		require.ErrorIs(e, err, audit.ErrEvent, name)
	}
	e.wantOpen(0)
}

// A second intent of an open operation MUST be refused with ErrEvent, through
// every handle. The first intent MUST still be held.
func beginTwice(e *env) {
	in := e.begin(upload("first"), 0)
	again := upload("second")
	again.OpID = in.OpID()
	for _, j := range []Journal{e.j, e.second()} {
		_, err := j.Begin(e.ctx, again, 0)
		require.ErrorIs(e, err, audit.ErrEvent)
	}
	e.wantOpen(1)
	require.NoError(e, in.Settle(e.ctx, ok))
	assert.Equal(e, "first", e.only().Key)
}

// Of concurrent calls of Begin for one operation, exactly one MUST succeed.
func beginByMany(e *env) {
	ev := upload("k")
	ev.OpID = "0198f2e0-0000-7000-8000-000000000001"
	handles := []Journal{e.j, e.second()}
	held := make(chan audit.Intent, 8)
	var wg sync.WaitGroup
	for i := range cap(held) {
		wg.Go(func() {
			if in, err := handles[i%2].Begin(e.ctx, ev, 0); err == nil {
				held <- in
			} else {
				assert.ErrorIs(e, err, audit.ErrEvent)
			}
		})
	}
	wg.Wait()
	require.Len(e, held, 1, "calls that succeeded")
	e.wantOpen(1)
	require.NoError(e, (<-held).Settle(e.ctx, ok))
	e.only()
}

// OpID and Event MUST return the stored values, including a generated operation
// ID and time. Changes of the caller to that copy MUST have no effect.
func intentEvent(e *env) {
	before := time.Now().Add(-time.Hour) // the journal's clock may differ
	in := e.begin(upload("k\x00"), 0)
	got := in.Event()
	assert.Equal(e, in.OpID(), got.OpID)
	assert.True(e, isUUID(got.OpID), "OpID %q", got.OpID)
	assert.True(e, got.OccurredAt.After(before), "OccurredAt %v", got.OccurredAt)
	assert.Equal(e, `k\u0000`, got.Key)
	assert.Empty(e, got.Outcome)

	full := fullEvent()
	full.Outcome = ""
	in = e.begin(full, 0)
	e.same(full, in.Event())
	got = in.Event()
	*got.Size, got.SHA256[0], got.Attrs["name"] = 1, 1, "1"
	e.same(full, in.Event())
	require.NoError(e, in.Settle(e.ctx, ok))
	full.Outcome = audit.OutcomeOK
	e.same(full, e.only().Event)
}

// Changes of the caller to its event after Begin MUST have no effect.
func beginKeepsNothing(e *env) {
	ev := fullEvent()
	ev.Outcome = ""
	in := e.begin(ev, 0)
	*ev.Size, ev.SHA256[0], ev.Attrs["name"] = 1, 1, "1"
	want := fullEvent()
	want.Outcome = ""
	e.same(want, in.Event())
	require.NoError(e, in.Settle(e.ctx, ok))
	want.Outcome = audit.OutcomeOK
	e.same(want, e.only().Event)
}

// Intents MUST be independent: its own entry settles each of them, regardless
// of the order of Begin.
func manyIntents(e *env) {
	const n = 20
	var held []audit.Intent
	for i := range n {
		held = append(held, e.begin(upload(fmt.Sprint(i)), 0))
	}
	e.wantOpen(n)
	for i := n - 1; i >= 0; i-- {
		require.NoError(e, held[i].Settle(e.ctx, ok))
		e.wantOpen(i)
	}
	got := e.entries(audit.Query{})
	require.Len(e, got, n)
	for i, en := range got {
		assert.Equal(e, held[n-1-i].OpID(), en.OpID)
		assert.Equal(e, fmt.Sprint(n-1-i), en.Key)
	}
}
