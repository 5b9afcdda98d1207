package sqlaudit

// Reading the trail back, in pages whose cost does not grow with their depth.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
)

// pageSize is how many entries are read at a time.
const pageSize = 500

// Entries implements [audit.Reader]. It reads 500 entries at a time and holds
// no connection while the loop's body runs, so that a slow reader stands in
// nobody's way. Entries that are committed while the loop runs may be among
// those it yields.
//
// Ids ascend within a writer. Of two processes, one may commit an id that is
// slightly older than one the other has committed before: whoever follows the
// trail with [audit.Query.After] should stay behind by the length of
// [Options.Timeout].
//
// Reading is possible until the journal is closed.
func (j *Journal) Entries(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		w, rest := j.walk(q)
		where, args, err := j.where(rest)
		if err != nil {
			yield(audit.Entry{}, err)
			return
		}
		left, after := q.Limit, q.After
		var refused refusals
		for {
			size := pageSize
			if q.Limit > 0 {
				size = min(size, left)
			}
			page, err := j.page(ctx, w, where, args, after, size)
			if err != nil {
				yield(audit.Entry{}, fmt.Errorf("sqlaudit: reading entries: %w", err))
				return
			}
			for _, r := range page {
				if err := ctx.Err(); err != nil {
					yield(audit.Entry{}, err)
					return
				}
				if q.Verified {
					r.Entry, err = j.authentic(ctx, r.ID)
				}
				switch {
				case errors.Is(err, audit.ErrUntrusted):
					refused.add(err)
				case err != nil:
					yield(audit.Entry{}, fmt.Errorf("sqlaudit: reading entries: %w", err))
					return
				case !yield(r.Entry, nil):
					return
				}
			}
			left -= len(page)
			if len(page) < size || (q.Limit > 0 && left == 0) {
				if err := refused.err("entries"); err != nil {
					yield(audit.Entry{}, err)
				}
				return
			}
			after = page[len(page)-1].ID
		}
	}
}

// page reads the entries that follow the one of id after.
func (j *Journal) page(ctx context.Context, w walk, where []string, args []any, after string, size int) ([]row, error) {
	query, args := j.pageQuery(w, where, args, after, size)
	var page []row
	err := j.call(ctx, func(ctx context.Context) error {
		rows, err := j.readDB.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := r.scan(rows); err != nil {
				return err
			}
			page = append(page, r)
		}
		return rows.Err()
	})
	return page, err
}

func (j *Journal) pageQuery(w walk, where []string, args []any, after string, size int) (string, []any) {
	conditions, values, order := w.after(after)
	where, args = slices.Concat(where, conditions), slices.Concat(args, values)
	query := "SELECT " + j.d.columns() + " FROM file_access_logs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return j.bind(query + fmt.Sprintf(" ORDER BY %s LIMIT %d", order, size)), args
}

// where turns the fields of q into conditions.
func (j *Journal) where(q audit.Query) (where []string, args []any, err error) {
	if q.After != "" {
		if err := checkUUID(q.After); err != nil {
			return nil, nil, fmt.Errorf("sqlaudit: Query.After %w", err)
		}
	}
	if q.Limit < 0 {
		return nil, nil, fmt.Errorf("sqlaudit: Query.Limit is %d: want a positive number, or 0 for all", q.Limit)
	}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	equal := func(column, value string) {
		if value != "" {
			condition, values := j.d.equal(column, value)
			add(condition, values...)
		}
	}
	equal("user_id", q.UserID)
	equal("tenant_id", q.TenantID)
	equal("resource_type", q.Resource.Type)
	equal("resource_id", q.Resource.ID)
	equal("file_key", q.Key)
	equal("grant_id", q.GrantID)
	if q.OpID != "" {
		if checkUUID(q.OpID) != nil {
			add("1 = 0") // no operation has such an id
		} else {
			add("(op_id = ? OR ref_op_id = ?)", q.OpID, q.OpID)
		}
	}
	if len(q.Actions) > 0 {
		list := make([]any, len(q.Actions))
		for i, a := range q.Actions {
			list[i] = string(a)
		}
		add("action IN "+marks(len(list)), list...)
	}
	if len(q.Outcomes) > 0 {
		list := make([]any, len(q.Outcomes))
		for i, o := range q.Outcomes {
			list[i] = string(o)
		}
		add("outcome IN "+marks(len(list)), list...)
	}
	if !q.From.IsZero() {
		add("occurred_at >= ?", j.d.formatTime(roundUp(q.From)))
	}
	if !q.To.IsZero() {
		add("occurred_at < ?", j.d.formatTime(roundUp(q.To)))
	}
	return where, args, nil
}

// roundUp keeps comparisons exact with entries that have microseconds.
func roundUp(t time.Time) time.Time {
	if c := t.Truncate(time.Microsecond); !c.Equal(t) {
		return c.Add(time.Microsecond)
	}
	return t
}

func checkUUID(s string) error {
	if u, err := uuid.Parse(s); err != nil || u.String() != s {
		return fmt.Errorf("%.64q is not a lower-case UUID", s)
	}
	return nil
}
