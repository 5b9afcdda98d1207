package audittest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks the selection, the order and the pages of queries.

// minute returns the time of the nth entry of the queried trail.
func minute(n int) time.Time { return time.Date(2026, 5, 1, 12, n, 0, 0, time.UTC) }

func opID(n int) string { return fmt.Sprintf("0198f2e0-0000-7000-8000-%012d", n) }

// queried returns the trail of the query cases. Entry n has the key in the
// first column and occurred at minute n.
func queried() []audit.Event {
	type res = audit.Resource
	events := []audit.Event{
		0: {Key: "a", Actor: audit.Actor{UserID: "u1", TenantID: "t1"}, Resource: res{Type: "invoice", ID: "1"}, Action: audit.ActionUpload},
		1: {Key: "b", Actor: audit.Actor{UserID: "u2", TenantID: "t1"}, Resource: res{Type: "invoice", ID: "2"}, Action: audit.ActionDownload},
		2: {Key: "A", Actor: audit.Actor{UserID: "U1", TenantID: "T1"}, Resource: res{Type: "Invoice", ID: "1"}, Action: audit.ActionDownload, Outcome: audit.OutcomeDenied},
		3: {Key: "a", Actor: audit.Actor{UserID: "u1", TenantID: "t2"}, Resource: res{Type: "order", ID: "1"}, Action: audit.ActionDelete, RefOpID: opID(1)},
		4: {Key: "a ", Actor: audit.Actor{UserID: "u1 ", TenantID: "t2 "}, GrantID: "g1", Action: audit.ActionIssueLink},
		5: {Key: "é", Actor: audit.Actor{UserID: "u%"}, GrantID: "g1", Action: audit.ActionRedeem, RefOpID: opID(4), Outcome: audit.OutcomeFailed},
		6: {Key: "e\u0301", Actor: audit.Actor{UserID: "u_"}, GrantID: "G1", Action: audit.ActionRedeem, RefOpID: opID(4)},
		7: {Key: "%", Actor: audit.Actor{UserID: `u\`}, Action: "host.own", Outcome: audit.OutcomeUnknown},
		8: {Key: "😀", Actor: audit.Actor{UserID: "u1' OR ''='"}, Action: audit.ActionUpload, Resource: res{ID: "1"}},
	}
	for i := range events {
		events[i].OpID, events[i].OccurredAt = opID(i), minute(i)
	}
	return events
}

// queryCases returns a table of queries with their results, and cases for order
// and pages.
func queryCases() []testCase {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8}
	cases := []testCase{
		{"queries/pages, oldest first", func(e *env) { pages(e, false) }},
		{"queries/pages, newest first", func(e *env) { pages(e, true) }},
		{"queries/leaving the loop, using the journal in it", queryLoop},
		{"queries/of an empty trail", queryEmpty},
	}
	for _, q := range []struct {
		name  string // completed by "a query MUST select only these"
		query audit.Query
		want  []int
	}{
		{"everything", audit.Query{}, all},
		{"by user", audit.Query{UserID: "u1"}, []int{0, 3}},
		{"by user, with a wildcard's letter", audit.Query{UserID: "u%"}, []int{5}},
		{"by user, with a wildcard's letter for one", audit.Query{UserID: "u_"}, []int{6}},
		{"by user, with an escape", audit.Query{UserID: `u\`}, []int{7}},
		{"by user, with a quote", audit.Query{UserID: "u1' OR ''='"}, []int{8}},
		{"by user, with a blank at the end", audit.Query{UserID: "u1 "}, []int{4}},
		{"by tenant", audit.Query{TenantID: "t1"}, []int{0, 1}},
		{"by resource", audit.Query{Resource: audit.Resource{Type: "invoice", ID: "1"}}, []int{0}},
		{"by type of resource", audit.Query{Resource: audit.Resource{Type: "invoice"}}, []int{0, 1}},
		{"by id of resource", audit.Query{Resource: audit.Resource{ID: "1"}}, []int{0, 2, 3, 8}},
		{"by key", audit.Query{Key: "a"}, []int{0, 3}},
		{"by key, in capitals", audit.Query{Key: "A"}, []int{2}},
		{"by key, composed", audit.Query{Key: "é"}, []int{5}},
		{"by key, decomposed", audit.Query{Key: "e\u0301"}, []int{6}},
		{"by key, emoji", audit.Query{Key: "😀"}, []int{8}},
		{"by key, wildcard", audit.Query{Key: "%"}, []int{7}},
		{"by operation, and what refers to it", audit.Query{OpID: opID(4)}, []int{4, 5, 6}},
		{"by operation, one that refers to another", audit.Query{OpID: opID(3)}, []int{3}},
		{"by grant", audit.Query{GrantID: "g1"}, []int{4, 5}},
		{"by action", audit.Query{Actions: []audit.Action{audit.ActionDownload}}, []int{1, 2}},
		{"by several actions", audit.Query{Actions: []audit.Action{audit.ActionDelete, "host.own", "none"}}, []int{3, 7}},
		{"by outcome", audit.Query{Outcomes: []audit.Outcome{audit.OutcomeDenied}}, []int{2}},
		{"by several outcomes", audit.Query{Outcomes: []audit.Outcome{audit.OutcomeFailed, audit.OutcomeUnknown}}, []int{5, 7}},
		{"from, inclusive", audit.Query{From: minute(6)}, []int{6, 7, 8}},
		{"from, a microsecond later", audit.Query{From: minute(6).Add(time.Microsecond)}, []int{7, 8}},
		{"to, exclusive", audit.Query{To: minute(2)}, []int{0, 1}},
		{"to, a microsecond later", audit.Query{To: minute(2).Add(time.Microsecond)}, []int{0, 1, 2}},
		{"from and to", audit.Query{From: minute(3), To: minute(5)}, []int{3, 4}},
		{"from and to, the same", audit.Query{From: minute(3), To: minute(3)}, nil},
		{"from, in another zone", audit.Query{From: minute(7).In(time.FixedZone("", 5*3600))}, []int{7, 8}},
		{"by several fields", audit.Query{UserID: "u1", Key: "a", Actions: []audit.Action{audit.ActionDelete}, From: minute(1)}, []int{3}},
		{"by fields that no entry has at once", audit.Query{UserID: "u2", Key: "a"}, nil},
		{"newest first", audit.Query{NewestFirst: true}, []int{8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"newest first, by field", audit.Query{NewestFirst: true, Key: "a"}, []int{3, 0}},
		{"limit", audit.Query{Limit: 2}, []int{0, 1}},
		{"limit, newest first", audit.Query{Limit: 2, NewestFirst: true}, []int{8, 7}},
		{"limit, by field", audit.Query{Limit: 1, UserID: "u1"}, []int{0}},
		{"limit beyond all", audit.Query{Limit: 1000}, all},
	} {
		cases = append(cases, testCase{"queries/" + q.name, func(e *env) {
			events := queried()
			e.log(events...)
			got := e.entries(q.query)
			var places []int
			for _, en := range got {
				n := slices.IndexFunc(events, func(ev audit.Event) bool { return ev.OpID == en.OpID })
				require.GreaterOrEqual(e, n, 0)
				places = append(places, n)
			}
			assert.Equal(e, q.want, places)
		}})
	}
	return cases
}

// Pages MUST follow one another without a gap or an overlap, in both
// directions, filtered or not. Each page begins after the last ID of the
// previous one. Entries stored concurrently MUST NOT disturb them.
func pages(e *env, newest bool) {
	const n, limit = 11, 3
	users := map[string][]string{} // the key "" contains all keys
	for i := range n {
		ev := upload(fmt.Sprint(i))
		ev.Actor.UserID = fmt.Sprint("u", i%2)
		users[""] = append(users[""], ev.Key)
		users[ev.Actor.UserID] = append(users[ev.Actor.UserID], ev.Key)
		e.log(ev)
	}
	for _, user := range []string{"", "u0"} {
		want := users[user]
		if newest {
			slices.Reverse(want)
		}
		var paged []string
		q := audit.Query{UserID: user, NewestFirst: newest, Limit: limit}
		for {
			page := e.entries(q)
			require.Len(e, page, min(limit, len(want)-len(paged)), "a page is full unless it is the last")
			if len(page) == 0 {
				break
			}
			paged = append(paged, keysOf(page)...)
			q.After = page[len(page)-1].ID
			if newest { // in ascending order, they would be on the last page
				e.log(audit.Event{Action: audit.ActionUpload, Key: "meanwhile", Actor: audit.Actor{UserID: user}})
			}
		}
		assert.Equal(e, want, paged)
	}
}

// The loop MUST be able to end early and to use the journal without a deadlock.
// The journal MUST work afterwards.
func queryLoop(e *env) {
	e.log(queried()...)
	n := 0
	for en, err := range e.j.Entries(e.ctx, audit.Query{Limit: 5}) {
		require.NoError(e, err)
		require.NoError(e, e.j.Log(e.ctx, audit.Event{Action: audit.ActionErase, RefOpID: en.OpID}))
		require.Len(e, e.entries(audit.Query{Key: "😀"}), 1)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(e, 3, n)
	for range 20 { // no loop may retain its connection
		for _, err := range e.j.Entries(e.ctx, audit.Query{}) {
			require.NoError(e, err)
			break
		}
	}
	require.NoError(e, e.begin(upload("k"), 0).Settle(e.ctx, ok))
	assert.Len(e, e.entries(audit.Query{}), len(queried())+4)
}

// A query that selects nothing MUST end without an error.
func queryEmpty(e *env) {
	assert.Empty(e, e.entries(audit.Query{}))
	assert.Empty(e, e.entries(audit.Query{UserID: "u", OpID: opID(1), After: opID(2), NewestFirst: true, Limit: 1}))
}
