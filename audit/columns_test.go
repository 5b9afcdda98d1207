package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func fullEntry() Entry {
	return Entry{
		ID: newUUIDv7(), WriterID: newUUIDv7(), Seq: 7, CreatedAt: time.UnixMicro(1e15).UTC(), SettledBy: SettledByWriter,
		Event: Event{
			OpID: newUUIDv7(), RefOpID: newUUIDv7(), OccurredAt: time.UnixMicro(1e15 + 1).UTC(), Action: ActionMove, Outcome: OutcomeOK,
			Actor:    Actor{UserID: "anna", TenantID: "acme", IP: "192.0.2.1", UserAgent: "curl", RequestID: "r"},
			Resource: Resource{Type: "invoice", ID: "42"}, Key: "a", SourceKey: "b", Backend: "s3", Bucket: "files",
			GrantID: "g", Size: new(int64(5)), SHA256: bytes.Repeat([]byte{1}, 32), ContentType: "text/plain", ErrorCode: "x",
			Details: Details{
				Filename: "März \"1\".pdf", Method: "PUT", Expires: time.Unix(1e9, 0).UTC(), Range: "0-5", Staged: true, Committed: true, Replaces: true,
				ETag: `"e"`, StagingKey: "k", MaxSize: new(int64(9)), AllowedTypes: []string{"a/b", "c/*"},
			},
			Attrs: map[string]string{"": "x", "\U0001F4C4": "1", "\uE000": "2"},
		},
	}
}

// Each column of an entry survives a round trip by value and by JSON.
func TestColumnsRoundTrip(t *testing.T) {
	e := fullEntry()
	var byValue, byJSON Entry
	names := map[string]bool{}
	cs := Columns()
	for i := range cs {
		c := &cs[i]
		names[c.Name] = true
		v := c.Value(&e)
		require.NotNil(t, v, c.Name)
		require.NoError(t, c.SetValue(&byValue, v))
		text := c.AppendJSON(nil, v)
		require.True(t, json.Valid(text), "%s", text)
		v, err := c.ParseJSON(text)
		require.NoError(t, err)
		require.NoError(t, c.SetValue(&byJSON, v))
	}
	assert.Equal(t, e, byValue)
	assert.Equal(t, e, byJSON)
	assert.Len(t, names, len(cs), "each name once")
	zero := Entry{Event: Event{OccurredAt: time.Unix(0, 0), Action: ActionUpload, Outcome: OutcomeOK}}
	for i := range cs {
		if !cs[i].required {
			assert.Nil(t, cs[i].Value(&zero), cs[i].Name)
			require.NoError(t, cs[i].SetValue(&zero, nil))
		} else {
			require.Error(t, cs[i].SetValue(&zero, nil), cs[i].Name)
		}
	}
}

// SetValue refuses a value that Value cannot return, and names the column.
func TestColumnsRefuseOtherValues(t *testing.T) {
	cs := Columns()
	for _, c := range []struct {
		column string
		value  any
	}{
		{"id", "not-a-uuid"}, {"id", strings.ToUpper(newUUIDv7())}, {"op_id", int64(1)}, {"seq", "1"}, {"size", 1.5}, {"occurred_at", "2020"},
		{"user_id", ""}, {"user_id", []byte("x")}, {"sha256", []byte{1}}, {"sha256", "x"},
		{"attrs", "{}"}, {"attrs", `{"b":"1","a":"2"}`}, {"attrs", `{"a": "2"}`}, {"attrs", `{"a":"2","a":"2"}`}, {"attrs", `{"a":"2"} `}, {"attrs", `{"a":1}`}, {"attrs", int64(1)},
		{"details", `{"unknown":"1"}`}, {"details", `{"max_size":"01"}`}, {"details", `{"max_size":"x"}`}, {"details", `{"expires":"2020-01-01"}`},
		{"details", `{"expires":"2020-01-01T00:00:00+01:00"}`}, {"details", `{"staged":"yes"}`}, {"details", `{"replaces":"1"}`}, {"details", `{"filename":""}`},
	} {
		i := slices.IndexFunc(cs, func(x Column) bool { return x.Name == c.column })
		err := cs[i].SetValue(new(Entry), c.value)
		require.ErrorContains(t, err, c.column, "%v", c.value)
	}
}

// Details are sorted by name, because they are part of the signed form.
func TestDetailsAreOrdered(t *testing.T) {
	e := fullEntry()
	var names []string
	for name := range e.Details.All() {
		names = append(names, name)
	}
	assert.True(t, slices.IsSorted(names))
	assert.Len(t, names, len(details))
}

// Attributes of contexts are merged, and those of the event take precedence.
func TestWithAttrs(t *testing.T) {
	var m Memory
	ctx := WithAttrs(WithAttrs(t.Context(), map[string]string{"a": "1", "b": "1", "c": "1"}), map[string]string{"b": "2", "c": "2"})
	require.NoError(t, m.Log(ctx, Event{Action: ActionUpload, Attrs: map[string]string{"c": "3"}}))
	in, err := m.Begin(ctx, Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	other := WithAttrs(t.Context(), map[string]string{"by": "reconciler"})
	require.NoError(t, in.Settle(other, Result{Outcome: OutcomeOK}, Event{Action: ActionIssueLink}))
	both, err := AsJournal(&m).Begin(ctx, Event{Action: ActionDelete}, 0)
	require.NoError(t, err)
	require.NoError(t, both.Settle(other, Result{Outcome: OutcomeOK}))
	var got []map[string]string
	for e, err := range m.Entries(t.Context(), Query{}) {
		require.NoError(t, err)
		got = append(got, e.Attrs)
	}
	assert.Equal(t, []map[string]string{
		{"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "2", "c": "2"}, {"by": "reconciler"}, {"a": "1", "b": "2", "c": "2"},
	}, got)
	mirror := &Memory{}
	j := Multi(AsJournal(Slog{}), mirror)
	in, err = j.Begin(ctx, Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	require.NoError(t, in.Settle(other, Result{Outcome: OutcomeOK}))
	for e := range mirror.Entries(t.Context(), Query{}) {
		assert.Equal(t, map[string]string{"a": "1", "b": "2", "c": "2"}, e.Attrs)
	}
}
