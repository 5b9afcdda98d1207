package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/blobtrail/blobtrail/audit"
)

// This file checks the small implementations, where they differ from the
// contract that package audittest checks.

var errLog = errors.New("the log is full")

// script is a Logger that records its events and returns scripted errors.
type script struct {
	mu     sync.Mutex
	errs   []error
	events []Event
	calls  int
}

func (s *script) Log(_ context.Context, e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.calls < len(s.errs) {
		err = s.errs[s.calls]
	}
	s.calls++
	if err == nil {
		s.events = append(s.events, e)
	}
	return err
}

func (s *script) outcomes() (out []string) {
	for _, e := range s.events {
		out = append(out, string(e.Action)+" "+string(e.Outcome))
	}
	return out
}

func entries(t *testing.T, r Reader) (out []Entry) {
	t.Helper()
	for e, err := range r.Entries(t.Context(), Query{}) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

func TestAsJournalKeepsAJournal(t *testing.T) {
	m := &Memory{}
	assert.Same(t, m, AsJournal(m))
}

func TestAsJournalLogsBothEnds(t *testing.T) {
	log := &script{}
	j := AsJournal(log)
	in, err := j.Begin(t.Context(), Event{Action: ActionUpload, Key: "k"}, 0)
	require.NoError(t, err)
	require.NoError(t, in.Renew(t.Context(), time.Minute))
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeFailed, ErrorCode: "x"}, Event{Action: ActionIssueLink}))

	assert.Equal(t, []string{"upload begun", "upload failed", "generate_url ok"}, log.outcomes())
	assert.Equal(t, in.OpID(), log.events[0].OpID)
	assert.Equal(t, in.OpID(), log.events[1].OpID)
	assert.Equal(t, log.events[0].OccurredAt, log.events[1].OccurredAt)

	require.ErrorIs(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}), ErrNotHeld)
	require.ErrorIs(t, in.Renew(t.Context(), 0), ErrNotHeld)
	assert.Len(t, log.events, 3)

	_, err = j.Claim(t.Context(), in.OpID(), 0, nil)
	require.ErrorIs(t, err, ErrNoIntent)
	for range j.Dangling(t.Context(), DanglingQuery{}) {
		t.Fatal("a plain logger can't find what dangles")
	}
}

func TestAsJournalBeginFails(t *testing.T) {
	log := &script{errs: []error{errLog}}
	in, err := AsJournal(log).Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.ErrorIs(t, err, errLog)
	assert.Nil(t, in)

	in, err = AsJournal(log).Begin(t.Context(), Event{Action: ActionUpload, Outcome: OutcomeOK}, 0)
	require.ErrorIs(t, err, ErrEvent)
	assert.Nil(t, in)
	assert.Equal(t, 1, log.calls)
}

func TestAsJournalSettleContinuesAfterAFailure(t *testing.T) {
	log := &script{errs: []error{nil, errLog, nil, errLog}}
	in, err := AsJournal(log).Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	settle := func() error {
		return in.Settle(t.Context(), Result{Outcome: OutcomeOK}, Event{Action: ActionIssueLink})
	}
	require.ErrorIs(t, settle(), errLog)
	assert.Equal(t, []string{"upload begun"}, log.outcomes(), "what follows waits for what comes first")
	require.NoError(t, in.Renew(t.Context(), 0), "what is not recorded is not settled")
	require.ErrorIs(t, settle(), errLog)
	assert.Equal(t, []string{"upload begun", "upload ok"}, log.outcomes())
	require.NoError(t, settle())
	assert.Equal(t, []string{"upload begun", "upload ok", "generate_url ok"}, log.outcomes(), "nothing twice")
	require.ErrorIs(t, settle(), ErrNotHeld)
}

func TestAsJournalSettledOnceByMany(t *testing.T) {
	log := &script{}
	in, err := AsJournal(log).Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			err := in.Settle(t.Context(), Result{Outcome: OutcomeOK})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else {
				assert.ErrorIs(t, err, ErrNotHeld)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 1, won)
	assert.Equal(t, []string{"upload begun", "upload ok"}, log.outcomes())
}

func TestMultiLog(t *testing.T) {
	first, a, b := &Memory{}, &script{}, &script{}
	m := Multi(first, a, b)
	require.NoError(t, m.Log(t.Context(), Event{Action: ActionDownload, Key: "k\x00"}))
	got := entries(t, first)
	require.Len(t, got, 1)
	require.Len(t, a.events, 1)
	assert.Equal(t, got[0].Event, a.events[0], "the mirror has the very same event, its id and time included")
	assert.Equal(t, got[0].Event, b.events[0])

	require.ErrorIs(t, m.Log(t.Context(), Event{Action: "Bad"}), ErrEvent)
	assert.Len(t, a.events, 1, "a bad event reaches nobody")
}

func TestMultiRefusesNil(t *testing.T) {
	assert.PanicsWithValue(t, "audit: Multi: a logger is nil: use audit.Discard to record nothing", func() { Multi(nil) })
	assert.Panics(t, func() { Multi(Discard, new(Memory), nil) })
}

