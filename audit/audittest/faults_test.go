package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
)

var (
	errFull = errors.New("disk full")
	okay    = audit.Result{Outcome: audit.OutcomeOK}
)

func event(key string) audit.Event { return audit.Event{Action: audit.ActionUpload, Key: key} }

func keys(t *testing.T, m *audit.Memory) []string {
	t.Helper()
	out := []string{}
	for e, err := range m.Entries(context.Background(), audit.Query{}) {
		require.NoError(t, err)
		out = append(out, e.Key)
	}
	return out
}

// Without faults, Faults behaves like the underlying journal.
func TestFaultsConform(t *testing.T) {
	type faulty struct {
		*audittest.Faults
		audit.Reader
	}
	audittest.Run(t, func(*testing.T) audittest.Harness {
		var ahead atomic.Int64
		m := &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
		return audittest.Harness{
			Open:        func(testing.TB) audittest.Journal { return faulty{audittest.NewFaults(m), m} },
			Advance:     func(_ testing.TB, d time.Duration) { ahead.Add(int64(d)) },
			OpenIntents: func(testing.TB) int { return m.OpenIntents() },
		}
	})
}

func TestFaultsInLog(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults []audittest.Fault
		fails  string   // of four calls, with keys 0 to 3
		stored []string // of those
	}{
		{"none", nil, "....", []string{"0", "1", "2", "3"}},
		{"every", []audittest.Fault{{Call: audittest.CallLog, Err: errFull}}, "xxxx", []string{}},
		{"the second", []audittest.Fault{{Call: audittest.CallLog, Nth: 2, Err: errFull}}, ".x..", []string{"0", "2", "3"}},
		{"the second, after", []audittest.Fault{{Call: audittest.CallLog, Nth: 2, After: true, Err: errFull}}, ".x..", []string{"0", "1", "2", "3"}},
		{"the first and the third", []audittest.Fault{
			{Call: audittest.CallLog, Nth: 1, Err: errFull}, {Call: audittest.CallLog, Nth: 3, Err: errFull},
		}, "x.x.", []string{"1", "3"}},
		{"by event", []audittest.Fault{{
			Call: audittest.CallLog, Match: func(e audit.Event) bool { return e.Key >= "2" }, Err: errFull,
		}}, "..xx", []string{"0", "1"}},
		{"the second of those", []audittest.Fault{{
			Call: audittest.CallLog, Match: func(e audit.Event) bool { return e.Key >= "2" }, Nth: 2, Err: errFull,
		}}, "...x", []string{"0", "1", "2"}},
		{"the first that was added counts", []audittest.Fault{
			{Call: audittest.CallLog, Nth: 1, Err: errFull}, {Call: audittest.CallLog, After: true, Err: errFull},
		}, "xxxx", []string{"1", "2", "3"}},
		{"another call", []audittest.Fault{{Call: audittest.CallBegin, Err: errFull}}, "....", []string{"0", "1", "2", "3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &audit.Memory{}
			f := audittest.NewFaults(m)
			f.Add(tc.faults...)
			for i, want := range tc.fails {
				err := f.Log(t.Context(), event(fmt.Sprint(i)))
				if want == 'x' {
					require.ErrorIs(t, err, errFull)
				} else {
					require.NoError(t, err)
				}
			}
			assert.Equal(t, tc.stored, keys(t, m))
			assert.Equal(t, 4, f.Calls(audittest.CallLog))
			assert.Zero(t, f.Calls(audittest.CallBegin))
			f.Clear()
			require.NoError(t, f.Log(t.Context(), event("cleared")))
		})
	}
}

