package sqlaudit_test

import (
	"context"
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

// ledger contains the results that callers received, to compare with the trail.
type ledger struct {
	acknowledged sync.Map // keys of entries
	effects      sync.Map // operations that were begun, and then done

	stored, refused atomic.Int64
	longest         atomic.Int64 // the longest duration of a call, in nanoseconds
}

// work records one event. Every second event has an intent first. Each call
// must end within the limit.
func (l *ledger) work(j *sqlaudit.Journal, i int, e audit.Event, limit time.Duration) error {
	call := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		began := time.Now()
		err := do(ctx)
		took := int64(time.Since(began))
		for most := l.longest.Load(); took > most && !l.longest.CompareAndSwap(most, took); most = l.longest.Load() {
		}
		return err
	}
	err := func() error {
		if i%2 == 0 {
			return call(func(ctx context.Context) error { return j.Log(ctx, e) })
		}
		var in audit.Intent
		if err := call(func(ctx context.Context) (err error) {
			in, err = j.Begin(ctx, e, 0)
			return err
		}); err != nil {
			return err
		}
		l.effects.Store(in.OpID(), true)
		return call(func(ctx context.Context) error { return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) })
	}()
	if err != nil {
		l.refused.Add(1)
		return err
	}
	l.acknowledged.Store(e.Key, true)
	l.stored.Add(1)
	return nil
}

// check compares the trail with the results that callers received, and returns
// a summary. The callers' keys are unique.
func (l *ledger) check(t *testing.T, j *sqlaudit.Journal, db *raw) string {
	t.Helper()
	recorded, counts := make(map[string]bool), make(map[string]int)
	var open []string // before the entries, because some may be settled right now
	require.NoError(t, db.Select(&open, "SELECT op_id FROM file_access_intents"))
	for _, id := range open {
		recorded[id] = true
	}
	list := entries(t, j, audit.Query{})
	for _, e := range list {
		counts[e.Key]++
		recorded[e.OpID] = true
	}
	total, lost, twice, unrecorded := 0, 0, 0, 0
	l.acknowledged.Range(func(key, _ any) bool {
		total++
		if counts[key.(string)] == 0 {
			lost++
		}
		return true
	})
	for _, n := range counts {
		twice += n - 1
	}
	l.effects.Range(func(id, _ any) bool {
		if !recorded[id.(string)] {
			unrecorded++
		}
		return true
	})
	assert.Zero(t, lost, "entries that were acknowledged and are not there")
	assert.Zero(t, twice, "entries that are there twice")
	assert.Zero(t, unrecorded, "effects without a record")
	requireWholeStreams(t, list)
	return fmt.Sprintf("%d acknowledged, %d lost, %d twice, %d effects without a record", total, lost, twice, unrecorded)
}
