package sqlaudit_test

// This file tests wrong clocks, and a writer that exists twice.

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// Three processes share a trail. The clock of the first is two hours ahead, the
// clock of the second two hours behind, and the clock of the third is set back
// by ten minutes during the test. Each process begins operations, settles some
// of them, and takes over those of the others, while the first holders still
// try to settle them.
func TestWrongClocks(t *testing.T) { onEach(t, testWrongClocks) }

func testWrongClocks(t *testing.T, s *system) {
	const each = 60
	tr := newTrailOn(t, s)
	var back atomic.Int64
	clocks := []func() time.Time{
		func() time.Time { return time.Now().Add(2 * time.Hour) },
		func() time.Time { return time.Now().Add(-2 * time.Hour) },
		func() time.Time { return time.Now().Add(-time.Duration(back.Load())) },
	}
	var journals []*sqlaudit.Journal
	for _, clock := range clocks {
		j := tr.open(t)
		sqlaudit.SetClock(j, clock)
		journals = append(journals, j)
	}
	var open []audit.Intent
	for i, j := range journals {
		for n := range each {
			if n == each/2 {
				back.Store(int64(10 * time.Minute)) // only the first time
			}
			e := event(fmt.Sprintf("%d/%d", i, n))
			e.OccurredAt = clocks[i]()
			in, err := j.Begin(t.Context(), e, 0)
			require.NoError(t, err)
			if n%2 == 0 {
				require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
			} else {
				open = append(open, in)
			}
		}
		back.Store(0)
	}
	for _, j := range journals {
		assert.Empty(t, dangling(t, j, audit.DanglingQuery{}), "a lease goes by the database's clock, and lives")
	}
	db := newRaw(t, tr.dsn)
	db.exec(t, "UPDATE file_access_intents SET lease_until = 0")

	var wg sync.WaitGroup
	var first, second atomic.Int64
	for _, j := range journals {
		wg.Go(func() {
			for in, err := range j.Dangling(t.Context(), audit.DanglingQuery{}) {
				if !assert.NoError(t, err) {
					return
				}
				if in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeUnknown, SettledBy: audit.SettledByReconciler}) == nil {
					second.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		for _, in := range open {
			if in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}) == nil {
				first.Add(1)
			}
		}
	})
	wg.Wait()
	// Set the third clock back once more, after an entry with the right time.
	// The others may already have settled everything else.
	logMany(t, journals[2], 1)
	back.Store(int64(10 * time.Minute))
	logMany(t, journals[2], 50)

	list := entries(t, journals[0], audit.Query{})
	requireWholeStreams(t, list)
	final, ops := 0, make(map[string]int)
	steps := 0
	last := make(map[string]time.Time)
	for _, e := range list {
		ops[e.OpID]++
		if e.CreatedAt.Before(last[e.WriterID].Add(-5 * time.Minute)) {
			steps++
		}
		last[e.WriterID] = e.CreatedAt
	}
	for id, n := range ops {
		assert.Equal(t, 1, n, id)
		final += n
	}
	assert.Len(t, ops, 3*each+51)
	assert.EqualValues(t, len(open), first.Load()+second.Load(), "each was settled by one")
	assert.Zero(t, db.count(t, "file_access_intents"))
	assert.Equal(t, 2, steps, "the clock was set back twice")
	assert.Greater(t, time.Until(last[sqlaudit.WriterID(journals[0])]), time.Hour)
	assert.Greater(t, time.Since(last[sqlaudit.WriterID(journals[1])]), time.Hour)

	var paged []audit.Entry
	for page := entries(t, journals[0], audit.Query{Limit: 7}); len(page) > 0; page = entries(t, journals[0], audit.Query{Limit: 7, After: paged[len(paged)-1].ID}) {
		paged = append(paged, page...)
	}
	assert.Equal(t, list, paged)
	for _, j := range journals {
		require.NoError(t, j.Close(t.Context()))
	}
	requireSound(t, tr.verify(t))
	t.Logf("clocks 2 h ahead, 2 h behind and set back by 10 min: %d operations, %d final entries; of %d whose lease was lost, %d were settled by their holder and %d by a reconciler",
		len(ops), final, len(open), first.Load(), second.Load())
}

// If two processes use the same writer, one of them continues as a new writer,
// and nothing is lost.
func TestClonedWriter(t *testing.T) { onEach(t, testClonedWriter) }

func testClonedWriter(t *testing.T, s *system) {
	const callers, each = 4, 25
	tr := newTrailOn(t, s)
	first, second := tr.open(t), tr.open(t)
	for i := range 3 {
		require.NoError(t, first.Log(t.Context(), event(fmt.Sprint("before-", i))))
	}
	sqlaudit.BecomeCloneOf(second, first)
	require.Equal(t, sqlaudit.WriterID(first), sqlaudit.WriterID(second))
	var l ledger
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				assert.NoError(t, l.work([]*sqlaudit.Journal{first, second}[c%2], i, event(fmt.Sprintf("%d/%d", c, i)), time.Minute))
			}
		})
	}
	wg.Wait()
	assert.NotEqual(t, sqlaudit.WriterID(first), sqlaudit.WriterID(second), "one was fenced")
	db := newRaw(t, tr.dsn)
	t.Logf("one writer in two processes: %s; %d writers", l.check(t, first, db), db.count(t, "file_access_writers"))
	require.NoError(t, first.Close(t.Context()))
	require.NoError(t, second.Close(t.Context()))
	requireSound(t, tr.verify(t))
}
