package audittest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks the stored form of events: every field, unchanged.

var entryCases = []testCase{
	{"entries/one for each event", logOne},
	{"entries/no outcome is ok", logWithoutOutcome},
	{"entries/every outcome", logOutcomes},
	{"entries/all fields come back", allFields},
	{"entries/nothing set, nothing comes back", noFields},
	{"entries/unknown size is not zero", sizes},
	{"entries/times are UTC in microseconds", times},
	{"entries/attrs of any text", attrs},
	{"entries/bad events are refused", badEventsRefused},
	{"entries/caller's maps are not kept", logKeepsNothing},
	{"entries/are copies", entriesAreCopies},
	{"entries/done context is refused", doneContext},
	{"entries/events of one operation", oneOperation},
}

// fullEvent returns an event with every field set.
func fullEvent() audit.Event {
	return audit.Event{
		OpID:       "0198f2e0-1111-7000-8000-0000000000aa",
		RefOpID:    "0198f2e0-2222-4000-9000-0000000000bb",
		OccurredAt: time.Date(2026, 2, 28, 23, 59, 59, 999999000, time.UTC),
		Action:     audit.ActionCopy,
		Outcome:    audit.OutcomeFailed,
		Actor: audit.Actor{
			UserID: "u-7", TenantID: "acme", IP: "2001:db8::1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", RequestID: "req/1",
		},
		Resource: audit.Resource{Type: "invoice", ID: "42"},
		Key:      "invoices/Rechnung März 😀.pdf", Backend: "s3", Bucket: "main-bucket",
		GrantID: "grant-1", Size: new(int64(1 << 40)), SHA256: bytes.Repeat([]byte{0x00, 0xff}, 16),
		ContentType: "application/pdf; charset=\"utf-8\"", ErrorCode: "timeout",
		SourceKey: "invoices/ältere.pdf",
		Details: audit.Details{
			Filename: "Rechnung März.pdf", Method: "PUT", Expires: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Range: "0-9,20-29",
			Staged: true, Replaces: true, ETag: `"e\1"`, StagingKey: "private/1", MaxSize: new(int64(1 << 41)), AllowedTypes: []string{"application/pdf", "image/*"},
		},
		Attrs: map[string]string{"name": "Rechnung März.pdf", "empty": "", "": "no name", "filename": "the application's own"},
	}
}

func checkIdentity(e *env, en audit.Entry) {
	e.Helper()
	assert.True(e, isUUID(en.ID) && en.ID[14] == '7', "ID %q is a UUIDv7", en.ID)
	assert.NotEmpty(e, en.WriterID)
	assert.False(e, en.CreatedAt.IsZero())
	assert.Equal(e, time.UTC, en.CreatedAt.Location(), "CreatedAt is in UTC")
	assert.True(e, en.CreatedAt.Equal(en.CreatedAt.Truncate(time.Microsecond)), "CreatedAt has microseconds")
}

// isUUID reports whether s is a UUID in hyphenated, lowercase form.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return strings.Trim(s, "0123456789abcdef-") == ""
}

// Log MUST store exactly one entry for each event. The entry has an ID and a
// position in its writer's log, which starts at 0. If the event has no
// operation ID or time, Log generates them.
func logOne(e *env) {
	before := time.Now().Add(-time.Hour) // the journal's clock may differ
	for i := range 3 {
		e.log(upload(fmt.Sprint(i)))
	}
	got := e.entries(audit.Query{})
	require.Equal(e, []string{"0", "1", "2"}, keysOf(got))
	ops := map[string]bool{}
	for i, en := range got {
		checkIdentity(e, en)
		assert.Equal(e, got[0].WriterID, en.WriterID)
		assert.EqualValues(e, i, en.Seq)
		assert.True(e, isUUID(en.OpID), "OpID %q", en.OpID)
		assert.True(e, en.OccurredAt.After(before), "OccurredAt %v", en.OccurredAt)
		assert.Equal(e, audit.SettledByWriter, en.SettledBy)
		ops[en.OpID] = true
		if i > 0 {
			assert.Greater(e, en.ID, got[i-1].ID)
		}
	}
	assert.Len(e, ops, 3)
	e.wantOpen(0)
}