func TestMultiMirrorFailsBefore(t *testing.T) {
	first, bad, good := &Memory{}, &script{errs: []error{errLog}}, &script{}
	err := Multi(first, bad, good).Log(t.Context(), Event{Action: ActionDownload})
	require.ErrorIs(t, err, errLog)
	assert.NotErrorIs(t, err, ErrMirror, "which would say that the trail has the entry")
	assert.Empty(t, entries(t, first), "nothing happens of which a mirror has no record")
	assert.Len(t, good.events, 1, "the others are told all the same")
}

func TestMultiFirstFailsInLog(t *testing.T) {
	mirror := &script{}
	err := Multi(&script{errs: []error{errLog}}, mirror).Log(t.Context(), Event{Action: ActionDownload})
	require.ErrorIs(t, err, errLog)
	assert.Len(t, mirror.events, 1)
}

func TestMultiSettle(t *testing.T) {
	first, mirror := &Memory{}, &script{}
	m := Multi(first, mirror)
	in, err := m.Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	assert.Empty(t, mirror.events, "intents are the first's alone")
	assert.Equal(t, 1, first.OpenIntents())
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}, Event{Action: ActionIssueLink}))
	got := entries(t, first)
	require.Len(t, got, 2)
	require.Len(t, mirror.events, 2)
	for i := range got {
		assert.Equal(t, got[i].Event, mirror.events[i])
	}
	require.ErrorIs(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}), ErrNotHeld)
	assert.Len(t, mirror.events, 2, "what was not settled is not mirrored")
}

func TestMultiMirrorFailsAfter(t *testing.T) {
	first, bad, good := &Memory{}, &script{errs: []error{errLog}}, &script{}
	in, err := Multi(first, bad, good).Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	err = in.Settle(t.Context(), Result{Outcome: OutcomeOK})
	require.ErrorIs(t, err, ErrMirror)
	require.ErrorIs(t, err, errLog)
	assert.Len(t, entries(t, first), 1, "the trail is complete")
	assert.Zero(t, first.OpenIntents())
	assert.Len(t, good.events, 1)
}

func TestMultiMirrorsAClaimedIntent(t *testing.T) {
	now := time.Now()
	first, mirror := &Memory{Now: func() time.Time { return now }}, &script{}
	m := Multi(first, mirror)
	dead, err := m.Begin(t.Context(), Event{Action: ActionUpload, Key: "a"}, time.Minute)
	require.NoError(t, err)
	ticket, err := m.Begin(t.Context(), Event{Action: ActionUpload, Key: "b"}, time.Hour)
	require.NoError(t, err)
	now = now.Add(2 * time.Minute)
	for in, err := range m.Dangling(t.Context(), DanglingQuery{}) {
		require.NoError(t, err)
		assert.Equal(t, dead.OpID(), in.OpID())
		require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeUnknown, SettledBy: SettledByReconciler}))
	}
	require.ErrorIs(t, dead.Settle(t.Context(), Result{Outcome: OutcomeOK}), ErrNotHeld)
	in, err := m.Claim(t.Context(), ticket.OpID(), 0, nil)
	require.NoError(t, err)
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}))
	assert.Equal(t, []string{"upload unknown", "upload ok"}, mirror.outcomes())

	in, err = m.Claim(t.Context(), ticket.OpID(), 0, nil)
	require.ErrorIs(t, err, ErrNoIntent)
	assert.Nil(t, in)
}

func TestSlogFields(t *testing.T) {
	var buf bytes.Buffer
	s := Slog{Logger: slog.New(slog.NewJSONHandler(&buf, nil))}
	sum := bytes.Repeat([]byte{0xab}, 32)
	at := time.Date(2026, 3, 1, 8, 0, 0, 123000, time.UTC)
	require.NoError(t, s.Log(t.Context(), Event{
		OpID: "0198f2e0-0000-7000-8000-000000000001", RefOpID: "0198f2e0-0000-7000-8000-000000000002", OccurredAt: at,
		Action: ActionUpload, Actor: Actor{UserID: "u", TenantID: "t", IP: "192.0.2.1", UserAgent: "a\nb", RequestID: "r"},
		Resource: Resource{Type: "invoice", ID: "42"}, Key: "k", Backend: "mem", Bucket: "b", GrantID: "g",
		Size: new(int64(0)), SHA256: sum, ContentType: "text/plain", ErrorCode: "e", Attrs: map[string]string{"x": "y"},
	}))
	var got map[string]any
	require.NoError(t, json.Unmarshal(buf.Bytes(), &got))
	assert.Equal(t, map[string]any{
		"time": at.Format(time.RFC3339Nano), "level": "INFO", "msg": "audit",
		"event": map[string]any{
			"op_id": "0198f2e0-0000-7000-8000-000000000001", "ref_op_id": "0198f2e0-0000-7000-8000-000000000002",
			"action": "upload", "outcome": "ok", "user_id": "u", "tenant_id": "t", "ip_address": "192.0.2.1",
			"user_agent": `a\u000ab`, "request_id": "r", "resource_type": "invoice", "resource_id": "42",
			"file_key": "k", "storage_backend": "mem", "bucket": "b", "grant_id": "g", "size": 0.0,
			"sha256": strings.Repeat("ab", 32), "content_type": "text/plain", "error_code": "e",
			"attrs": map[string]any{"x": "y"},
		},
	}, got)

	buf.Reset()
	require.NoError(t, s.Log(t.Context(), Event{OpID: "0198f2e0-0000-7000-8000-000000000001", OccurredAt: at, Action: ActionDelete}))
	got = nil
	require.NoError(t, json.Unmarshal(buf.Bytes(), &got))
	assert.Equal(t, map[string]any{"op_id": "0198f2e0-0000-7000-8000-000000000001", "action": "delete", "outcome": "ok"},
		got["event"], "what is not set is left out")
}