func TestFaultsInIntents(t *testing.T) {
	now := time.Now()
	m := &audit.Memory{Now: func() time.Time { return now }}
	f := audittest.NewFaults(m)
	f.Add(
		audittest.Fault{Call: audittest.CallBegin, Nth: 1, Err: errFull},
		audittest.Fault{Call: audittest.CallBegin, Nth: 2, After: true, Err: errFull},
		audittest.Fault{Call: audittest.CallRenew, Nth: 1, Err: errFull},
		audittest.Fault{Call: audittest.CallSettle, Nth: 1, Err: errFull},
		audittest.Fault{Call: audittest.CallSettle, Nth: 2, After: true, Err: errFull},
		audittest.Fault{Call: audittest.CallClaim, Nth: 1, Err: errFull},
	)
	_, err := f.Begin(t.Context(), event("before"), 0)
	require.ErrorIs(t, err, errFull)
	assert.Equal(t, 0, m.OpenIntents(), "failed before its effect")
	in, err := f.Begin(t.Context(), event("after"), 0)
	require.ErrorIs(t, err, errFull)
	assert.Nil(t, in)
	assert.Equal(t, 1, m.OpenIntents(), "failed after its effect")
	in, err = f.Begin(t.Context(), event("held"), time.Hour)
	require.NoError(t, err)

	require.ErrorIs(t, in.Renew(t.Context(), 0), errFull)
	require.NoError(t, in.Renew(t.Context(), time.Hour))
	require.ErrorIs(t, in.Settle(t.Context(), okay), errFull)
	assert.Empty(t, keys(t, m))
	require.ErrorIs(t, in.Settle(t.Context(), okay), errFull)
	assert.Equal(t, []string{"held"}, keys(t, m))
	require.ErrorIs(t, in.Settle(t.Context(), okay), audit.ErrNotHeld)
	assert.Equal(t, 3, f.Calls(audittest.CallSettle))

	// Intents from Claim and Dangling are wrapped too.
	f.Add(audittest.Fault{Call: audittest.CallSettle, Err: errFull, Match: func(e audit.Event) bool {
		return e.Outcome == audit.OutcomeUnknown // the outcome of the result
	}})
	now = now.Add(2 * time.Minute)
	n := 0
	for in, err := range f.Dangling(t.Context(), audit.DanglingQuery{}) {
		require.NoError(t, err)
		require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeUnknown}), errFull)
		_, err = f.Claim(t.Context(), in.OpID(), 0, nil)
		require.ErrorIs(t, err, errFull)
		claimed, err := f.Claim(t.Context(), in.OpID(), 0, nil)
		require.NoError(t, err)
		require.ErrorIs(t, claimed.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeUnknown}), errFull)
		require.NoError(t, claimed.Settle(t.Context(), okay))
		n++
	}
	assert.Equal(t, 1, n)
	assert.Equal(t, []string{"held", "after"}, keys(t, m))
}

func TestFaultsKeepTheJournalsOwnError(t *testing.T) {
	f := audittest.NewFaults(&audit.Memory{})
	f.Add(audittest.Fault{Call: audittest.CallLog, After: true, Err: errFull})
	require.ErrorIs(t, f.Log(t.Context(), audit.Event{}), audit.ErrEvent)
}

func TestFaultsOfNoCall(t *testing.T) {
	f := audittest.NewFaults(&audit.Memory{})
	assert.PanicsWithValue(t, `audittest: Fault.Call "": want Log, Begin, Claim, Renew or Settle`, func() {
		f.Add(audittest.Fault{Err: errFull})
	})
	require.NoError(t, f.Log(t.Context(), event("k")), "and it holds no lock")
}

func TestFaultsOverALogger(t *testing.T) {
	f := audittest.NewFaults(audit.Slog{})
	f.Add(audittest.Fault{Call: audittest.CallBegin, Err: errFull})
	_, err := f.Begin(t.Context(), event("k"), 0)
	require.ErrorIs(t, err, errFull)
}

func TestGate(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, fails := range []error{nil, errFull} {
			t.Run(fmt.Sprintf("after=%v err=%v", after, fails), func(t *testing.T) {
				m := &audit.Memory{}
				f := audittest.NewFaults(m)
				gate := audittest.NewGate()
				f.Add(audittest.Fault{Call: audittest.CallLog, Nth: 1, Gate: gate, After: after, Err: fails})
				done := make(chan error, 1)
				go func() { done <- f.Log(context.Background(), event("waits")) }()
				<-gate.Reached()
				require.NoError(t, f.Log(t.Context(), event("passes")), "the others go on")
				want := []string{"passes"}
				if after {
					want = []string{"waits", "passes"}
				}
				assert.Equal(t, want, keys(t, m))
				select {
				case err := <-done:
					t.Fatalf("the gate is closed, yet the call returned %v", err)
				default:
				}
				gate.Open()
				gate.Open()
				require.ErrorIs(t, <-done, fails)
				if !after && fails == nil {
					want = []string{"passes", "waits"}
				}
				assert.Equal(t, want, keys(t, m))
			})
		}
	}
}

func TestGateAndContext(t *testing.T) {
	m := &audit.Memory{}
	f := audittest.NewFaults(m)
	gate := audittest.NewGate()
	f.Add(audittest.Fault{Call: audittest.CallBegin, Gate: gate})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-gate.Reached()
		cancel()
	}()
	_, err := f.Begin(ctx, event("k"), 0)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, m.OpenIntents())
}

func TestFaultsConcurrently(t *testing.T) {
	m := &audit.Memory{}
	f := audittest.NewFaults(m)
	f.Add(audittest.Fault{Call: audittest.CallLog, Nth: 10, Err: errFull})
	var failed atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if f.Log(context.Background(), event("k")) != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, failed.Load(), "the tenth, and it alone")
	assert.Len(t, keys(t, m), 49)
	assert.Equal(t, 50, f.Calls(audittest.CallLog))
}