// An event without an outcome MUST be stored as ok.
func logWithoutOutcome(e *env) {
	e.log(upload("k"))
	assert.Equal(e, audit.OutcomeOK, e.only().Outcome)
}

// Every outcome MUST be stored unchanged.
func logOutcomes(e *env) {
	outcomes := []audit.Outcome{audit.OutcomeOK, audit.OutcomeFailed, audit.OutcomeDenied, audit.OutcomeUnknown, audit.OutcomeBegun}
	for _, o := range outcomes {
		e.log(audit.Event{Action: audit.ActionDownload, Outcome: o, ErrorCode: "code"})
	}
	got := e.entries(audit.Query{})
	require.Len(e, got, len(outcomes))
	for i, o := range outcomes {
		assert.Equal(e, o, got[i].Outcome)
	}
}

// Every field MUST be returned unchanged.
func allFields(e *env) {
	e.log(fullEvent())
	en := e.only()
	e.same(fullEvent(), en.Event)
	checkIdentity(e, en)
}

// Unset fields MUST be returned as zero values: not as a size of 0, an empty
// digest or empty attrs.
func noFields(e *env) {
	ev := audit.Event{
		OpID: "0198f2e0-1111-7000-8000-0000000000aa", OccurredAt: time.Unix(0, 0), Action: audit.ActionList,
		Outcome: audit.OutcomeOK, Attrs: map[string]string{},
	}
	e.log(ev)
	e.same(ev, e.only().Event)
}

// An unknown size MUST NOT become 0, and 0 MUST NOT become unknown.
func sizes(e *env) {
	given := []*int64{nil, new(int64(0)), new(int64(1)), new(int64(math.MaxInt64))}
	for _, s := range given {
		e.log(audit.Event{Action: audit.ActionUpload, Size: s})
	}
	for i, en := range e.entries(audit.Query{}) {
		assert.Equal(e, given[i], en.Size)
	}
}

// Times from 1970 to the end of 9999 MUST be stored in UTC, truncated (not
// rounded) to microseconds.
func times(e *env) {
	given := []time.Time{
		time.Unix(0, 0),
		time.Date(2026, 3, 29, 2, 30, 0, 999_999_999, time.UTC),
		time.Date(2026, 12, 31, 23, 30, 0, 1_000, time.FixedZone("west", -8*3600)),
		time.Date(2026, 1, 1, 0, 30, 0, 1_999, time.FixedZone("east", 14*3600)),
		time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), // out of range for nanoseconds in 64 bits
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	for _, at := range given {
		e.log(audit.Event{Action: audit.ActionUpload, OccurredAt: at})
	}
	got := e.entries(audit.Query{})
	require.Len(e, got, len(given))
	for i, at := range given {
		want := at.UTC().Truncate(time.Microsecond)
		assert.True(e, want.Equal(got[i].OccurredAt), "want %v, got %v", want, got[i].OccurredAt)
		assert.Equal(e, time.UTC, got[i].OccurredAt.Location())
	}
}