func TestSlogLevels(t *testing.T) {
	for _, tc := range []struct {
		name    string
		level   slog.Level
		outcome Outcome
		want    string
	}{
		{"ok", slog.LevelInfo, OutcomeOK, "INFO"},
		{"no outcome is ok", slog.LevelInfo, "", "INFO"},
		{"begun", slog.LevelInfo, OutcomeBegun, "INFO"},
		{"ok at debug", slog.LevelDebug, OutcomeOK, "DEBUG"},
		{"failed", slog.LevelInfo, OutcomeFailed, "WARN"},
		{"denied at debug", slog.LevelDebug, OutcomeDenied, "WARN"},
		{"unknown", slog.LevelInfo, OutcomeUnknown, "WARN"},
		{"failed where all is an error", slog.LevelError, OutcomeFailed, "ERROR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			h := slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug})
			require.NoError(t, Slog{Logger: slog.New(h), Level: tc.level}.Log(t.Context(), Event{Action: ActionUpload, Outcome: tc.outcome}))
			var got struct{ Level string }
			require.NoError(t, json.Unmarshal(buf.Bytes(), &got))
			assert.Equal(t, tc.want, got.Level)
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errLog }

func TestSlogErrors(t *testing.T) {
	s := Slog{Logger: slog.New(slog.NewTextHandler(brokenPipe{}, nil))}
	require.ErrorIs(t, s.Log(t.Context(), Event{Action: ActionUpload}), errLog, "slog itself drops what the handler says")
	require.ErrorIs(t, s.Log(t.Context(), Event{Action: "Bad"}), ErrEvent)

	s.Level = slog.LevelDebug
	require.NoError(t, s.Log(t.Context(), Event{Action: ActionUpload}), "switched off by the handler: not written")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Log(ctx, Event{Action: ActionUpload}), context.Canceled)
}

func TestSlogDefault(t *testing.T) {
	var buf bytes.Buffer
	prior := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	defer slog.SetDefault(prior)
	require.NoError(t, Slog{}.Log(t.Context(), Event{Action: ActionUpload, Key: "k"}))
	assert.Contains(t, buf.String(), "event.file_key=k")
}

func TestDiscard(t *testing.T) {
	require.NoError(t, Discard.Log(t.Context(), Event{Action: ActionUpload}))
	require.ErrorIs(t, Discard.Log(t.Context(), Event{Action: "Bad"}), ErrEvent, "mistakes show even where nothing is kept")
	in, err := Discard.Begin(t.Context(), Event{Action: ActionUpload}, 0)
	require.NoError(t, err)
	assert.Equal(t, in.Event().OpID, in.OpID())
	assert.NotEmpty(t, in.OpID())
	require.NoError(t, in.Renew(t.Context(), 0))
	require.ErrorIs(t, in.Settle(t.Context(), Result{}), ErrEvent)
	require.NoError(t, in.Settle(t.Context(), Result{Outcome: OutcomeOK}))
	in, err = Discard.Begin(t.Context(), Event{Action: "Bad"}, 0)
	require.ErrorIs(t, err, ErrEvent)
	assert.Nil(t, in)
	_, err = Discard.Claim(t.Context(), "x", 0, nil)
	require.ErrorIs(t, err, ErrNoIntent)
	for range Discard.Dangling(t.Context(), DanglingQuery{}) {
		t.Fatal("nothing is kept, so nothing dangles")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, Discard.Log(ctx, Event{Action: ActionUpload}), context.Canceled)
	_, err = Discard.Begin(ctx, Event{Action: ActionUpload}, 0)
	require.ErrorIs(t, err, context.Canceled)
}

// A program that imports this package only for its types must not link more.
func TestStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	assert.Equal(t, []string{"github.com/blobtrail/blobtrail/audit"}, strings.Fields(string(out)))
}

func TestMultiIsAReaderIfItsFirstIs(t *testing.T) {
	first := &Memory{}
	m, ok := Multi(first, &Memory{}).(Reader)
	require.True(t, ok)
	require.NoError(t, first.Log(t.Context(), Event{Action: ActionUpload, Key: "k"}))
	for e, err := range m.Entries(t.Context(), Query{}) {
		require.NoError(t, err)
		assert.Equal(t, "k", e.Key)
		ok = false
	}
	assert.False(t, ok, "there was one")
	_, ok = Multi(&script{}).(Reader)
	assert.False(t, ok)
}
