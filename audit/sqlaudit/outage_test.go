package sqlaudit_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var outage = flag.Duration("sqlaudit.outage", 2*time.Second, "how long the tests of outages stop the database")

// An outage under 64 callers: each call returns by its deadline, what was
// acknowledged is there, nothing is there twice, and work goes on by itself.
func TestOutage(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *testdb.Server{"postgres": testdb.OwnPostgres, "mariadb": testdb.OwnMariaDB} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			dsn := server.New(t)
			t.Run("stopped", func(t *testing.T) {
				j, _ := openDSN(t, dsn, &sqlaudit.Options{Timeout: 5 * time.Second})
				testOutage(t, j, server.Shutdown, func() { server.Start(t) })
			})
			t.Run("killed", func(t *testing.T) {
				j, _ := openDSN(t, dsn, &sqlaudit.Options{Timeout: 5 * time.Second})
				testOutage(t, j, server.Kill, func() { server.Start(t) })
			})
			t.Run("hung", func(t *testing.T) {
				head, rest, _ := strings.Cut(dsn, "@")
				address, tail, _ := strings.Cut(rest, "/")
				p := newProxy(t, address)
				j, _ := openDSN(t, head+"@"+p.address+"/"+tail, &sqlaudit.Options{Timeout: 5 * time.Second})
				testOutage(t, j, func() { p.hung.Store(true) }, p.resume)
			})
		})
	}
}

func testOutage(t *testing.T, j *sqlaudit.Journal, begin, end func()) {
	const limit, slack = 500 * time.Millisecond, 2 * time.Second // the machine may be busy
	prefix := strings.ReplaceAll(t.Name(), "/", "-") + "-"
	var stop atomic.Bool
	var acknowledged sync.Map
	var lastStored, failures atomic.Int64
	var late atomic.Int64 // the longest that a call took
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				key := fmt.Sprintf("%s%d/%d", prefix, c, i)
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				began := time.Now()
				var err error
				if i%2 == 0 {
					err = j.Log(ctx, event(key))
				} else {
					var in audit.Intent
					if in, err = j.Begin(ctx, event(key), 0); err == nil {
						err = in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK})
					}
				}
				late.Store(max(late.Load(), int64(time.Since(began))))
				cancel()
				if err == nil {
					acknowledged.Store(key, true)
					lastStored.Store(time.Now().UnixNano())
				} else {
					failures.Add(1)
				}
			}
		})
	}
	wait(t, "work is under way", func() bool { return lastStored.Load() > 0 })
	begin()
	timer := time.NewTimer(*outage)
	<-timer.C
	before := failures.Load()
	end()
	returned := time.Now()
	wait(t, "work goes on by itself", func() bool { return lastStored.Load() > returned.UnixNano() })
	resumed := time.Since(returned)
	stop.Store(true)
	wg.Wait()

	counts := make(map[string]int)
	list := entries(t, j, audit.Query{})
	for _, e := range list {
		counts[e.Key]++
	}
	lost, stored := 0, 0
	acknowledged.Range(func(key, _ any) bool {
		stored++
		if counts[key.(string)] == 0 {
			lost++
		}
		return true
	})
	twice := slices.ContainsFunc(list, func(e audit.Entry) bool { return counts[e.Key] > 1 })
	t.Logf("%d acknowledged, %d lost, %d failed; longest call %v; resumed after %v", stored, lost, before, time.Duration(late.Load()), resumed)
	assert.Zero(t, lost)
	assert.False(t, twice, "an entry is there twice")
	assert.Positive(t, before, "the outage was felt")
	assert.Less(t, time.Duration(late.Load()), limit+slack)
	assert.Less(t, resumed, time.Second+slack)
	requireWholeStreams(t, list)
}
