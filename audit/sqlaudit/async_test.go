package sqlaudit_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestAsync(t *testing.T) { onEach(t, testAsync) }

func testAsync(t *testing.T, s *system) {
	j, db := s.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, Timeout: time.Second, MaxBatch: 32})
	release := db.block(t)
	var want []string
	for i := range 300 {
		require.NoError(t, j.Log(t.Context(), event(fmt.Sprint(i))))
		want = append(want, fmt.Sprint(i))
	}
	assert.Zero(t, db.count(t, "file_access_logs"), "acknowledged before it is stored")
	// Callers that change something wait, and fail at their deadline.
	_, err := j.Begin(t.Context(), event("begun"), 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// Records that can never be stored fail too.
	require.ErrorIs(t, j.Log(t.Context(), audit.Event{Action: "No Such"}), audit.ErrEvent)
	release() // after the time limit has passed
	in, err := begin(t, j)
	require.NoError(t, err)
	wait(t, "it is settled, though a second may be short", func() bool {
		return in.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK}) == nil
	})
	require.NoError(t, j.Close(t.Context()))
	require.ErrorIs(t, j.Log(t.Context(), event("late")), audit.ErrClosed)

	other, _ := openDSN(t, db.dsn, nil)
	got := entries(t, other, audit.Query{})
	requireWholeStreams(t, got)
	stored := slices.DeleteFunc(keys(got), func(key string) bool { return key == "begun" })
	assert.Equal(t, want, stored, "each once, in the order they came")
}

// begin retries until the database responds again.
func begin(t *testing.T, j *sqlaudit.Journal) (in audit.Intent, err error) {
	t.Helper()
	wait(t, "work goes on", func() bool {
		in, err = j.Begin(context.Background(), event("begun"), 0)
		return err == nil
	})
	return in, err
}

func TestAsyncBlocksWhenFull(t *testing.T) { onEach(t, testAsyncBlocksWhenFull) }

func testAsyncBlocksWhenFull(t *testing.T, s *system) {
	j, db := s.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, QueueLength: 5})
	release := db.block(t)
	require.NoError(t, j.Log(t.Context(), event("flushing")))
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	for range 5 {
		require.NoError(t, j.Log(t.Context(), event("queued")))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, j.Log(ctx, event("too many")), context.DeadlineExceeded)
	blocked := make(chan error, 1)
	go func() { blocked <- j.Log(context.Background(), event("patient")) }()
	release()
	require.NoError(t, <-blocked)
	require.NoError(t, j.Close(t.Context()))
	assert.Equal(t, 7, db.count(t, "file_access_logs"))
	assert.Zero(t, db.count(t, "file_access_logs WHERE file_key = 'too many'"))
}

func TestAsyncCloseReturnsWhatIsLost(t *testing.T) { onEach(t, testAsyncCloseReturnsWhatIsLost) }

func testAsyncCloseReturnsWhatIsLost(t *testing.T, s *system) {
	j, db := s.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, MaxBatch: 3})
	require.NoError(t, j.Log(t.Context(), event("stored")))
	wait(t, "the first is stored", func() bool { return db.count(t, "file_access_logs") == 1 })
	release := db.block(t)
	var want []string
	for i := range 10 {
		require.NoError(t, j.Log(t.Context(), event(fmt.Sprint(i))))
		want = append(want, fmt.Sprint(i))
	}
	wait(t, "a flush begins", func() bool { return sqlaudit.Waiting(j) < 10 && sqlaudit.Flushing(j) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := j.Close(ctx)
	var unstored *sqlaudit.UnstoredError
	require.ErrorAs(t, err, &unstored)
	var lost []string
	for _, e := range unstored.Events {
		lost = append(lost, e.Key)
	}
	assert.Equal(t, want, lost, "what was under way, and what waited")
	release()
	assert.Equal(t, 1, db.count(t, "file_access_logs"))
}

// If the driver ignores its context, the outcome of its statement is unknown.
func TestAsyncCloseReturnsWhatIsStuck(t *testing.T) {
	dsn := sqliteSystem.dsn(t)
	first, db := openDSN(t, dsn, nil)
	require.NoError(t, first.Close(t.Context()))
	stuck := make(chan struct{})
	pool := sqlx.NewDb(sql.OpenDB(stuckConnector{"file:" + strings.TrimPrefix(dsn, "sqlite:") + "?_pragma=busy_timeout(5000)", db.Driver(), stuck}), "sqlite")
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	j, err := sqlaudit.New(t.Context(), pool.DB, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, Logger: quiet, SkipMigrate: true})
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), event("stuck")))
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	require.NoError(t, j.Log(t.Context(), event("queued")))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = j.Close(ctx)
	close(stuck)
	var unstored *sqlaudit.UnstoredError
	require.ErrorAs(t, err, &unstored)
	require.Len(t, unstored.Events, 2)
	assert.Equal(t, []string{"stuck", "queued"}, []string{unstored.Events[0].Key, unstored.Events[1].Key})
	wait(t, "the flush ends", func() bool { return !sqlaudit.Flushing(j) })
}

