package audittest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks the loop of a reconciler over dangling intents.

var danglingCases = []testCase{
	{"dangling/nothing", danglingNothing},
	{"dangling/oldest first", danglingOldestFirst},
	{"dangling/break leaves the others", danglingBreak},
	{"dangling/by backend and bucket", danglingFilter},
	{"dangling/settled in the loop", danglingSettleInLoop},
	{"dangling/settled meanwhile", danglingSettledMeanwhile},
	{"dangling/each to one of many reconcilers", danglingConcurrent},
	{"dangling/left by another process", danglingOtherHandle},
}

func isLost(err error) bool {
	return errors.Is(err, audit.ErrNotHeld) || errors.Is(err, audit.ErrNoIntent)
}

// If nothing dangles, the loop MUST end without an error.
func danglingNothing(e *env) {
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
	require.NoError(e, e.begin(upload("k"), 0).Settle(e.ctx, ok))
	assert.Empty(e, e.dangling(audit.DanglingQuery{}))
}

// Intents MUST be yielded in the order of Begin.
func danglingOldestFirst(e *env) {
	var want []string
	for i := range 10 {
		want = append(want, e.begin(upload(fmt.Sprint(i)), e.short()).OpID())
	}
	e.expire()
	assert.Equal(e, want, idsOf(e.dangling(audit.DanglingQuery{})))
}

// If the loop ends early, the current intent MUST be held, and the remaining
// intents MUST be found again at once.
func danglingBreak(e *env) {
	for i := range 5 {
		e.begin(upload(fmt.Sprint(i)), e.short())
	}
	e.expire()
	var reached audit.Intent
	for in, err := range e.j.Dangling(e.ctx, audit.DanglingQuery{Lease: long}) {
		require.NoError(e, err)
		reached = in
		break
	}
	require.NotNil(e, reached)
	rest := idsOf(e.dangling(audit.DanglingQuery{}))
	assert.Len(e, rest, 4)
	assert.NotContains(e, rest, reached.OpID())
	require.NoError(e, reached.Settle(e.ctx, ok))
}

// A query MUST return only the intents of its backend and bucket, and leave the
// others unchanged.
func danglingFilter(e *env) {
	for _, b := range []string{"s3/a", "s3/b", "gcs/a"} {
		ev := upload(b)
		ev.Backend, ev.Bucket = b[:len(b)-2], b[len(b)-1:]
		e.begin(ev, e.short())
	}
	e.expire()
	find := func(backend, bucket string) []string {
		var keys []string
		for _, in := range e.dangling(audit.DanglingQuery{Backend: backend, Bucket: bucket}) {
			keys = append(keys, in.Event().Key)
		}
		return keys
	}
	assert.Empty(e, find("gcs", "b"))
	assert.Empty(e, find("S3", ""), "byte for byte")
	assert.Equal(e, []string{"s3/b"}, find("s3", "b"))
	assert.Equal(e, []string{"s3/a"}, find("s3", ""))
	assert.Equal(e, []string{"gcs/a"}, find("", "a"))
}

// The loop MUST be able to settle its intents and to use the journal without a
// deadlock.
func danglingSettleInLoop(e *env) {
	const n = 5
	for i := range n {
		e.begin(upload(fmt.Sprint(i)), e.short())
	}
	e.expire()
	seen := 0
	for in, err := range e.j.Dangling(e.ctx, audit.DanglingQuery{Lease: long}) {
		require.NoError(e, err)
		require.NoError(e, in.Renew(e.ctx, long))
		require.NoError(e, in.Settle(e.ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler}))
		require.NoError(e, e.j.Log(e.ctx, audit.Event{Action: audit.ActionReconcile, RefOpID: in.OpID()}))
		seen++
	}
	assert.Equal(e, n, seen)
	assert.Len(e, e.entries(audit.Query{}), 2*n)
	e.wantOpen(0)
}

// If a holder settles its intent during the loop, the loop MUST NOT yield it as
// open. Either the loop skips it, or the holder has lost it.
func danglingSettledMeanwhile(e *env) {
	var held []audit.Intent
	for i := range 4 {
		held = append(held, e.begin(upload(fmt.Sprint(i)), e.short()))
	}
	e.expire()
	first := true
	for in, err := range e.j.Dangling(e.ctx, audit.DanglingQuery{Lease: long}) {
		require.NoError(e, err)
		if first {
			first = false
			require.ErrorIs(e, held[0].Settle(e.ctx, ok), audit.ErrNotHeld)
			for _, late := range held[1:] {
				require.NoError(e, late.Settle(e.ctx, ok), "not reached, so not taken over")
			}
		}
		require.Equal(e, held[0].OpID(), in.OpID(), "settled already")
		require.NoError(e, in.Settle(e.ctx, ok))
	}
	assert.Len(e, e.entries(audit.Query{}), 4)
	e.wantOpen(0)
}

// Of concurrent reconcilers, exactly one MUST get each intent, and together
// they MUST get all of them.
func danglingConcurrent(e *env) {
	const n, reconcilers = 24, 6
	for i := range n {
		e.begin(upload(fmt.Sprint(i)), e.short())
	}
	e.expire()
	handles := []Journal{e.j, e.second()}
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for i := range reconcilers {
		wg.Go(func() {
			for in, err := range handles[i%2].Dangling(e.ctx, audit.DanglingQuery{Lease: long}) {
				if !assert.NoError(e, err) {
					return
				}
				mu.Lock()
				got[in.OpID()]++
				mu.Unlock()
				assert.NoError(e, in.Settle(e.ctx, audit.Result{Outcome: audit.OutcomeUnknown, SettledBy: audit.SettledByReconciler}))
			}
		})
	}
	wg.Wait()
	assert.Len(e, got, n, "intents that were given out")
	for id, times := range got {
		assert.Equal(e, 1, times, id)
	}
	assert.Len(e, e.entries(audit.Query{}), n)
	e.wantOpen(0)
}

// A process MUST be able to settle the intent of another process. The entry is
// then in the log of the settling process.
func danglingOtherHandle(e *env) {
	e.log(upload("mine"))
	in := e.begin(upload("left"), e.short())
	e.expire()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	other := e.second()
	n := 0
	for got, err := range other.Dangling(ctx, audit.DanglingQuery{Lease: long}) {
		require.NoError(e, err)
		require.Equal(e, in.OpID(), got.OpID())
		require.NoError(e, got.Settle(ctx, ok))
		n++
	}
	require.Equal(e, 1, n)
	require.ErrorIs(e, in.Settle(e.ctx, ok), audit.ErrNotHeld)
	got := e.entries(audit.Query{})
	require.Equal(e, []string{"mine", "left"}, keysOf(got))
	if e.h.Shared {
		assert.NotEqual(e, got[0].WriterID, got[1].WriterID, "two processes, two streams")
	}
}
