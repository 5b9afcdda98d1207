package sqlaudit_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// dangling returns the intents that one pass takes over.
func dangling(t testing.TB, j audit.Journal, q audit.DanglingQuery) []audit.Intent {
	t.Helper()
	var out []audit.Intent
	for in, err := range j.Dangling(t.Context(), q) {
		require.NoError(t, err)
		out = append(out, in)
	}
	return out
}

func TestLivingIntentsDoNotDangle(t *testing.T) { onEach(t, testLivingIntentsDoNotDangle) }

func testLivingIntentsDoNotDangle(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	_, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	assert.Empty(t, dangling(t, j, audit.DanglingQuery{}))
}

func TestDanglingTakesOver(t *testing.T) { onEach(t, testDanglingTakesOver) }

func testDanglingTakesOver(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	var begun []audit.Intent
	for _, key := range []string{"a", "b", "c"} {
		in, err := j.Begin(t.Context(), event(key), time.Nanosecond)
		require.NoError(t, err)
		begun = append(begun, in)
	}
	// The intents were begun in this order, even if the clock did not advance.
	for i, in := range begun {
		db.exec(t, "UPDATE file_access_intents SET begun_at = ? WHERE op_id = ?", i, in.OpID())
	}
	var got []audit.Intent
	wait(t, "the leases run out", func() bool {
		got = append(got, dangling(t, j, audit.DanglingQuery{Lease: time.Hour})...)
		return len(got) == 3
	})
	for i := range got {
		assert.Equal(t, begun[i].Event(), got[i].Event())
		require.ErrorIs(t, begun[i].Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrNotHeld)
		require.ErrorIs(t, begun[i].Renew(t.Context(), time.Hour), audit.ErrNotHeld)
		require.NoError(t, got[i].Renew(t.Context(), time.Hour))
		require.NoError(t, got[i].Settle(t.Context(), audit.Result{Outcome: audit.OutcomeUnknown, SettledBy: audit.SettledByReconciler}))
	}
	for _, e := range entries(t, j, audit.Query{}) {
		assert.Equal(t, audit.SettledByReconciler, e.SettledBy)
	}
	assert.Zero(t, db.count(t, "file_access_intents"))
}

// A lease that expires before the loop ends must not make the loop endless.
func TestDanglingYieldsEachIntentOnce(t *testing.T) { onEach(t, testDanglingYieldsEachIntentOnce) }

func testDanglingYieldsEachIntentOnce(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	for range 250 {
		_, err := j.Begin(t.Context(), event("k"), time.Nanosecond)
		require.NoError(t, err)
	}
	wait(t, "the clock ticks", func() bool {
		return len(dangling(t, j, audit.DanglingQuery{Lease: time.Nanosecond})) == 250
	})
}

func TestDanglingFilters(t *testing.T) { onEach(t, testDanglingFilters) }

func testDanglingFilters(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	for _, place := range [][2]string{{"local", "files"}, {"local", "other"}, {"s3", "files"}, {"", ""}} {
		e := event(place[0] + "/" + place[1])
		e.Backend, e.Bucket = place[0], place[1]
		_, err := j.Begin(t.Context(), e, time.Nanosecond)
		require.NoError(t, err)
	}
	for name, tc := range map[string]struct {
		q    audit.DanglingQuery
		want int
	}{
		"all":     {audit.DanglingQuery{}, 4},
		"backend": {audit.DanglingQuery{Backend: "local"}, 2},
		"bucket":  {audit.DanglingQuery{Bucket: "files"}, 2},
		"both":    {audit.DanglingQuery{Backend: "s3", Bucket: "files"}, 1},
		"none":    {audit.DanglingQuery{Backend: "gcs"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tc.q.Lease = time.Nanosecond
			wait(t, "the clock ticks", func() bool { return len(dangling(t, j, tc.q)) == tc.want })
		})
	}
}

func TestOneReconcilerGetsEachIntent(t *testing.T) { onEach(t, testOneReconcilerGetsEachIntent) }

