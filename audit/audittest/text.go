package audittest

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks hostile text. Text from untrusted sources must never prevent
// a record, make it unreadable, or harm other records.

var textCases = []testCase{
	{"text/hostile in every field", hostileEverywhere},
	{"text/hostile beside its neighbours", hostileNeighbours},
	{"text/hostile when settled", hostileResult},
	{"text/every field at its limit", atLimits},
	{"text/over-long is cut", overLong},
}

// hostileTexts returns texts that break databases, terminals and readers.
func hostileTexts() map[string]string {
	return map[string]string{
		"NUL":          "a\x00b",
		"invalid":      "a\xff\xfe\xc3(b",
		"surrogate":    "\xed\xa0\x80",
		"control":      "\x01\x1b[2J\x7f\u0085",
		"line breaks":  "a\r\nb: forged",
		"bidi":         "\u202efdp.exe\u2066",
		"separators":   "\u2028\u2029",
		"SQL":          `'; DROP TABLE file_access_logs; --`,
		"placeholders": "? $1 :name @p1 %s {}",
		"JSON":         `{"a":"\u0000"}\`,
		"emoji":        "👩‍👩‍👧 \U0010FFFF",
		"combining":    "e\u0301" + strings.Repeat("\u0300", 20),
		"blanks":       "  both ends  ",
		"over-long":    strings.Repeat("ä\x00", 20_000),
	}
}

// hostileEvent returns an event with hostile text in every field.
func hostileEvent() audit.Event {
	s := "\x00\xff\u202e'\"\\ä😀" + strings.Repeat("long \x01", 5000)
	return allText(s)
}

func allText(s string) audit.Event {
	return audit.Event{
		OpID: "0198f2e0-3333-7000-8000-0000000000cc", OccurredAt: time.Unix(1e9, 0), Action: audit.ActionDownload, Outcome: audit.OutcomeDenied,
		Actor:    audit.Actor{UserID: s, TenantID: s, IP: s, UserAgent: s, RequestID: s},
		Resource: audit.Resource{Type: s, ID: s}, Key: s, Backend: s, Bucket: s, GrantID: s, ContentType: s, ErrorCode: s,
		SourceKey: s, Details: audit.Details{Filename: s, Method: s, Range: s, ETag: s, StagingKey: s, AllowedTypes: []string{s}}, Attrs: map[string]string{s: s, "name": s},
	}
}

// checkReadable checks that every text of ev is safe to print.
func checkReadable(e *env, ev audit.Event) {
	e.Helper()
	texts := []string{
		ev.Actor.UserID, ev.Actor.TenantID, ev.Actor.IP, ev.Actor.UserAgent, ev.Actor.RequestID, ev.Resource.Type,
		ev.Resource.ID, ev.Key, ev.Backend, ev.Bucket, ev.GrantID, ev.ContentType, ev.ErrorCode, ev.SourceKey,
	}
	for _, text := range ev.Details.All() {
		texts = append(texts, text)
	}
	for k, v := range ev.Attrs {
		texts = append(texts, k, v)
	}
	for _, s := range texts {
		assert.True(e, utf8.ValidString(s), "%q", s)
		assert.NotEmpty(e, s)
		for _, r := range s {
			assert.False(e, unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r), "%q", s)
		}
	}
}

// Any text in any field MUST be stored in the form returned by
// audit.PrepareLog.
func hostileEverywhere(e *env) {
	for name, s := range hostileTexts() {
		ev := allText(s)
		require.NoError(e, e.j.Log(e.ctx, ev), name)
		got := e.entries(audit.Query{NewestFirst: true, Limit: 1})
		require.Len(e, got, 1, name)
		e.same(ev, got[0].Event)
		checkReadable(e, got[0].Event)
	}
}

// Hostile events MUST NOT harm events stored with them.
func hostileNeighbours(e *env) {
	in := e.begin(upload("first"), 0)
	also := []audit.Event{upload("plain"), hostileEvent(), upload("last")}
	require.NoError(e, in.Settle(e.ctx, ok, also...))
	got := e.entries(audit.Query{})
	require.Len(e, got, 4)
	assert.Equal(e, "first", got[0].Key)
	assert.Equal(e, "plain", got[1].Key)
	e.same(hostileEvent(), got[2].Event)
	assert.Equal(e, "last", got[3].Key)
}

// Hostile text in a result MUST NOT prevent the settlement of an intent.
func hostileResult(e *env) {
	begun := hostileEvent()
	begun.Outcome = ""
	in := e.begin(begun, 0)
	r := audit.Result{
		Outcome: audit.OutcomeFailed, ErrorCode: "\x00\xff", ContentType: strings.Repeat("\u202e", 1000), GrantID: "\n",
		Attrs: map[string]string{"name": "\x00" + strings.Repeat("x", 5000)},
	}
	require.NoError(e, in.Settle(e.ctx, r))
	want, err := prepared(begun)
	require.NoError(e, err)
	e.same(want.With(r), e.only().Event)
}

// Text of exactly the limit, in bytes or in multibyte characters, MUST be
// stored whole.
func atLimits(e *env) {
	for _, c := range []string{"x", "ä", "鍵", "😀"} {
		fill := func(n int) string { return strings.Repeat(c, n/len(c)) + strings.Repeat("x", n%len(c)) }
		ev := audit.Event{
			Action: audit.Action(strings.Repeat("a", 64)),
			Actor:  audit.Actor{UserID: fill(255), TenantID: fill(255), IP: fill(64), UserAgent: fill(512), RequestID: fill(255)},
			Key:    fill(1024), Backend: fill(32), Bucket: fill(1024), GrantID: fill(64), ContentType: fill(255), ErrorCode: fill(64),
			Resource: audit.Resource{Type: fill(64), ID: fill(255)},
			Attrs:    map[string]string{fill(255): fill(2048)},
		}
		e.log(ev)
		got := e.entries(audit.Query{NewestFirst: true, Limit: 1})
		require.Len(e, got, 1)
		ev.OpID, ev.OccurredAt, ev.Outcome = got[0].OpID, got[0].OccurredAt, audit.OutcomeOK
		require.Equal(e, ev, got[0].Event)
	}
}

// Longer text MUST be truncated between characters and end in "…".
func overLong(e *env) {
	e.log(allText(strings.Repeat("ä", 20_000)))
	en := e.only()
	for _, s := range []string{en.Key, en.Actor.UserAgent, en.Resource.Type, en.Backend, en.Attrs["name"]} {
		assert.True(e, strings.HasSuffix(s, "ä…"), "%q", s)
	}
	assert.Len(e, en.Key, 1023) // 510 characters of two bytes and "…"; another one would exceed the limit
}
