package sqlaudit

// This file implements queries. They read pages at a cost that does not depend
// on the page's position in the trail.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// pageSize is the number of entries that one statement reads.
const pageSize = 500

// Entries implements [audit.Reader]. It reads 500 entries at a time and holds
// no connection while the loop's body runs, so a slow reader does not block
// others. The loop may yield entries that are committed while it runs.
//
// If an entry is malformed because the database was changed, Entries skips it.
// A skipped entry does not count for q.Limit. After all others, the loop yields
// an error that wraps [proof.ErrTampered] and names up to ten skipped entries.
// Entries cannot detect a change in the column that q selects by, but [Verify]
// does.
//
// The IDs of one writer ascend. Across processes, an ID may be committed
// slightly later than a larger ID of another process. If you follow the trail
// with [audit.Query.After], read only entries that are older than
// [Options.Timeout].
//
// After the journal is closed, Entries yields an error.
func (j *Journal) Entries(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		w, rest := j.walk(q)
		where, args, err := j.where(rest)
		if err != nil {
			yield(audit.Entry{}, err)
			return
		}
		var after any
		if q.After != "" {
			after = q.After
		}
		left, odd, bounded := q.Limit, new(oddEntries), false
		var refused refusals
		for {
			size := pageSize
			if q.Limit > 0 {
				size = min(size, left)
			}
			page, next, last, err := j.page(ctx, w, where, args, after, size, odd)
			if errors.Is(err, errIDTooLong) && !bounded {
				where, bounded, err = append(where, "octet_length(id) BETWEEN 1 AND "+strconv.Itoa(maxText)), true, nil
			}
			if err != nil {
				yield(audit.Entry{}, fmt.Errorf("sqlaudit: reading entries: %w", errors.Join(err, odd.err())))
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
			if last || q.Limit > 0 && left == 0 {
				break
			}
			after = next
		}
		if err := errors.Join(odd.err(), refused.err("entries")); err != nil {
			yield(audit.Entry{}, fmt.Errorf("sqlaudit: reading entries: %w", err))
		}
	}
}

// oddEntries counts malformed entries and describes the first of them.
type oddEntries struct {
	count int
	first []string
}

// oddNamed limits the malformed entries that an error names.
const oddNamed = 10

func (o *oddEntries) add(v *raw, err error) {
	o.count++
	if len(o.first) < oddNamed {
		o.first = append(o.first, fmt.Sprintf("entry %s: %v", v.text(idColumn), err))
	}
}

func (o *oddEntries) err() error {
	if o.count == 0 {
		return nil
	}
	return fmt.Errorf("%w: skipped %d malformed entries: %s", proof.ErrTampered, o.count, strings.Join(o.first, "; "))
}

// errIDTooLong reports that a page ended early at an entry whose ID is too long
// for a comparison in the next query.
var errIDTooLong = errors.New("an entry has an ID that is too long for the next query")

// page reads the entries after the ID after. It returns the valid entries, the
// ID where the next page starts, and whether this page is the last one.
func (j *Journal) page(ctx context.Context, w walk, where []string, args []any, after any, size int, odd *oddEntries) (page []row, next any, last bool, err error) {
	query, args := j.pageQuery(w, where, args, after, size)
	form := j.d.form()
	next = after
	err = j.call(ctx, func(ctx context.Context) error {
		rows, err := j.readDB.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var v raw
			var r row
			if err := v.scan(rows); err != nil {
				return err
			}
			err := r.decode(&v, form)
			if err != nil {
				odd.add(&v, err)
			} else {
				page = append(page, r)
			}
			id := form.key(v[idColumn])
			if id == nil || err != nil && same(id, after) {
				return errIDTooLong
			}
			next = id
		}
		last = n < size
		return rows.Err()
	})
	return page, next, last, err
}

// key returns the value of an ID column as an argument for a comparison, or nil
// if the value was too long to read.
func (f form) key(v any) any {
	switch v := v.(type) {
	case string:
		if isOddLength([]byte(v)) {
			return nil
		}
	case []byte:
		if isOddLength(v) {
			return nil
		}
		if f.octets {
			return string(v)
		}
	}
	return v
}

// same compares two ID values.
func same(a, b any) bool {
	x, xBytes := a.([]byte)
	y, yBytes := b.([]byte)
	if xBytes || yBytes {
		return xBytes && yBytes && string(x) == string(y)
	}
	return a == b
}

func (j *Journal) pageQuery(w walk, where []string, args []any, after any, size int) (string, []any) {
	conditions, values, order := w.after(after)
	where, args = slices.Concat(where, conditions), slices.Concat(args, values)
	query := "SELECT " + j.d.columns() + " FROM file_access_logs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return j.bind(query + fmt.Sprintf(" ORDER BY %s LIMIT %d", order, size)), args
}

// where converts the fields of q to conditions.
func (j *Journal) where(q audit.Query) (where []string, args []any, err error) {
	if q.After != "" {
		if err := checkUUID(q.After); err != nil {
			return nil, nil, fmt.Errorf("sqlaudit: invalid Query.After: %w", err)
		}
	}
	if q.Limit < 0 {
		return nil, nil, fmt.Errorf("sqlaudit: invalid Query.Limit %d: want a positive number, or 0 for all", q.Limit)
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
			add("1 = 0") // not the ID of any operation
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

// roundUp keeps comparisons exact: stored times have a resolution of
// microseconds.
func roundUp(t time.Time) time.Time {
	if c := t.Truncate(time.Microsecond); !c.Equal(t) {
		return c.Add(time.Microsecond)
	}
	return t
}

func checkUUID(s string) error {
	if u, err := uuid.Parse(s); err != nil || u.String() != s {
		return fmt.Errorf("%.64q is not a lowercase UUID", s)
	}
	return nil
}
