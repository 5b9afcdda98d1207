package sqlaudit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

func TestQueryFilters(t *testing.T) { onEach(t, testQueryFilters) }

func testQueryFilters(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	var memory audit.Memory
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	op := uuid.NewString()
	events := []audit.Event{
		{Key: "a", OpID: op, OccurredAt: noon, Actor: audit.Actor{UserID: "u1", TenantID: "t1"}, Resource: audit.Resource{Type: "invoice", ID: "1"}},
		{Key: "b", RefOpID: op, OccurredAt: noon.Add(time.Microsecond), Actor: audit.Actor{UserID: "u2", TenantID: "t1"}, Resource: audit.Resource{Type: "invoice", ID: "2"}},
		{Key: "c", OccurredAt: noon.Add(time.Hour), Actor: audit.Actor{UserID: "u1", TenantID: "t2"}, Resource: audit.Resource{Type: "order", ID: "1"}, GrantID: "g"},
		{Key: "a", OccurredAt: noon.Add(-time.Hour), Action: audit.ActionDelete, Outcome: audit.OutcomeDenied},
		{Key: "A ", OccurredAt: noon.Add(2 * time.Hour), Action: audit.ActionDownload, Outcome: audit.OutcomeFailed, GrantID: "g"},
	}
	for _, e := range events {
		if e.Action == "" {
			e.Action = audit.ActionUpload
		}
		if e.OpID == "" {
			e.OpID = uuid.NewString()
		}
		require.NoError(t, j.Log(t.Context(), e))
		require.NoError(t, memory.Log(t.Context(), e))
	}
	for name, tc := range map[string]struct {
		q    audit.Query
		want int
	}{
		"all":              {audit.Query{}, 5},
		"user":             {audit.Query{UserID: "u1"}, 2},
		"tenant":           {audit.Query{TenantID: "t1"}, 2},
		"resource type":    {audit.Query{Resource: audit.Resource{Type: "invoice"}}, 2},
		"resource":         {audit.Query{Resource: audit.Resource{Type: "invoice", ID: "2"}}, 1},
		"resource id":      {audit.Query{Resource: audit.Resource{ID: "1"}}, 2},
		"key":              {audit.Query{Key: "a"}, 2},
		"key, other case":  {audit.Query{Key: "A"}, 0},
		"key with space":   {audit.Query{Key: "A "}, 1},
		"operation":        {audit.Query{OpID: op}, 2},
		"no operation":     {audit.Query{OpID: "nonsense"}, 0},
		"grant":            {audit.Query{GrantID: "g"}, 2},
		"actions":          {audit.Query{Actions: []audit.Action{audit.ActionDelete, audit.ActionDownload}}, 2},
		"outcomes":         {audit.Query{Outcomes: []audit.Outcome{audit.OutcomeDenied}}, 1},
		"from":             {audit.Query{From: noon}, 4},
		"from, nanosecond": {audit.Query{From: noon.Add(1)}, 3},
		"to":               {audit.Query{To: noon}, 1},
		"to, nanosecond":   {audit.Query{To: noon.Add(1)}, 2},
		"zone":             {audit.Query{From: noon.In(time.FixedZone("", 3600))}, 4},
		"several":          {audit.Query{Key: "a", UserID: "u1", From: noon, Actions: []audit.Action{audit.ActionUpload}}, 1},
		"injection":        {audit.Query{UserID: "' OR 1=1 --"}, 0},
		"newest":           {audit.Query{NewestFirst: true}, 5},
		"newest, limited":  {audit.Query{NewestFirst: true, Limit: 2}, 2},
		"limited":          {audit.Query{Limit: 3}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			got := entries(t, j, tc.q)
			assert.Len(t, got, tc.want)
			assert.Equal(t, keys(entries(t, &memory, tc.q)), keys(got), "as the reference has it")
		})
	}
}

func TestPages(t *testing.T) { onEach(t, testPages) }

func testPages(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	const n = 1203
	in, err := j.Begin(t.Context(), event("0"), 0)
	require.NoError(t, err)
	also := make([]audit.Event, n-1)
	for i := range also {
		also[i] = event(fmt.Sprint(i + 1))
	}
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	assert.Equal(t, want, keys(entries(t, j, audit.Query{})))
	reversed := slices.Clone(want)
	slices.Reverse(reversed)
	assert.Equal(t, reversed, keys(entries(t, j, audit.Query{NewestFirst: true})))
	for name, newest := range map[string]bool{"oldest first": false, "newest first": true} {
		t.Run(name, func(t *testing.T) {
			var got []string
			q := audit.Query{Limit: 100, NewestFirst: newest}
			for {
				page := entries(t, j, q)
				got = append(got, keys(page)...)
				if len(page) < q.Limit {
					break
				}
				q.After = page[len(page)-1].ID
			}
			assert.Len(t, got, n)
			slices.Sort(got)
			assert.Len(t, slices.Compact(got), n)
		})
	}
	t.Run("exactly one page", func(t *testing.T) {
		assert.Len(t, entries(t, j, audit.Query{Limit: 500}), 500)
		assert.Len(t, entries(t, j, audit.Query{Limit: 501}), 501)
	})
	t.Run("stopped early", func(t *testing.T) {
		for range j.Entries(t.Context(), audit.Query{}) {
			break
		}
	})
	t.Run("bad cursor", func(t *testing.T) {
		for _, err := range j.Entries(t.Context(), audit.Query{After: "x"}) {
			require.ErrorContains(t, err, "Query.After")
		}
		for _, err := range j.Entries(t.Context(), audit.Query{Limit: -1}) {
			require.ErrorContains(t, err, "Query.Limit")
		}
	})
}
