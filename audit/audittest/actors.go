package audittest

import (
	"context"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// Whose entry it is: the event's own actor, else the one of the context.

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

// An event of Log that has no actor MUST be stored with the one of the context.
func actorOfContext(e *env) {
	require.NoError(e, e.j.Log(audit.WithActor(e.ctx, anna), upload("k")))
	assert.Equal(e, anna, e.only().Actor)
}

// An event that has an actor MUST keep it, even if only one field of it is set:
// no field is taken from the context.
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

// Without an actor in the context, or with a zero one, an event without one MUST
// be stored without one.
func noActor(e *env) {
	require.NoError(e, e.j.Log(e.ctx, upload("none")))
	require.NoError(e, e.j.Log(audit.WithActor(audit.WithActor(e.ctx, anna), none), upload("taken out")))
	assert.Equal(e, map[string]audit.Actor{"none": none, "taken out": none}, e.actorsOf(audit.Query{}))
}

// The text of the context's actor MUST be escaped and cut as that of an event is.
func actorText(e *env) {
	a := audit.Actor{UserID: "a\x00b\xff", UserAgent: strings.Repeat("x", 2000)}
	want, err := prepared(by(upload("k"), a))
	require.NoError(e, err)
	require.NoError(e, e.j.Log(audit.WithActor(e.ctx, a), upload("k")))
	assert.Equal(e, want.Actor, e.only().Actor)
}

// An intent whose event has no actor MUST have the one of the context it was
// begun with, at once and when it is settled by another. A further event without
// an actor MUST have the one of the context it is settled with.
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

// An intent that was begun without an actor MUST be settled without one: the one
// who settles it need not be the one who began it.
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

// An intent that is taken over MUST keep the actor it was begun with, or none,
// whatever the context of the one who takes it over.
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
