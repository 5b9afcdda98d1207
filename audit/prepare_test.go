package audit

import (
	"maps"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The trail receives text from untrusted sources: user agents, file names and
// IDs. These tests check that every text becomes storable, and that only
// mistakes of the program are refused.

func TestCleanText(t *testing.T) {
	for _, tc := range []struct {
		name  string
		in    string
		limit int
		want  string
	}{
		{"empty", "", 8, ""},
		{"plain", "curl/8.5", 8, "curl/8.5"},
		{"letters beyond ASCII stay", "März 😀", 32, "März 😀"},
		{"NUL", "a\x00b", 32, `a\u0000b`},
		{"line breaks", "a\r\nb", 32, `a\u000d\u000ab`},
		{"delete", "a\x7fb", 32, `a\u007fb`},
		{"C1 control", "a\u0085b", 32, `a\u0085b`},
		{"line separator", "a\u2028b\u2029", 32, `a\u2028b\u2029`},
		{"bidi override", "invoice\u202Efdp.exe", 32, `invoice\u202efdp.exe`},
		{"bidi isolate", "\u2066x\u2069", 32, `\u2066x\u2069`},
		{"invalid bytes", "a\xff\xc3", 32, `a\xff\xc3`},
		{"surrogate half", "\xed\xa0\x80", 32, `\xed\xa0\x80`},
		{"a real replacement character stays", "a\uFFFDb", 32, "a\uFFFDb"},
		{"exactly the limit", "12345678", 8, "12345678"},
		{"one over", "123456789", 8, "12345…"},
		{"cut between characters", "1234ä789", 8, "1234…"},
		{"the limit falls on a long character", "ääää", 8, "ääää"},
		{"escapes make it longer", "\x00\x00", 8, `\u000…`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := cleanText(tc.in, tc.limit)
			assert.Equal(t, tc.want, got)
			assert.LessOrEqual(t, len(got), tc.limit)
			assert.Equal(t, got, cleanText(got, tc.limit), "cleaning twice changes nothing")
		})
	}
}

func TestPreparedRefusesMistakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Event)
		says string
	}{
		{"op id is not a UUID", func(e *Event) { e.OpID = "42" }, `OpID "42"`},
		{"op id in capitals", func(e *Event) { e.OpID = "0198F2E0-0000-7000-8000-000000000000" }, "want a lowercase UUID"},
		{"op id without hyphens", func(e *Event) { e.OpID = strings.Repeat("0", 36) }, "want a lowercase UUID"},
		{"ref op id is not a UUID", func(e *Event) { e.RefOpID = "x" }, `RefOpID "x"`},
		{"no action", func(e *Event) { e.Action = "" }, "1 to 64 characters"},
		{"action with a space", func(e *Event) { e.Action = "a b" }, `"a b"`},
		{"action in capitals", func(e *Event) { e.Action = "Upload" }, "a-z"},
		{"action too long", func(e *Event) { e.Action = Action(strings.Repeat("a", 65)) }, "1 to 64"},
		{"unknown outcome", func(e *Event) { e.Outcome = "fine" }, `"fine"`},
		{"short digest", func(e *Event) { e.SHA256 = make([]byte, 20) }, "20 bytes: want 32 bytes"},
		{"empty digest that is not nil", func(e *Event) { e.SHA256 = []byte{} }, "0 bytes: want 32 bytes"},
		{"negative size", func(e *Event) { e.Size = new(int64(-1)) }, "size -1: want 0 or more"},
		{"before 1970", func(e *Event) { e.OccurredAt = time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC) }, "1969"},
		{"after 9999", func(e *Event) { e.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "10000"},
		{"too many attrs", func(e *Event) {
			e.Attrs = map[string]string{}
			for i := range 65 {
				e.Attrs[string(rune('A'+i))] = "x"
			}
		}, "65 pairs"},
		{"too large attrs", func(e *Event) {
			e.Attrs = map[string]string{}
			for i := range 9 {
				e.Attrs[string(rune('a'+i))] = strings.Repeat("x", 2000)
			}
		}, "want at most 64 pairs and 16384 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Event{Action: ActionUpload}
			tc.edit(&e)
			_, err := e.prepared()
			require.ErrorIs(t, err, ErrEvent)
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

func TestPreparedFillsIn(t *testing.T) {
	before := time.Now().Truncate(time.Microsecond)
	e, err := Event{Action: "host.action-1_x"}.prepared()
	require.NoError(t, err)
	assert.True(t, isUUID(e.OpID), e.OpID)
	assert.False(t, e.OccurredAt.Before(before))
	assert.False(t, e.OccurredAt.After(time.Now()))
	assert.Equal(t, time.UTC, e.OccurredAt.Location())

	local := time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.FixedZone("", 3600))
	e, err = Event{Action: ActionUpload, OccurredAt: local}.prepared()
	require.NoError(t, err)
	assert.Equal(t, time.Date(2026, 3, 1, 8, 30, 0, 123456000, time.UTC), e.OccurredAt)
}

func TestPreparedCopies(t *testing.T) {
	in := Event{
		Action: ActionUpload, Size: new(int64(1)), SHA256: make([]byte, 32),
		Attrs: map[string]string{"a": "1"},
	}
	out, err := in.prepared()
	require.NoError(t, err)
	*in.Size, in.SHA256[0], in.Attrs["a"] = 2, 2, "2"
	assert.EqualValues(t, 1, *out.Size)
	assert.Zero(t, out.SHA256[0])
	assert.Equal(t, map[string]string{"a": "1"}, out.Attrs)
}

func TestPreparedLimits(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	e, err := Event{
		Action: ActionUpload, Key: long, Backend: long, Bucket: long, GrantID: long,
		ContentType: long, ErrorCode: long,
		Actor:    Actor{UserID: long, TenantID: long, IP: long, UserAgent: long, RequestID: long},
		Resource: Resource{Type: long, ID: long},
		Attrs:    map[string]string{"name": long, long: long},
	}.prepared()
	require.NoError(t, err, "however long what a stranger sent, the record is possible")
	checkStorable(t, e)
}

func TestPreparedAttrNamesEqualAfterCleaning(t *testing.T) {
	in := Event{Action: ActionUpload, Attrs: map[string]string{"a\x00": "raw", `a\u0000`: "escaped"}}
	first, err := in.prepared()
	require.NoError(t, err)
	for range 50 {
		again, err := in.prepared()
		require.NoError(t, err)
		require.Equal(t, first.Attrs, again.Attrs, "the same event always gives the same record")
	}
}

func TestPrepareSettlement(t *testing.T) {
	intent, err := PrepareIntent(t.Context(), Event{Action: ActionUpload, Attrs: map[string]string{"a": "1", "b": "1"}})
	require.NoError(t, err)

	for _, tc := range []struct {
		name string
		r    Result
		also []Event
	}{
		{"no outcome", Result{}, nil},
		{"unknown outcome", Result{Outcome: "fine"}, nil},
		{"begun is not a final outcome", Result{Outcome: OutcomeBegun}, nil},
		{"unknown settler", Result{Outcome: OutcomeOK, SettledBy: "me"}, nil},
		{"bad digest", Result{Outcome: OutcomeOK, SHA256: []byte{1}}, nil},
		{"bad further event", Result{Outcome: OutcomeOK}, []Event{{Action: "Bad Action"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := PrepareSettlement(t.Context(), intent, tc.r, tc.also...)
			require.ErrorIs(t, err, ErrEvent)
		})
	}

	events, err := PrepareSettlement(t.Context(), intent, Result{
		Outcome: OutcomeFailed, ErrorCode: "disk_full", Size: new(int64(7)), SHA256: make([]byte, 32),
		ContentType: "text/plain", GrantID: "g", Attrs: map[string]string{"b": "2", "c": "3"},
		SettledBy: SettledByReconciler,
	}, Event{Action: ActionIssueLink})
	require.NoError(t, err)
	require.Len(t, events, 2)
	want := intent
	want.Outcome, want.ErrorCode, want.Size, want.SHA256 = OutcomeFailed, "disk_full", new(int64(7)), make([]byte, 32)
	want.ContentType, want.GrantID = "text/plain", "g"
	want.Attrs = map[string]string{"a": "1", "b": "2", "c": "3"}
	assert.Equal(t, want, events[0])
	assert.Equal(t, ActionIssueLink, events[1].Action)
	assert.Equal(t, OutcomeOK, events[1].Outcome, "an event without an outcome went well")
	assert.Equal(t, map[string]string{"a": "1", "b": "1"}, intent.Attrs, "the intent's own attrs stay as they were")

	events, err = PrepareSettlement(t.Context(), events[0], Result{Outcome: OutcomeOK})
	require.NoError(t, err)
	want.Outcome = OutcomeOK
	assert.Equal(t, want, events[0], "what a result leaves out stays")
}

func TestPrepareIntentRefusesOutcome(t *testing.T) {
	_, err := PrepareIntent(t.Context(), Event{Action: ActionUpload, Outcome: OutcomeOK})
	require.ErrorIs(t, err, ErrEvent)
	assert.ErrorContains(t, err, "want none; call Log")
}

// checkStorable checks the properties that every database and reader relies on.
func checkStorable(t *testing.T, e Event) {
	t.Helper()
	text := func(name, s string, limit int) {
		t.Helper()
		assert.LessOrEqual(t, len(s), limit, name)
		assert.True(t, utf8.ValidString(s), "%s: %q", name, s)
		for _, r := range s {
			assert.False(t, unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r), "%s: %q", name, s)
		}
	}
	text("UserID", e.Actor.UserID, 255)
	text("TenantID", e.Actor.TenantID, 255)
	text("IP", e.Actor.IP, 64)
	text("UserAgent", e.Actor.UserAgent, 512)
	text("RequestID", e.Actor.RequestID, 255)
	text("Resource.Type", e.Resource.Type, 64)
	text("Resource.ID", e.Resource.ID, 255)
	text("Key", e.Key, 1024)
	text("Backend", e.Backend, 32)
	text("Bucket", e.Bucket, 1024)
	text("GrantID", e.GrantID, 64)
	text("ContentType", e.ContentType, 255)
	text("ErrorCode", e.ErrorCode, 64)
	total := 0
	for k, v := range e.Attrs {
		text("attr name", k, 255)
		text("attr", v, 2048)
		total += len(k) + len(v)
	}
	assert.LessOrEqual(t, len(e.Attrs), 64)
	assert.LessOrEqual(t, total, 16<<10)
	assert.True(t, isUUID(e.OpID))
	assert.True(t, e.RefOpID == "" || isUUID(e.RefOpID))
	assert.True(t, validAction(e.Action))
	assert.True(t, e.SHA256 == nil || len(e.SHA256) == 32)
	assert.True(t, e.OccurredAt.Equal(e.OccurredAt.Truncate(time.Microsecond)))
}

func FuzzPrepared(f *testing.F) {
	f.Add("", "upload", "ok", "invoices/1.pdf", "u-1", "curl", "filename", "März.pdf", []byte(nil), int64(-1), int64(0))
	f.Add("0198f2e0-0000-7000-8000-000000000000", "host.x", "", "a\x00b", "\u202E", "\xff\xfe", "a\r\n", strings.Repeat("ä", 2000), make([]byte, 32), int64(0), int64(1))
	f.Add("x", "A", "fine", "", "", "", "", "", []byte{1}, int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, op, action, outcome, a, b, c, name, value string, sum []byte, size, unix int64) {
		e := Event{
			OpID: op, RefOpID: op, Action: Action(action), Outcome: Outcome(outcome), SHA256: sum, OccurredAt: time.Unix(unix, unix),
			Actor:    Actor{UserID: a, TenantID: b, IP: c, UserAgent: a + b, RequestID: b + c},
			Resource: Resource{Type: a, ID: b}, Key: a + b + c, Backend: b, Bucket: c + a,
			GrantID: c, ContentType: a, ErrorCode: b, Attrs: map[string]string{name: value, value: name},
		}
		if size >= 0 {
			e.Size = &size
		}
		before := maps.Clone(e.Attrs)
		got, err := e.prepared()
		if err != nil {
			require.ErrorIs(t, err, ErrEvent)
			require.True(t, utf8.ValidString(err.Error()), "%q", err.Error())
			return
		}
		checkStorable(t, got)
		require.Equal(t, before, e.Attrs, "the caller's own stay as they were")
		again, err := got.prepared()
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
