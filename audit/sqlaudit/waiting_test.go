package sqlaudit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestAPoisonedEventFailsAlone(t *testing.T) { onEach(t, testAPoisonedEventFailsAlone) }

func testAPoisonedEventFailsAlone(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	db.poison(t, "poison")
	release := db.block(t)
	type result struct {
		key string
		err error
	}
	results := make(chan result, 33)
	// The neighboring jobs are difficult too.
	hostile := []string{"a\x00b", "\xff\xfe\xc3(", strings.Repeat("\u00e4\x00", 50_000), strings.Repeat("x", 1<<20), "\U0001F4C4 \uFFFF \u202E", "'; DROP TABLE file_access_logs; --"}
	log := func(key string) {
		e := event(key)
		text := hostile[len(key)*7%len(hostile)]
		e.Actor.UserAgent, e.Resource.ID, e.ContentType, e.ErrorCode = text, text, text, text
		e.Attrs = map[string]string{text: text}
		results <- result{key, j.Log(context.Background(), e)}
	}
	go log("first")
	wait(t, "the first is on its way", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	for i := range 32 {
		key := strings.Repeat("k", i)
		if i == 13 {
			key = "poison"
		}
		go log(key)
	}
	wait(t, "a batch of 32 gathers behind it", func() bool { return sqlaudit.Waiting(j) == 32 })
	release()
	stored := 0
	for range 33 {
		r := <-results
		if r.key == "poison" {
			require.ErrorIs(t, r.err, audit.ErrEvent)
			require.ErrorContains(t, r.err, "poisoned")
			continue
		}
		require.NoError(t, r.err, r.key)
		if r.key != "first" {
			stored++
		}
	}
	t.Logf("a batch with one poisoned event: %d of 32 stored", stored)
	got := entries(t, j, audit.Query{})
	assert.Len(t, got, 32)
	requireWholeStreams(t, got)
}

func TestCancelledCallersAreWithdrawn(t *testing.T) { onEach(t, testCancelledCallersAreWithdrawn) }

func testCancelledCallersAreWithdrawn(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	release := db.block(t)
	first := make(chan error, 1)
	go func() { first <- j.Log(context.Background(), event("first")) }()
	// The first job is in a flush as soon as the queue has room again.
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })

	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan error, 1)
	go func() { second <- j.Log(ctx, event("second")) }()
	wait(t, "the second waits", func() bool { return sqlaudit.Waiting(j) == 1 })
	cancel()
	require.ErrorIs(t, <-second, context.Canceled)
	assert.Zero(t, sqlaudit.Waiting(j))

	release()
	require.NoError(t, <-first)
	require.NoError(t, j.Log(t.Context(), event("third")))
	assert.Equal(t, []string{"first", "third"}, keys(entries(t, j, audit.Query{})))
}

func TestADoneContextStoresNothing(t *testing.T) { onEach(t, testADoneContextStoresNothing) }

func testADoneContextStoresNothing(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, j.Log(ctx, event("k")), context.Canceled)
	_, err = j.Begin(ctx, event("k"), 0)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}), context.Canceled)
	require.ErrorIs(t, in.Renew(ctx, 0), context.Canceled)
	_, err = j.Claim(ctx, in.OpID(), 0, nil)
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range j.Dangling(ctx, audit.DanglingQuery{}) {
		require.ErrorIs(t, err, context.Canceled)
	}
	for _, err := range j.Entries(ctx, audit.Query{}) {
		require.ErrorIs(t, err, context.Canceled)
	}
	assert.Zero(t, db.count(t, "file_access_logs"))
	assert.Equal(t, 1, db.count(t, "file_access_intents"))
}

func TestAHungDatabaseFailsCallersInTime(t *testing.T) {
	onEach(t, testAHungDatabaseFailsCallersInTime)
}

func testAHungDatabaseFailsCallersInTime(t *testing.T, s *system) {
	const limit = 300 * time.Millisecond
	j, db := s.open(t, &sqlaudit.Options{Timeout: limit, QueueLength: 4})
	in, err := begin(t, j)
	require.NoError(t, err)
	release := db.block(t)
	began := time.Now()
	type result struct {
		key string
		err error
	}
	results := make(chan result, 17)
	for i := range 16 {
		go func() { results <- result{fmt.Sprint(i), j.Log(context.Background(), event(fmt.Sprint(i)))} }()
	}
	go func() { results <- result{"", in.Renew(context.Background(), 0)} }()
	allowed := []string{"begun", "after"} // may be stored
	for range 17 {
		r := <-results
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		if strings.Contains(r.err.Error(), "not known whether") {
			allowed = append(allowed, r.key) // a server may notice late that the caller has left
		}
	}
	assert.Less(t, time.Since(began), 10*limit)
	assert.Less(t, len(allowed), 16, "most were never in a flush")
	release()

	// Work continues automatically, but a busy machine may need more than the
	// limit.
	wait(t, "work goes on", func() bool { return j.Log(context.Background(), event("after")) == nil })
	wait(t, "and what was begun is settled", func() bool { return in.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK}) == nil })
	reader, _ := openDSN(t, db.dsn, nil)
	got := entries(t, reader, audit.Query{})
	for _, key := range keys(got) {
		assert.Contains(t, allowed, key, "what failed was not stored")
	}
	assert.Contains(t, keys(got), "after")
	assert.Len(t, entries(t, reader, audit.Query{OpID: in.OpID()}), 1)
	requireWholeStreams(t, got)
}

