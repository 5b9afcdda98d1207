package audittest

import (
	"context"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks the actor of entries: the event's actor, or else the
// context's.

var actorCases = []testCase{
	{"actors/of the context where an event has none", actorOfContext},
	{"actors/an event keeps its own", actorOfEvent},
	{"actors/none without one in the context", noActor},
	{"actors/text of the context's is cleaned", actorText},
	{"actors/an intent has the one of Begin", actorOfBegin},
	{"actors/an intent without one stays without", intentWithoutActor},
	{"actors/an intent keeps its own when it is taken over", actorAfterTakeover},
}

var (
	anna = audit.Actor{UserID: "anna", TenantID: "acme", IP: "203.0.113.7", UserAgent: "curl/8", RequestID: "r-1"}
	bert = audit.Actor{UserID: "bert", RequestID: "r-2"}
	none = audit.Actor{}
)

// actorsOf returns the actor of each entry, by its key.
func (e *env) actorsOf(q audit.Query) map[string]audit.Actor {
	e.Helper()
	out := make(map[string]audit.Actor)
	for _, en := range e.entries(q) {
		out[en.Key] = en.Actor
	}
	return out
}

func by(ev audit.Event, a audit.Actor) audit.Event {
	ev.Actor = a
	return ev
}

// If an event of Log has no actor, it MUST be stored with the actor of the
// context.
func actorOfContext(e *env) {
	require.NoError(e, e.j.Log(audit.WithActor(e.ctx, anna), upload("k")))
	assert.Equal(e, anna, e.only().Actor)
}

// An event MUST keep its actor, even if only one field of it is set. No field
// is taken from the context.
func actorOfEvent(e *env) {
	ctx := audit.WithActor(e.ctx, anna)
	want := map[string]audit.Actor{
		"whole": bert, "user": {UserID: "bert"}, "tenant": {TenantID: "other"}, "address": {IP: "198.51.100.1"},
		"agent": {UserAgent: "cron"}, "request": {RequestID: "r-9"},
	}
	for key, a := range want {
		require.NoError(e, e.j.Log(ctx, by(upload(key), a)))
	}
	assert.Equal(e, want, e.actorsOf(audit.Query{}))
}

// If neither the event nor the context has an actor, the entry MUST have none.
// A zero actor in the context counts as none.
func noActor(e *env) {
	require.NoError(e, e.j.Log(e.ctx, upload("none")))
	require.NoError(e, e.j.Log(audit.WithActor(audit.WithActor(e.ctx, anna), none), upload("taken out")))
	assert.Equal(e, map[string]audit.Actor{"none": none, "taken out": none}, e.actorsOf(audit.Query{}))
}

// The text of the context's actor MUST be escaped and truncated like that of an
// event.
func actorText(e *env) {
	a := audit.Actor{UserID: "a\x00b\xff", UserAgent: strings.Repeat("x", 2000)}
	want, err := prepared(by(upload("k"), a))
	require.NoError(e, err)
	require.NoError(e, e.j.Log(audit.WithActor(e.ctx, a), upload("k")))
	assert.Equal(e, want.Actor, e.only().Actor)
}

// If the event of Begin has no actor, the intent MUST have the actor of the
// context of Begin, at once and when another caller settles it. An additional
// event without an actor MUST get the actor of the context of Settle.
func actorOfBegin(e *env) {
	in, err := e.j.Begin(audit.WithActor(e.ctx, anna), upload("intent"), long)
	require.NoError(e, err)
	assert.Equal(e, anna, in.Event().Actor)
	own, err := e.j.Begin(audit.WithActor(e.ctx, anna), by(upload("own"), bert), long)
	require.NoError(e, err)
	assert.Equal(e, bert, own.Event().Actor)

	require.NoError(e, in.Settle(audit.WithActor(e.ctx, bert), ok, upload("also"), by(upload("also, own"), anna)))
	require.NoError(e, own.Settle(audit.WithActor(e.ctx, anna), ok))
	assert.Equal(e, map[string]audit.Actor{"intent": anna, "also": bert, "also, own": anna, "own": bert}, e.actorsOf(audit.Query{}))
}

// An intent without an actor MUST be settled without one, because the caller
// that settles it may not be the one that began it.
func intentWithoutActor(e *env) {
	in, err := e.j.Begin(e.ctx, upload("intent"), long)
	require.NoError(e, err)
	assert.Equal(e, none, in.Event().Actor)
	require.NoError(e, in.Settle(audit.WithActor(e.ctx, bert), ok, upload("also")))
	assert.Equal(e, map[string]audit.Actor{"intent": none, "also": bert}, e.actorsOf(audit.Query{}))

	in, err = e.j.Begin(e.ctx, upload("second"), long)
	require.NoError(e, err)
	require.NoError(e, in.Settle(e.ctx, ok, upload("also none")))
	assert.Equal(e, none, e.actorsOf(audit.Query{})["also none"])
}

// An intent that was taken over MUST keep its original actor, or none, whatever
// the context of the new holder.
func actorAfterTakeover(e *env) {
	for key, actor := range map[string]audit.Actor{"anna's": anna, "unknown's": none} {
		in, err := e.j.Begin(audit.WithActor(e.ctx, actor), upload(key), long)
		require.NoError(e, err)
		reconciler := audit.WithActor(e.ctx, bert)
		got, err := e.second().Claim(reconciler, in.OpID(), long, nil)
		require.NoError(e, err)
		assert.Equal(e, actor, got.Event().Actor)
		require.NoError(e, got.Settle(reconciler, ok))
	}
	begun := e.begin(by(upload("left"), none), e.short())
	e.expire()
	for got, err := range e.second().Dangling(audit.WithActor(context.WithoutCancel(e.ctx), bert), audit.DanglingQuery{Lease: long}) {
		require.NoError(e, err)
		require.Equal(e, begun.OpID(), got.OpID())
		require.NoError(e, got.Settle(audit.WithActor(e.ctx, bert), ok))
	}
	assert.Equal(e, map[string]audit.Actor{"anna's": anna, "unknown's": none, "left": none}, e.actorsOf(audit.Query{}))
}
