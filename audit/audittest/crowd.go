package audittest

import (
	"fmt"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks concurrent callers: no entry is lost or duplicated, and
// every log is in order.

var crowdCases = []testCase{
	{"crowd/64 writers", manyWriters},
	{"crowd/bad events among good ones", badAmongGood},
	{"crowd/several processes, one trail", oneTrail},
	{"crowd/readers while it grows", readWhileWriting},
}

// checkStreams checks that IDs ascend in the whole trail, and that the
// positions of each writer count up from 0 in the same order.
func checkStreams(e *env, entries []audit.Entry) {
	e.Helper()
	next := map[string]int64{}
	for i, en := range entries {
		require.Equal(e, next[en.WriterID], en.Seq, "the next position in the log of writer %s", en.WriterID)
		next[en.WriterID]++
		if i > 0 {
			require.Greater(e, en.ID, entries[i-1].ID, "IDs ascend")
		}
	}
}

// Of events stored concurrently, none MUST be lost or duplicated. IDs MUST
// ascend, and the positions of each writer MUST count up without a gap.
func manyWriters(e *env) {
	const writers, logs = 64, 3
	handles := []Journal{e.j, e.second()}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			j := handles[w%2]
			for i := range logs {
				assert.NoError(e, j.Log(e.ctx, upload(fmt.Sprintf("log %d/%d", w, i))))
			}
			in, err := j.Begin(e.ctx, upload(fmt.Sprintf("intent %d", w)), 0)
			if assert.NoError(e, err) {
				assert.NoError(e, in.Settle(e.ctx, ok, upload(fmt.Sprintf("also %d", w))))
			}
		})
	}
	wg.Wait()
	got := e.entries(audit.Query{})
	require.NotEmpty(e, got)
	times, place := map[string]int{}, map[string]int{}
	for i, en := range got {
		times[en.Key]++
		place[en.Key] = i
	}
	for w := range writers {
		for i := range logs {
			key := fmt.Sprintf("log %d/%d", w, i)
			assert.Equal(e, 1, times[key], key)
			if i > 0 { // a caller's events are in one log, in the order of its calls
				assert.Greater(e, place[key], place[fmt.Sprintf("log %d/%d", w, i-1)], key)
			}
		}
		intent, also := fmt.Sprintf("intent %d", w), fmt.Sprintf("also %d", w)
		assert.Equal(e, 1, times[intent], intent)
		assert.Equal(e, 1, times[also], also)
		en, next := got[place[intent]], got[place[also]]
		assert.Equal(e, en.WriterID, next.WriterID, also)
		assert.Equal(e, en.Seq+1, next.Seq, also)
	}
	assert.Len(e, got, writers*(logs+2))
	checkStreams(e, got)
	e.wantOpen(0)
}

// Events that can never be stored MUST fail alone, even among others.
func badAmongGood(e *env) {
	const callers = 32
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			if i%2 == 0 {
				bad := upload("bad")
				bad.SHA256 = []byte{1}
				assert.ErrorIs(e, e.j.Log(e.ctx, bad), audit.ErrEvent)
				return
			}
			ev := hostileEvent()
			ev.OpID, ev.Key = "", fmt.Sprint(i)
			assert.NoError(e, e.j.Log(e.ctx, ev))
		})
	}
	wg.Wait()
	got := e.entries(audit.Query{})
	assert.Len(e, got, callers/2)
	checkStreams(e, got)
}

// Entries of several processes MUST form one trail that each of them can read.
func oneTrail(e *env) {
	other := e.second()
	for i := range 6 {
		require.NoError(e, []Journal{e.j, other}[i%2].Log(e.ctx, upload(fmt.Sprint(i))))
	}
	got := e.entries(audit.Query{})
	assert.ElementsMatch(e, []string{"0", "1", "2", "3", "4", "5"}, keysOf(got))
	checkStreams(e, got)
	var theirs []audit.Entry
	for en, err := range other.Entries(e.ctx, audit.Query{}) {
		require.NoError(e, err)
		theirs = append(theirs, en)
	}
	assert.Equal(e, got, theirs)
}

// Reading during writes MUST return every earlier entry once and in order.
func readWhileWriting(e *env) {
	const before, during = 20, 40
	for i := range before {
		e.log(upload(fmt.Sprint("before ", i)))
	}
	var wg sync.WaitGroup
	defer wg.Wait() // even if the case fails
	wg.Go(func() {
		for i := range during {
			assert.NoError(e, e.j.Log(e.ctx, upload(fmt.Sprint("during ", i))))
		}
	})
	for range 5 {
		got := e.entries(audit.Query{})
		require.GreaterOrEqual(e, len(got), before)
		for i := range before {
			require.Equal(e, fmt.Sprint("before ", i), got[i].Key)
		}
		checkStreams(e, got)
	}
	wg.Wait()
	assert.Len(e, e.entries(audit.Query{}), before+during)
}
