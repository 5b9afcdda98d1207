package sqlaudit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// ofOneUser are queries for the entries of one of many users.
func ofOneUser(name string) map[string]audit.Query {
	return map[string]audit.Query{
		"user": {UserID: name}, "tenant": {TenantID: name}, "key": {Key: name}, "grant": {GrantID: name},
		"resource": {Resource: audit.Resource{Type: name, ID: name}}, "resource id": {Resource: audit.Resource{ID: name}},
		"all of them": {UserID: name, TenantID: name, Key: name, GrantID: name, Resource: audit.Resource{Type: name, ID: name}},
	}
}

func TestPagesOfOneUser(t *testing.T) { onEach(t, testPagesOfOne) }

func testPagesOfOne(t *testing.T, s *system) {
	j, _ := s.open(t, nil)
	in, err := j.Begin(t.Context(), event("0"), 0)
	require.NoError(t, err)
	also := make([]audit.Event, 1600) // half of them are more than one page
	var want []string
	for i := range also {
		name := []string{"ours", "theirs"}[i%2]
		also[i] = audit.Event{
			Action: audit.ActionDownload, Actor: audit.Actor{UserID: name, TenantID: name, RequestID: fmt.Sprint(i)},
			Key: name, GrantID: name, Resource: audit.Resource{Type: name, ID: name},
		}
		if i%2 == 0 {
			want = append(want, fmt.Sprint(i))
		}
	}
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
	reversed := slices.Clone(want)
	slices.Reverse(reversed)
	numbers := func(list []audit.Entry) (out []string) {
		for _, e := range list {
			out = append(out, e.Actor.RequestID)
		}
		return out
	}
	for name, q := range ofOneUser("ours") {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, want, numbers(entries(t, j, q)))
			q.NewestFirst = true
			assert.Equal(t, reversed, numbers(entries(t, j, q)))
			var got []string
			q.Limit = 90
			for page := entries(t, j, q); len(page) > 0; page = entries(t, j, q) {
				got = append(got, numbers(page)...)
				q.After = page[len(page)-1].ID
			}
			assert.Equal(t, reversed, got)
		})
	}
}

// PostgreSQL assumes that one user's entries are spread evenly, although there
// may be none for a long time.
func TestPagesDoNotReadTheRest(t *testing.T) {
	j, db := systems[1].open(t, nil)
	db.exec(t, `INSERT INTO file_access_logs (id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf,
			user_id, tenant_id, file_key, grant_id, resource_type, resource_id)
		SELECT (left(h, 8) || '-' || substr(h, 9) || '-7000-8000-000000000000')::uuid, gen_random_uuid(), '01941f29-7c00-7000-8000-000000000001', i, now(), now(), 'upload', 'ok', 'writer', 1, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'),
			name, name, name, name, name, name
		FROM generate_series(1, 20000) AS i, lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 1000000 + i), 12, '0') AS h,
			LATERAL (SELECT CASE WHEN i <= 2000 THEN 'old' WHEN i > 18000 THEN 'new' ELSE 'other' END AS name) AS n`)
	db.exec(t, "ANALYZE file_access_logs")
	for who, newest := range map[string]bool{"old": true, "new": false} {
		for name, q := range ofOneUser(who) {
			t.Run(who+" "+name, func(t *testing.T) {
				q.NewestFirst, q.Limit = newest, 50
				for range 3 {
					query, args, err := sqlaudit.PageQuery(j, q)
					require.NoError(t, err)
					var plan []string
					require.NoError(t, db.Select(&plan, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+query, args...))
					assert.NotContains(t, strings.Join(plan, "\n"), "Rows Removed")
					page := entries(t, j, q)
					require.Len(t, page, 50)
					q.After = page[49].ID
				}
			})
		}
	}
}
