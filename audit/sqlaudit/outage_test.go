package sqlaudit_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var outage = flag.Duration("sqlaudit.outage", time.Second, "how long the tests of outages stop the database; in full, 10s")

// This test causes an outage under 64 callers. No operation takes effect
// without a record. Every call returns by its deadline. Acknowledged entries
// exist exactly once, and work continues automatically. SQLite cannot be
// stopped, so another process holds the file's lock instead.
func TestOutage(t *testing.T) {
	opts := &sqlaudit.Options{Timeout: 5 * time.Second}
	t.Run("sqlite/locked", func(t *testing.T) {
		t.Parallel()
		j, db := sqliteSystem.open(t, opts)
		var release func()
		testOutage(t, j, db, func() { release = db.block(t) }, func() { release() })
	})
	for name, start := range map[string]func(testing.TB) *testdb.Server{"postgres": testdb.OwnPostgres, "mariadb": testdb.OwnMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			dsn := server.New(t)
			t.Run("stopped", func(t *testing.T) {
				j, db := openDSN(t, dsn, opts)
				testOutage(t, j, db, server.Shutdown, func() { server.Start(t) })
			})
			t.Run("killed", func(t *testing.T) {
				j, db := openDSN(t, dsn, opts)
				testOutage(t, j, db, server.Kill, func() { server.Start(t) })
			})
			t.Run("hung", func(t *testing.T) {
				head, rest, _ := strings.Cut(dsn, "@")
				address, tail, _ := strings.Cut(rest, "/")
				p := newProxy(t, address)
				j, _ := openDSN(t, head+"@"+p.address+"/"+tail, opts)
				testOutage(t, j, newRaw(t, dsn), func() { p.hung.Store(true) }, p.resume)
			})
		})
	}
}

func testOutage(t *testing.T, j *sqlaudit.Journal, db *raw, begin, end func()) {
	const callers, limit, slack = 64, 500 * time.Millisecond, 2 * time.Second // the machine may be busy
	prefix := strings.ReplaceAll(t.Name(), "/", "-") + "-"
	var l ledger
	var stop atomic.Bool
	var last atomic.Int64 // time of the last acknowledged entry
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if l.work(j, i, event(fmt.Sprintf("%s%d/%d", prefix, c, i)), limit) == nil {
					last.Store(time.Now().UnixNano())
				}
			}
		})
	}
	// A caller that waits only for its deadline measures the delay of the
	// machine.
	var late atomic.Int64
	wg.Go(func() {
		for !stop.Load() {
			began := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			<-ctx.Done()
			cancel()
			late.Store(max(late.Load(), int64(time.Since(began)-limit)))
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	wait(t, "work is under way", func() bool { return last.Load() > 0 })
	begin()
	timer := time.NewTimer(*outage)
	<-timer.C
	failed := l.refused.Load()
	end()
	returned := time.Now()
	wait(t, "work goes on by itself", func() bool { return last.Load() > returned.UnixNano() })
	resumed := time.Since(returned)
	stop.Store(true)
	wg.Wait()

	longest := time.Duration(l.longest.Load())
	t.Logf("%v under %d callers: %s; %d calls failed; longest call %v of %v; resumed after %v",
		*outage, callers, l.check(t, j, db), failed, longest.Round(time.Millisecond), limit, resumed.Round(time.Millisecond))
	assert.Positive(t, failed, "the outage was felt")
	assert.Less(t, longest, limit+slack+2*time.Duration(late.Load()))
	assert.Less(t, resumed, time.Second+slack+2*time.Duration(late.Load()))
}