// stuckConnector creates SQLite connections whose commits wait for a signal.
type stuckConnector struct {
	dsn string
	d   driver.Driver
	let <-chan struct{}
}

func (c stuckConnector) Driver() driver.Driver { return c.d }

func (c stuckConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.d.Open(c.dsn)
	return stuckConn{conn.(sqliteConn), c.let}, err
}

type stuckConn struct {
	sqliteConn
	let <-chan struct{}
}

func (c stuckConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	return stuckTx{tx, c.let}, err
}

type stuckTx struct {
	driver.Tx
	let <-chan struct{}
}

func (tx stuckTx) Commit() error {
	<-tx.let
	return tx.Tx.Commit()
}

func TestAsyncRecordsItsGaps(t *testing.T) { onEach(t, testAsyncRecordsItsGaps) }

func testAsyncRecordsItsGaps(t *testing.T, s *system) {
	var log strings.Builder
	j, db := s.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, Logger: textLogger(&log)})
	db.poison(t, "poison")
	last := time.Date(2024, 5, 1, 13, 0, 0, 0, time.UTC)
	release := db.block(t)
	for i := range 40 {
		e := event(fmt.Sprint(i))
		if i%13 == 1 {
			e.Key, e.OccurredAt = "poison", last.Add(-time.Duration(i)*time.Minute+time.Minute)
		}
		require.NoError(t, j.Log(t.Context(), e))
	}
	release()
	require.NoError(t, j.Close(t.Context()))
	other, _ := openDSN(t, db.dsn, nil)
	var lost int
	var from, to []string
	stored := 0
	for _, e := range entries(t, other, audit.Query{}) {
		if e.Action != audit.ActionGap {
			stored++
			continue
		}
		n := 0
		_, err := fmt.Sscan(e.Attrs["entries"], &n)
		require.NoError(t, err)
		lost += n
		from, to = append(from, e.Attrs["from"]), append(to, e.Attrs["to"])
		assert.Equal(t, audit.OutcomeFailed, e.Outcome)
	}
	assert.Equal(t, 37, stored)
	assert.Equal(t, 3, lost)
	assert.Equal(t, last.Add(-26*time.Minute).Format("2006-01-02T15:04:05.000000Z"), slices.Min(from))
	assert.Equal(t, last.Format("2006-01-02T15:04:05.000000Z"), slices.Max(to))
	assert.Contains(t, log.String(), "lost an acknowledged entry")
}

// With synchronous and asynchronous callers, every entry is stored exactly
// once.
func TestAsyncAndOtherCallersTogether(t *testing.T) { onEach(t, testAsyncBesideOthers) }

func testAsyncBesideOthers(t *testing.T, s *system) {
	j, db := s.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued, MaxBatch: 16, QueueLength: 32})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				assert.NoError(t, j.Log(context.Background(), event("k")))
				in, err := j.Begin(context.Background(), event("k"), 0)
				if assert.NoError(t, err) {
					assert.NoError(t, in.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK}))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, j.Close(t.Context()))
	assert.Equal(t, 2*16*20, db.count(t, "file_access_logs"))
	assert.Zero(t, db.count(t, "file_access_intents"))
}

// Purge and Erase wait for their records even in this mode.
func TestAsyncErasesNothingUnrecorded(t *testing.T) {
	j, db := sqliteSystem.open(t, &sqlaudit.Options{Acknowledge: sqlaudit.WhenQueued})
	n, err := j.Erase(officer, audit.Query{UserID: "nobody"})
	require.NoError(t, err, "though nothing was stored before")
	assert.Zero(t, n)
	assert.Equal(t, 2, db.count(t, "file_access_logs"))

	require.NoError(t, j.Log(t.Context(), event("k")))
	wait(t, "the entry is stored", func() bool { return db.count(t, "file_access_logs") == 3 })
	db.exec(t, "CREATE TRIGGER unrecorded BEFORE INSERT ON file_access_logs WHEN NEW.action IN ('erase', 'purge') BEGIN SELECT RAISE(ABORT, 'unrecorded'); END")
	_, err = j.Erase(officer, audit.Query{UserID: "u-1"})
	require.ErrorIs(t, err, audit.ErrEvent)
	_, err = j.Purge(officer, sqlaudit.PurgeOptions{Before: time.Now()})
	require.ErrorIs(t, err, audit.ErrEvent)
	assert.Equal(t, 1, db.count(t, "file_access_logs WHERE user_id = 'u-1'"), "it is there, and whole")
}

func TestUnknownAcknowledgmentIsRefused(t *testing.T) {
	for _, a := range []sqlaudit.Acknowledgment{-1, 3} {
		_, err := sqlaudit.Open(t.Context(), "sqlite::memory:", &sqlaudit.Options{Acknowledge: a})
		require.ErrorContains(t, err, "invalid Options.Acknowledge")
	}
}