func TestAFullQueueBlocksUntilTheContextEnds(t *testing.T) {
	onEach(t, testAFullQueueBlocksUntilTheContextEnds)
}

func testAFullQueueBlocksUntilTheContextEnds(t *testing.T, s *system) {
	j, db := s.open(t, &sqlaudit.Options{QueueLength: 1})
	release := db.block(t)
	results := make(chan error, 2)
	go func() { results <- j.Log(context.Background(), event("flushing")) }()
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	go func() { results <- j.Log(context.Background(), event("queued")) }()
	wait(t, "the queue is full", func() bool { return sqlaudit.Waiting(j) == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, j.Log(ctx, event("outside")), context.DeadlineExceeded)
	release()
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	assert.Equal(t, []string{"flushing", "queued"}, keys(entries(t, j, audit.Query{})))
}

func TestCloseDrains(t *testing.T) { onEach(t, testCloseDrains) }

func testCloseDrains(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	release := db.block(t)
	results := make(chan error, 40)
	log := func(key string) { results <- j.Log(context.Background(), event(key)) }
	go log("first")
	wait(t, "the first is on its way", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	for i := range 39 {
		go log(fmt.Sprint(i))
	}
	wait(t, "the others wait behind it", func() bool { return sqlaudit.Waiting(j) == 39 })
	closed := make(chan error, 1)
	go func() { closed <- j.Close(context.Background()) }()
	release()
	require.NoError(t, <-closed)
	stored := 0
	for range 40 {
		if err := <-results; err == nil {
			stored++
		} else {
			require.ErrorIs(t, err, audit.ErrClosed)
		}
	}
	assert.Equal(t, stored, db.count(t, "file_access_logs"))
	require.NoError(t, j.Close(t.Context()))
}

func TestCloseReturnsWhatWasNotStored(t *testing.T) { onEach(t, testCloseReturnsWhatWasNotStored) }

func testCloseReturnsWhatWasNotStored(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	db.block(t)
	results := make(chan error, 3)
	go func() { results <- j.Log(context.Background(), event("flushing")) }()
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	go func() { results <- j.Log(context.Background(), event("queued")) }()
	go func() {
		_, err := j.Begin(context.Background(), event("queued"), 0)
		results <- err
	}()
	wait(t, "two wait", func() bool { return sqlaudit.Waiting(j) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := j.Close(ctx)
	var unstored *sqlaudit.UnstoredError
	require.ErrorAs(t, err, &unstored)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Len(t, unstored.Events, 2)
	assert.Equal(t, "queued", unstored.Events[0].Key)
	for range 3 {
		require.Error(t, <-results)
	}
	assert.Zero(t, db.count(t, "file_access_logs"))
}

// A second Close waits for the first one only until its own context ends.
func TestCloseTwice(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	release := db.block(t)
	stored := make(chan error, 1)
	go func() { stored <- j.Log(context.Background(), event("k")) }()
	wait(t, "the flush begins", func() bool { return sqlaudit.Flushing(j) })
	first := make(chan error, 1)
	go func() { first <- j.Close(context.Background()) }()
	wait(t, "the journal closes", func() bool {
		_, err := j.OpenIntents(context.Background())
		return errors.Is(err, audit.ErrClosed)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, j.Close(ctx), context.DeadlineExceeded)
	release()
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, <-first)
	require.NoError(t, <-stored)
}

func TestClosedJournal(t *testing.T) { onEach(t, testClosedJournal) }

func testClosedJournal(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
	require.ErrorIs(t, j.Log(t.Context(), event("k")), audit.ErrClosed)
	_, err = j.Begin(t.Context(), event("k"), 0)
	require.ErrorIs(t, err, audit.ErrClosed)
	require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrClosed)
	require.ErrorIs(t, in.Renew(t.Context(), 0), audit.ErrClosed)
	_, err = j.Claim(t.Context(), in.OpID(), 0, nil)
	require.ErrorIs(t, err, audit.ErrClosed)
	for _, err := range j.Entries(t.Context(), audit.Query{}) {
		require.ErrorIs(t, err, audit.ErrClosed)
	}
	for _, err := range j.Dangling(t.Context(), audit.DanglingQuery{}) {
		require.ErrorIs(t, err, audit.ErrClosed)
	}
}

// If the first attempt to settle was stored but failed for its caller, the
// second one must find it and not report a lost lease.
func TestSettleAgainAfterAnUnknownOutcome(t *testing.T) { onEach(t, testSettleAgainAfterAnUnclearEnd) }

func testSettleAgainAfterAnUnclearEnd(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	release := db.block(t)
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() { first <- in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) }()
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	release()
	// The record is stored anyway, unless the caller left before the flush
	// checked which callers still wait.
	wait(t, "the flush ends", func() bool { return !sqlaudit.Flushing(j) })
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
	require.True(t, errors.Is(in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrNotHeld))
	assert.Equal(t, 1, db.count(t, "file_access_logs"))
}
