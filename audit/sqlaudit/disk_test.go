package sqlaudit_test

// This file tests a disk that is full for some time.

import (
	"crypto/rand"
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

// TestPagesRunOut limits the pages of SQLite's file, like a quota.
func TestPagesRunOut(t *testing.T) {
	j, db := sqliteSystem.open(t, &sqlaudit.Options{Timeout: 5 * time.Second})
	write, _ := sqlaudit.Pools(j)
	limit := func(pages string) func() {
		return func() {
			_, err := write.Exec("PRAGMA max_page_count = " + pages)
			assert.NoError(t, err)
		}
	}
	var used int
	require.NoError(t, db.Get(&used, "PRAGMA page_count"))
	testFull(t, j, db, limit(fmt.Sprint(used+20)), limit("1000000"))
}

// testFull runs callers until the disk is full, and again after it has room.
func testFull(t *testing.T, j *sqlaudit.Journal, db *raw, full, free func()) {
	t.Helper()
	const callers, enough = 8, 100
	const refusals = 2 * callers // each may have to wait for a database that hangs
	var l ledger
	var stop atomic.Bool
	var once sync.Once
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				e := event(fmt.Sprintf("%d/%d", c, i))
				e.Attrs = map[string]string{"ballast": rand.Text() + fmt.Sprintf("%01500d", i)}
				if err := l.work(j, i, e, time.Minute); err != nil {
					assert.NotErrorIs(t, err, audit.ErrEvent, "it is not the event's fault")
					once.Do(func() { t.Log("refused with:", err) })
				}
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	until := func(what string, condition func() bool) {
		t.Helper()
		require.Eventually(t, condition, time.Minute, time.Millisecond, what)
	}
	until("work is under way", func() bool { return l.stored.Load() >= enough })
	full()
	until("the disk is full", func() bool { return l.refused.Load() >= refusals })
	before := l.stored.Load() // including the callers that still found room
	free()
	freed := time.Now()
	until("work goes on", func() bool { return l.stored.Load() > before })
	resumed := time.Since(freed)
	until("and on", func() bool { return l.stored.Load() >= before+enough })
	stop.Store(true)
	wg.Wait()

	t.Logf("%s; %d calls refused while it was full; went on without a restart after %v", l.check(t, j, db), l.refused.Load(), resumed.Round(time.Millisecond))
	report, err := j.Verify(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, report.Findings)
}
