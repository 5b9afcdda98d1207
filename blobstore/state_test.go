package blobstore

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

var stepNames = map[step]string{
	leave: "leave", done: "done", failed: "failed", unknown: "unknown", takeBack: "takeBack", replaced: "replaced", again: "again", wait: "wait",
	taken: "taken", copied: "copied", contradicted: "contradicted", amend: "amend", amendUnknown: "amendUnknown", over: "over", busy: "busy",
}

// cells has every cell of the table: for each question and standing, the steps
// for unseen, absent, own, meant, older and foreign. "-" means leave, and so
// does a missing line.
var cells = map[question]map[standing]string{
	//                      unseen absent own meant older foreign
	wantedWrite:       {ours: "- failed done - failed failed"},
	unwantedWrite:     {ours: "- failed takeBack - failed failed"},
	failedDelete:      {ours: "- done - failed - replaced"},
	failedAccept:      {ours: "- wait done - taken taken"},
	vanishedAccept:    {ours: "- again done - taken taken"},
	ticketArrived:     {ours: "- wait done - wait wait"},
	ownRemoved:        {ours: "- done takeBack - done done"},
	interruptedWrite:  {ours: "- failed done - failed unknown"},
	interruptedDelete: {ours: "- done - failed - unknown"},
	interruptedSource: {ours: "- done - takeBack - done"},
	failedMove:        {ours: "- - takeBack - - -", elsewhere: "- - amend - - -"},
	failedOverwrite:   {elsewhere: "- - amend - - -"},
	refusedOverwrite:  {ours: "- - copied - - -", elsewhere: "- - amend - - -"},
	lostWrite: {
		elsewhere:   "- contradicted - - contradicted contradicted",
		unasked:     "- contradicted amend - contradicted contradicted",
		missing:     "- contradicted amend - contradicted contradicted",
		saidOK:      "- contradicted done - contradicted contradicted",
		saidFailed:  "- contradicted amend - contradicted contradicted",
		saidUnknown: "- contradicted amend - contradicted contradicted",
	},
	lostUndo: {
		elsewhere:   "- - contradicted - - -",
		unasked:     "- amend contradicted - amend amend",
		missing:     "- amend contradicted - amend amend",
		saidOK:      "- amend contradicted - amend amend",
		saidFailed:  "- done contradicted - done done",
		saidUnknown: "- amend contradicted - amend amend",
	},
	lostDelete: {
		unasked:     "- amend - amendUnknown - amendUnknown",
		missing:     "- amend - amendUnknown - amendUnknown",
		saidOK:      "- done - done - done",
		saidFailed:  "- amend - amendUnknown - amendUnknown",
		saidUnknown: "- amend - amendUnknown - amendUnknown",
	},
	lostRequest: {
		elsewhere:   "busy busy busy - busy busy",
		unasked:     "- over amend - over over",
		missing:     "- over amend - over over",
		saidOK:      "- over done - over over",
		saidFailed:  "- over takeBack - over over",
		saidUnknown: "- over takeBack - over over",
	},
}

func TestEveryCellOfTheTable(t *testing.T) {
	require.Len(t, cells, int(questions))
	for q := range questions {
		for record := range standings {
			want := strings.Fields(cells[q][record])
			if len(want) == 0 {
				want = strings.Fields("- - - - - -")
			}
			require.Len(t, want, int(presences))
			for object := range presences {
				got := stepNames[next(q, state{object, record})]
				if got == "leave" {
					got = "-"
				}
				assert.Equal(t, want[object], got, "question %d, object %d, record %d", q, object, record)
			}
		}
	}
}

// These rules apply to every cell of the table.
func TestRulesOfTheTable(t *testing.T) {
	for q := range questions {
		for record := range standings {
			for object := range presences {
				at := []any{"question %d, object %d, record %d", q, object, record}
				got := next(q, state{object, record})
				if object == unseen {
					assert.Contains(t, []step{leave, busy}, got, at...) // an unseen object is never guessed
				}
				if record == unread {
					assert.Equal(t, leave, got, at...)
				}
				if got == takeBack { // removes only the operation's own object, or the version to be deleted
					assert.True(t, object == own || object == meant && q == interruptedSource, at...)
					assert.NotContains(t, []standing{elsewhere, unasked, missing, saidOK}, record, at...)
				}
				if object == foreign && got == done { // another object is never mistaken for the effect of a write
					assert.Contains(t, []question{ownRemoved, interruptedSource, lostUndo, lostDelete}, q, at...)
				}
				if record == elsewhere { // the other process settles it
					assert.Contains(t, []step{leave, busy, contradicted, amend}, got, at...)
				}
			}
		}
	}
}

func TestPresence(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	object := func(opID, etag string, at time.Time) *blob.Attributes {
		return &blob.Attributes{ETag: etag, ModTime: at, Metadata: map[string]string{provider.MetaOp: opID}}
	}
	write := written(audit.Event{OpID: "1", Key: "a", OccurredAt: begun, Details: audit.Details{ETag: "x"}})
	for _, tc := range []struct {
		name string
		of   subject
		a    *blob.Attributes
		want presence
	}{
		{"nothing", write, nil, absent},
		{"its own object", write, object("1", "y", begun), own},
		{"its own object, by a clock that is late", write, object("1", "y", begun.Add(-time.Hour)), own},
		{"an object from before", write, object("2", "y", begun.Add(-time.Second)), older},
		{"an object from about the same time", write, object("2", "y", begun.Add(-time.Millisecond)), foreign},
		{"an object from the same second, as the service says", write, object("2", "y", begun.Truncate(time.Second)), foreign},
		{"an object from after", write, object("2", "y", begun.Add(time.Second)), foreign},
		{"the source's ETag is no subject of a write", write, object("2", "x", begun.Add(time.Second)), foreign},
		{"an object of unknown age", subject{key: "a", opID: "1"}, object("2", "y", begun.Add(-time.Hour)), foreign},
		{"the version to remove", removed("a", "x"), object("2", "x", begun), meant},
		{"another version", removed("a", "x"), object("", "y", begun), foreign},
		{"nothing to remove", removed("a", "x"), nil, absent},
	} {
		assert.Equal(t, tc.want, tc.of.presence(tc.a), tc.name)
	}
}

func TestStanding(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "u"})
	d := newDirect(t, false)
	for want, settle := range map[standing]func(audit.Intent) error{
		elsewhere:   func(audit.Intent) error { return nil },
		saidOK:      func(in audit.Intent) error { return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) },
		saidFailed:  func(in audit.Intent) error { return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed}) },
		saidUnknown: func(in audit.Intent) error { return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeUnknown}) },
	} {
		intent, err := d.trail.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "a"}, time.Minute)
		require.NoError(t, err)
		require.NoError(t, settle(intent))
		got, err := d.ask(ctx, intent.Event())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	got, err := d.ask(ctx, audit.Event{OpID: newOpID(), Action: audit.ActionUpload, Key: "a"})
	require.NoError(t, err)
	assert.Equal(t, missing, got)
	blind, err := New(d.bucket, struct{ audit.Journal }{d.trail}, nil)
	require.NoError(t, err)
	got, err = blind.ask(ctx, audit.Event{OpID: newOpID(), Action: audit.ActionUpload, Key: "a"})
	require.NoError(t, err)
	assert.Equal(t, unasked, got)
}
