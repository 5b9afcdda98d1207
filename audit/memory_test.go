package audit

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file checks properties of Memory that the conformance suite cannot
// observe.

func TestMemoryWhenTheClockIsSetBack(t *testing.T) {
	m := &Memory{}
	// The ID of the last entry is far ahead of a clock that was set back.
	m.entries = append(m.entries, Entry{ID: "ffffffff-ffff-7fff-8000-000000000000"})
	done := make(chan error, 1)
	go func() { done <- m.Log(t.Context(), Event{Action: ActionUpload}) }()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("Log waits for the clock to catch up")
	}
	assert.Greater(t, m.entries[1].ID, m.entries[0].ID)
}

func TestMemoryClock(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	m := &Memory{Now: func() time.Time { return now }}
	require.NoError(t, m.Log(t.Context(), Event{Action: ActionDownload}))
	in, err := m.Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	now = now.Add(time.Second)
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}, Event{Action: ActionIssueLink}))

	var occurred, created []int
	for e, err := range m.Entries(t.Context(), Query{}) {
		require.NoError(t, err)
		occurred, created = append(occurred, e.OccurredAt.Second()), append(created, e.CreatedAt.Second())
	}
	assert.Equal(t, []int{0, 0, 1}, occurred, "an event without a time occurs by the clock it is given")
	assert.Equal(t, []int{0, 1, 1}, created)
}

func TestMemoryOpen(t *testing.T) {
	m := &Memory{}
	assert.Zero(t, m.OpenIntents())
	in, err := m.Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	assert.Equal(t, 1, m.OpenIntents())
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}))
	assert.Zero(t, m.OpenIntents())
}

func TestMemoryEmptyWithDoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := &Memory{}
	var errs []error
	for _, err := range m.Entries(ctx, Query{}) {
		errs = append(errs, err)
	}
	for _, err := range m.Dangling(ctx, DanglingQuery{}) {
		errs = append(errs, err)
	}
	require.Len(t, errs, 2)
	assert.ErrorIs(t, errs[0], context.Canceled)
	assert.ErrorIs(t, errs[1], context.Canceled)
}

func TestIntentEventIsACopy(t *testing.T) {
	for name, j := range map[string]Journal{
		"Memory":    &Memory{},
		"AsJournal": AsJournal(Slog{}),
		"Multi":     Multi(&Memory{}),
		"Discard":   Discard,
	} {
		t.Run(name, func(t *testing.T) {
			in, err := j.Begin(t.Context(), Event{
				Action: ActionUpload, Size: new(int64(1)), SHA256: make([]byte, 32), Attrs: map[string]string{"a": "1"},
			}, 0)
			require.NoError(t, err)
			e := in.Event()
			*e.Size, e.SHA256[0], e.Attrs["a"] = 2, 2, "2"
			assert.EqualValues(t, 1, *in.Event().Size)
			assert.Zero(t, in.Event().SHA256[0])
			assert.Equal(t, "1", in.Event().Attrs["a"])
		})
	}
}