func testOneReconcilerGetsEachIntent(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	const n = 100
	for range n {
		_, err := j.Begin(t.Context(), event("k"), time.Nanosecond)
		require.NoError(t, err)
	}
	second, _ := openDSN(t, db.dsn, nil)
	var mu sync.Mutex
	got := make(map[string]int)
	var wg sync.WaitGroup
	for i := range 4 {
		journal := []audit.Journal{j, second}[i%2]
		wg.Go(func() {
			for in, err := range journal.Dangling(t.Context(), audit.DanglingQuery{Lease: time.Hour}) {
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler}))
				mu.Lock()
				got[in.OpID()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for in := range j.Dangling(t.Context(), audit.DanglingQuery{}) {
		require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeFailed}))
		got[in.OpID()]++
	}
	assert.Len(t, got, n)
	for id, times := range got {
		assert.Equal(t, 1, times, id)
	}
	assert.Equal(t, n, db.count(t, "file_access_logs"))
}

func TestRenewKeepsAnIntent(t *testing.T) { onEach(t, testRenewKeepsAnIntent) }

func testRenewKeepsAnIntent(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("k"), time.Nanosecond)
	require.NoError(t, err)
	require.NoError(t, in.Renew(t.Context(), time.Hour))
	assert.Empty(t, dangling(t, j, audit.DanglingQuery{}))
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
}

// A renewal during the settlement must not keep the intent.
func TestRenewWhileSettling(t *testing.T) { onEach(t, testRenewWhileSettling) }

func testRenewWhileSettling(t *testing.T, s *system) {
	const callers, each = 4, 25
	j, db := s.open(t, nil)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				in, err := j.Begin(t.Context(), event("k"), time.Hour)
				if !assert.NoError(t, err) {
					return
				}
				var renewing sync.WaitGroup
				for range 2 {
					renewing.Go(func() {
						for err := error(nil); err == nil; { // until it is settled
							if err = in.Renew(t.Context(), time.Hour); err != nil {
								assert.ErrorIs(t, err, audit.ErrNotHeld)
							}
						}
					})
				}
				assert.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
				renewing.Wait()
			}
		})
	}
	wg.Wait()
	assert.Zero(t, db.count(t, "file_access_intents"))
	assert.Equal(t, callers*each, db.count(t, "file_access_logs"))
}

func TestClaim(t *testing.T) { onEach(t, testClaim) }

func testClaim(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	first, err := j.Begin(t.Context(), event("k"), time.Hour)
	require.NoError(t, err)
	second, err := j.Claim(t.Context(), first.OpID(), time.Hour, nil)
	require.NoError(t, err)
	assert.Equal(t, first.Event(), second.Event())
	require.ErrorIs(t, first.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrNotHeld)
	require.NoError(t, second.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))

	for name, id := range map[string]string{"settled": first.OpID(), "never begun": uuid.NewString(), "no UUID": "'; --", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			_, err := j.Claim(t.Context(), id, 0, nil)
			require.ErrorIs(t, err, audit.ErrNoIntent)
		})
	}
}

// An unreadable intent stays, is named in an error, and does not hide the
// others.
func TestUnreadableIntents(t *testing.T) { onEach(t, testUnreadableIntents) }

func testUnreadableIntents(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	var begun []audit.Intent
	for i := range 250 { // more than two pages
		in, err := j.Begin(t.Context(), event(fmt.Sprint(i)), time.Nanosecond)
		require.NoError(t, err)
		begun = append(begun, in)
		db.exec(t, "UPDATE file_access_intents SET begun_at = ? WHERE op_id = ?", i, in.OpID())
	}
	odd := map[int]string{
		0: "{", 100: "", 101: "null", 150: `{"op_id": "01941f29-7c00-7000-8000-000000000001", "action": "upload"}`,
		249: `{"op_id": "` + begun[249].OpID() + `", "action": "No Such"}`,
	}
	for i, text := range odd {
		db.exec(t, "UPDATE file_access_intents SET event = ? WHERE op_id = ?", text, begun[i].OpID())
	}
	db.exec(t, "UPDATE file_access_intents SET lease_until = lease_until - 1000000")
	got, errs := 0, []error(nil)
	for in, err := range j.Dangling(t.Context(), audit.DanglingQuery{Lease: time.Hour}) {
		require.Empty(t, errs, "the error comes last")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got++
		require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeFailed}))
	}
	assert.Equal(t, 250-len(odd), got)
	require.Len(t, errs, 1)
	require.NotErrorIs(t, errs[0], audit.ErrEvent)
	for i := range odd {
		assert.ErrorContains(t, errs[0], begun[i].OpID())
		_, err := j.Claim(t.Context(), begun[i].OpID(), 0, nil)
		require.ErrorIs(t, err, audit.ErrUntrusted)
	}
	n, err := j.OpenIntents(t.Context())
	require.NoError(t, err)
	assert.Equal(t, len(odd), n, "they stay")
}
