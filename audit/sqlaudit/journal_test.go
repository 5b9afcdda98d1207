package sqlaudit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestLogStoresEveryField(t *testing.T) { onEach(t, testLogStoresEveryField) }

func testLogStoresEveryField(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	size := int64(1 << 40)
	want := event("invoices/ü.pdf")
	want.OpID, want.RefOpID = uuid.NewString(), uuid.NewString()
	want.OccurredAt = time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	want.Outcome, want.ErrorCode = audit.OutcomeFailed, "too_large"
	want.GrantID, want.Size, want.SHA256, want.ContentType = "g-1", &size, make([]byte, 32), "application/pdf"
	want.Attrs = map[string]string{"filename": "Rechnung \"März\".pdf", "\U0001F4C4": "x", "\uE000": "y"}

	before := time.Now().UTC().Truncate(time.Microsecond)
	require.NoError(t, j.Log(t.Context(), want))
	got := entries(t, j, audit.Query{})
	require.Len(t, got, 1)
	assert.Equal(t, want, got[0].Event)
	assert.Equal(t, audit.SettledByWriter, got[0].SettledBy)
	assert.Equal(t, sqlaudit.WriterID(j), got[0].WriterID)
	assert.Zero(t, got[0].Seq)
	assert.False(t, got[0].CreatedAt.Before(before))
	id, err := uuid.Parse(got[0].ID)
	require.NoError(t, err)
	assert.EqualValues(t, 7, id.Version())
}

func TestLogLeavesUnknownFieldsNull(t *testing.T) { onEach(t, testLogLeavesUnknownFieldsNull) }

func testLogLeavesUnknownFieldsNull(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	require.NoError(t, j.Log(t.Context(), audit.Event{Action: audit.ActionDelete}))
	assert.Equal(t, 1, db.count(t, `file_access_logs WHERE ref_op_id IS NULL AND user_id IS NULL AND ip_address IS NULL AND user_agent IS NULL
		AND request_id IS NULL AND tenant_id IS NULL AND resource_type IS NULL AND resource_id IS NULL AND file_key IS NULL AND storage_backend IS NULL
		AND bucket IS NULL AND grant_id IS NULL AND size IS NULL AND sha256 IS NULL AND content_type IS NULL AND error_code IS NULL AND attrs IS NULL`))
	got := entries(t, j, audit.Query{})
	assert.Equal(t, audit.OutcomeOK, got[0].Outcome)
	assert.Nil(t, got[0].Size)
	assert.Nil(t, got[0].Attrs)
}

func TestHostileTextIsStored(t *testing.T) { onEach(t, testHostileTextIsStored) }

func testHostileTextIsStored(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	e := event("a\x00b\xffc\u202Ed")
	e.Actor.UserAgent = strings.Repeat("ä\x00", 9000)
	e.Attrs = map[string]string{"n\x00": "v\xfe"}
	require.NoError(t, j.Log(t.Context(), e))
	want, err := audit.PrepareLog(t.Context(), e)
	require.NoError(t, err)
	assert.Equal(t, want.Key, entries(t, j, audit.Query{Key: want.Key})[0].Key)
}

func TestBadEventsAreRefused(t *testing.T) { onEach(t, testBadEventsAreRefused) }

func testBadEventsAreRefused(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	for name, e := range map[string]audit.Event{
		"no action":     {},
		"bad op id":     {Action: audit.ActionUpload, OpID: "x"},
		"year 0":        {Action: audit.ActionUpload, OccurredAt: time.Date(0, 5, 1, 0, 0, 0, 0, time.UTC)},
		"year 10000":    {Action: audit.ActionUpload, OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"short digest":  {Action: audit.ActionUpload, SHA256: []byte{1}},
		"negative size": {Action: audit.ActionUpload, Size: new(int64(-1))},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, j.Log(t.Context(), e), audit.ErrEvent)
			_, err := j.Begin(t.Context(), e, 0)
			require.ErrorIs(t, err, audit.ErrEvent)
		})
	}
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	require.ErrorIs(t, in.Settle(t.Context(), audit.Result{}), audit.ErrEvent)
	require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK, SettledBy: "me"}), audit.ErrEvent)
	require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, audit.Event{}), audit.ErrEvent)
	assert.Zero(t, db.count(t, "file_access_logs"))
	assert.Equal(t, 1, db.count(t, "file_access_intents"))
}

func TestSettleReplacesTheIntentByItsEntries(t *testing.T) {
	onEach(t, testSettleReplacesTheIntentByItsEntries)
}