// Names and values of attrs MUST be returned unchanged, whatever their text, up
// to the limits.
func attrs(e *env) {
	many := map[string]string{}
	for i := range 64 {
		many[fmt.Sprint("name-", i)] = strings.Repeat("v", 200)
	}
	for _, a := range []map[string]string{
		{"ключ": "значение", "鍵": "値", "🔑": "😀", "é": "NFC", "e\u0301": "NFD"},
		{`"`: `\`, `\`: `"`, "<&>": "</script>", "'": `';--`, `\u0000`: `\\u0000`, "%s": "%d", "$.a[0]": "{}", "a.b": "null"},
		{"A": "1", "a": "2", " a": "3", "a ": "4", "": ""},
		{"number": "1e400", "bool": "true", "int": "12345678901234567890"},
		{strings.Repeat("n", 255): strings.Repeat("v", 2048)},
		many,
	} {
		op := audit.Event{Action: audit.ActionUpload, Attrs: a}
		e.log(op)
		got := e.entries(audit.Query{NewestFirst: true, Limit: 1})
		require.Len(e, got, 1)
		require.Equal(e, a, got[0].Attrs)
	}
}

// badEvents returns events that only a programming error can cause.
func badEvents() map[string]audit.Event {
	return map[string]audit.Event{
		"no action":          {},
		"impossible action":  {Action: "DROP TABLE"},
		"unheard-of outcome": {Action: audit.ActionUpload, Outcome: "fine"},
		"bad operation id":   {Action: audit.ActionUpload, OpID: "42"},
		"bad reference":      {Action: audit.ActionUpload, RefOpID: "42"},
		"short digest":       {Action: audit.ActionUpload, SHA256: []byte{1}},
		"negative size":      {Action: audit.ActionUpload, Size: new(int64(-1))},
		"impossible time":    {Action: audit.ActionUpload, OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"too many attrs":     {Action: audit.ActionUpload, Attrs: tooManyAttrs()},
	}
}

func tooManyAttrs() map[string]string {
	m := map[string]string{}
	for i := range 65 {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

// An event that can never be stored MUST be refused with ErrEvent and leave
// nothing. Events logged before and after it MUST be stored.
func badEventsRefused(e *env) {
	e.log(upload("before"))
	for name, ev := range badEvents() {
		require.ErrorIs(e, e.j.Log(e.ctx, ev), audit.ErrEvent, name)
	}
	e.log(upload("after"))
	got := e.entries(audit.Query{})
	require.Equal(e, []string{"before", "after"}, keysOf(got))
	assert.Equal(e, got[0].Seq+1, got[1].Seq, "no gap")
}

// Changes of the caller to its event after Log MUST have no effect, and Log
// MUST NOT change the event.
func logKeepsNothing(e *env) {
	ev := fullEvent()
	e.log(ev)
	require.Equal(e, fullEvent(), ev)
	*ev.Size, ev.SHA256[0], ev.Attrs["name"] = 1, 1, "1"
	e.same(fullEvent(), e.only().Event)
}

// Changes of a reader to an entry MUST have no effect on the trail.
func entriesAreCopies(e *env) {
	e.log(fullEvent())
	en := e.only()
	*en.Size, en.SHA256[0], en.Attrs["name"] = 1, 1, "1"
	delete(en.Attrs, "empty")
	e.same(fullEvent(), e.only().Event)
}

// Every call MUST refuse a context that is done, with its error. Nothing MUST
// be stored, settled or taken over.
func doneContext(e *env) {
	done, cancel := context.WithCancel(e.ctx)
	cancel()
	in := e.begin(upload("k"), e.short())

	require.ErrorIs(e, e.j.Log(done, upload("log")), context.Canceled)
	_, err := e.j.Begin(done, upload("begin"), 0)
	require.ErrorIs(e, err, context.Canceled)
	_, err = e.j.Claim(done, in.OpID(), 0, nil)
	require.ErrorIs(e, err, context.Canceled)
	require.ErrorIs(e, in.Renew(done, long), context.Canceled)
	require.ErrorIs(e, in.Settle(done, ok), context.Canceled)
	n := 0
	for _, err := range e.j.Entries(done, audit.Query{}) {
		require.ErrorIs(e, err, context.Canceled)
		n++
	}
	require.Equal(e, 1, n, "Entries says so once")
	e.expire()
	for _, err := range e.j.Dangling(done, audit.DanglingQuery{}) {
		require.ErrorIs(e, err, context.Canceled)
		n++
	}
	require.Equal(e, 2, n, "Dangling says so once")

	assert.Empty(e, e.entries(audit.Query{}))
	e.wantOpen(1)
	require.NoError(e, in.Settle(e.ctx, ok), "still held")
	e.only()
}

// Several entries of one operation MUST be possible, such as begun and ok of a
// plain logger, or an amendment.
func oneOperation(e *env) {
	ev := upload("k")
	ev.OpID, ev.Outcome = "0198f2e0-1111-7000-8000-0000000000aa", audit.OutcomeBegun
	e.log(ev)
	ev.Outcome = audit.OutcomeOK
	e.log(ev)
	got := e.entries(audit.Query{OpID: ev.OpID})
	require.Len(e, got, 2)
	assert.Equal(e, audit.OutcomeBegun, got[0].Outcome)
	assert.Equal(e, audit.OutcomeOK, got[1].Outcome)
}
