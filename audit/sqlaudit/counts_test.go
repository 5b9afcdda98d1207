package sqlaudit_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestCounts(t *testing.T) { onEach(t, testCounts) }

func testCounts(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	var events []audit.Event
	for i, at := range []string{
		"2024-12-31T22:59:59.999999Z", "2024-12-31T23:00:00Z", "2024-12-31T23:59:59.999999Z", "2025-01-01T00:00:00Z", "2025-01-01T00:30:00Z",
		"2025-01-31T23:59:59.999999Z", "2025-02-01T00:00:00Z", "2025-03-30T01:30:00Z", "2025-03-30T02:30:00Z", "9999-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
	} {
		e := event("k")
		var err error
		e.OccurredAt, err = time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		if i%3 == 1 {
			e.Action, e.Actor.UserID = audit.ActionDownload, "u-2"
		}
		if i%4 == 1 {
			e.Outcome = audit.OutcomeDenied
		}
		events = append(events, e)
		require.NoError(t, j.Log(t.Context(), e))
	}
	for name, tc := range map[string]struct {
		by       sqlaudit.Interval
		truncate func(time.Time) time.Time
	}{
		"ever":    {sqlaudit.Total, func(time.Time) time.Time { return time.Time{} }},
		"hourly":  {sqlaudit.PerHour, func(at time.Time) time.Time { return at.Truncate(time.Hour) }},
		"daily":   {sqlaudit.PerDay, func(at time.Time) time.Time { return at.Truncate(24 * time.Hour) }},
		"monthly": {sqlaudit.PerMonth, func(at time.Time) time.Time { return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC) }},
	} {
		for which, q := range map[string]audit.Query{
			"all": {}, "of a user": {UserID: "u-2"}, "of a time": {From: events[1].OccurredAt, To: events[6].OccurredAt},
			"none": {UserID: "nobody"},
		} {
			t.Run(name+" "+which, func(t *testing.T) {
				want := make(map[sqlaudit.Count]int64)
				for _, e := range events {
					if q.UserID != "" && e.Actor.UserID != q.UserID || !q.From.IsZero() && (e.OccurredAt.Before(q.From) || !e.OccurredAt.Before(q.To)) {
						continue
					}
					want[sqlaudit.Count{Start: tc.truncate(e.OccurredAt), Action: e.Action, Outcome: cmp.Or(e.Outcome, audit.OutcomeOK)}]++
				}
				list := []sqlaudit.Count{}
				for c, n := range want {
					c.Entries = n
					list = append(list, c)
				}
				slices.SortFunc(list, func(a, b sqlaudit.Count) int {
					return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Outcome, b.Outcome))
				})
				got, err := j.Counts(t.Context(), q, tc.by)
				require.NoError(t, err)
				assert.Equal(t, list, got)
			})
		}
	}
	_, err := j.Counts(t.Context(), audit.Query{}, 4)
	require.ErrorContains(t, err, "want Total")
	require.NoError(t, j.Close(t.Context()))
	_, err = j.Counts(t.Context(), audit.Query{}, sqlaudit.Total)
	require.ErrorIs(t, err, audit.ErrClosed)
}

// Exports in both formats contain exactly the entries of the database.
func TestExports(t *testing.T) { onEach(t, testExports) }

func testExports(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	for i := range 1100 { // more than two pages
		e := event(fmt.Sprintf("=%d, März", i))
		e.Attrs, e.Size = map[string]string{"filename": `"a"`}, new(int64(i))
		require.NoError(t, j.Log(t.Context(), e))
	}
	var all bytes.Buffer
	n, err := audit.WriteJSONL(&all, j.Entries(t.Context(), audit.Query{}))
	require.NoError(t, err)
	assert.EqualValues(t, 1100, n)
	assert.Equal(t, 1100, bytes.Count(all.Bytes(), []byte("\n")))
	for i := range 1100 {
		assert.Contains(t, all.String(), fmt.Sprintf(`"file_key":"=%d, März"`, i))
	}
	var some bytes.Buffer
	n, err = audit.WriteCSV(&some, j.Entries(t.Context(), audit.Query{Key: "=17, März"}))
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
	assert.Contains(t, some.String(), `,"'=17, März",`)
	assert.Contains(t, some.String(), `,17,`)
}