func testSettleReplacesTheIntentByItsEntries(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	e := event("a.pdf")
	e.Attrs = map[string]string{"filename": "a"}
	in, err := j.Begin(t.Context(), e, 0)
	require.NoError(t, err)
	assert.Equal(t, in.OpID(), in.Event().OpID)
	assert.Equal(t, 1, db.count(t, "file_access_intents WHERE op_id = ? AND file_key = 'a.pdf' AND storage_backend = 'local' AND bucket = 'files'", in.OpID()))
	assert.Empty(t, entries(t, j, audit.Query{}))

	size := int64(3)
	also := event("b.pdf")
	also.RefOpID = in.OpID()
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK, Size: &size, Attrs: map[string]string{"prior": "present"}}, also))
	assert.Zero(t, db.count(t, "file_access_intents"))
	got := entries(t, j, audit.Query{OpID: in.OpID()})
	require.Equal(t, []string{"a.pdf", "b.pdf"}, keys(got))
	assert.Equal(t, map[string]string{"filename": "a", "prior": "present"}, got[0].Attrs)
	assert.Equal(t, size, *got[0].Size)

	require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrNotHeld)
	require.ErrorIs(t, in.Renew(t.Context(), 0), audit.ErrNotHeld)
	assert.Equal(t, 2, db.count(t, "file_access_logs"))
}

func TestOneOfManySettlementsWins(t *testing.T) { onEach(t, testOneOfManySettlementsWins) }

func testOneOfManySettlementsWins(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			require.ErrorIs(t, err, audit.ErrNotHeld)
		}
	}
	assert.Equal(t, 1, won)
	assert.Equal(t, 1, db.count(t, "file_access_logs"))
}

func TestAnOperationIsOpenOnce(t *testing.T) { onEach(t, testAnOperationIsOpenOnce) }

func testAnOperationIsOpenOnce(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	e := event("k")
	e.OpID = uuid.NewString()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = j.Begin(t.Context(), e, 0) })
	}
	wg.Wait()
	begun := 0
	for _, err := range errs {
		if err == nil {
			begun++
		} else {
			require.ErrorIs(t, err, audit.ErrEvent)
			require.ErrorContains(t, err, "is already open")
		}
	}
	assert.Equal(t, 1, begun)
	assert.Equal(t, 1, db.count(t, "file_access_intents"))
}

// A duplicate in a batch must not fail the other records.
func TestConflictsFailAlone(t *testing.T) { onEach(t, testConflictsFailAlone) }

func testConflictsFailAlone(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	lost, err := j.Begin(t.Context(), event("lost"), 0)
	require.NoError(t, err)
	_, err = j.Claim(t.Context(), lost.OpID(), time.Minute, nil)
	require.NoError(t, err)

	release := db.block(t)
	results := make(chan error, 20)
	go func() { results <- j.Log(context.Background(), event("first")) }()
	wait(t, "the first is on its way", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	for i := range 17 {
		go func() { results <- j.Log(context.Background(), event(fmt.Sprint(i))) }()
	}
	go func() { results <- lost.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK}) }()
	go func() {
		_, err := j.Begin(context.Background(), lost.Event(), 0)
		results <- err
	}()
	wait(t, "a batch of 19 gathers behind it", func() bool { return sqlaudit.Waiting(j) == 19 })
	release()
	var notHeld, duplicate int
	for range 20 {
		switch err := <-results; {
		case errors.Is(err, audit.ErrNotHeld):
			notHeld++
		case errors.Is(err, audit.ErrEvent):
			duplicate++
		default:
			require.NoError(t, err)
		}
	}
	assert.Equal(t, 1, notHeld)
	assert.Equal(t, 1, duplicate)
	got := entries(t, j, audit.Query{})
	assert.Len(t, got, 18)
	requireWholeStreams(t, got)
}

func TestManyCallers(t *testing.T) { onEach(t, testManyCallers) }

func testManyCallers(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	const callers, each = 64, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				in, err := j.Begin(t.Context(), event(fmt.Sprintf("%d/%d", c, i)), 0)
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
				assert.NoError(t, j.Log(t.Context(), event(fmt.Sprintf("%d/%d/log", c, i))))
			}
		})
	}
	wg.Wait()
	got := entries(t, j, audit.Query{})
	assert.Len(t, got, 2*callers*each)
	requireWholeStreams(t, got)
	assert.Zero(t, db.count(t, "file_access_intents"))
	assert.Equal(t, 1, db.count(t, "file_access_writers WHERE writer_id = ?", sqlaudit.WriterID(j)))
}

func TestReadingAddsNoWriter(t *testing.T) { onEach(t, testReadingAddsNoWriter) }

func testReadingAddsNoWriter(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	assert.Empty(t, entries(t, j, audit.Query{}))
	assert.Zero(t, db.count(t, "file_access_writers"))
}

func TestSettlementLargerThanABatch(t *testing.T) { onEach(t, testSettlementLargerThanABatch) }

func testSettlementLargerThanABatch(t *testing.T, s *system) {
	j, _ := s.open(t, &sqlaudit.Options{MaxBatch: 8})
	in, err := j.Begin(t.Context(), event("k"), 0)
	require.NoError(t, err)
	also := make([]audit.Event, 100)
	for i := range also {
		also[i] = event(fmt.Sprint(i))
	}
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
	got := entries(t, j, audit.Query{})
	assert.Len(t, got, 101)
	requireWholeStreams(t, got)
}
