package sqlaudit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// Interval is the unit of time, in UTC, that [Journal.Counts] groups entries
// by.
type Interval int

const (
	// Total counts all entries of the query in one interval.
	Total Interval = iota
	// PerHour, PerDay and PerMonth count the entries of each hour, day or month
	// separately.
	PerHour
	PerDay
	PerMonth
)

// width returns the length of the prefix of "2006-01-02 15" that identifies an
// interval.
func (i Interval) width() (int, error) {
	switch i {
	case Total:
		return 0, nil
	case PerHour:
		return len("2006-01-02 15"), nil
	case PerDay:
		return len("2006-01-02"), nil
	case PerMonth:
		return len("2006-01"), nil
	}
	return 0, fmt.Errorf("sqlaudit: invalid interval %d of Counts: want Total, PerHour, PerDay or PerMonth", i)
}

// Count is the number of entries with one action and outcome in an interval.
type Count struct {
	Start   time.Time // start of the interval in UTC; zero for Total
	Action  audit.Action
	Outcome audit.Outcome
	Entries int64
}

// Counts returns the number of entries that q selects, grouped by interval,
// action and outcome and sorted in this order. An entry belongs to the interval
// of its OccurredAt. Groups without entries are omitted. The fields After,
// NewestFirst, Limit and Verified do not apply to counts, and Counts rejects a
// query that sets one of them.
//
// The database reads all selected entries in one statement, which must end
// within [Options.Timeout]. If the trail is long, limit the query with From and
// To.
//
// Counts cannot count an entry if its time, action or outcome is malformed
// because the database was changed. It then returns the counts of all other
// entries and an error that wraps [proof.ErrTampered] and reports the number of
// entries left out.
func (j *Journal) Counts(ctx context.Context, q audit.Query, by Interval) ([]Count, error) {
	if err := refusePaging("Counts", q); err != nil {
		return nil, err
	}
	where, args, err := j.where(q)
	if err != nil {
		return nil, err
	}
	width, err := by.width()
	if err != nil {
		return nil, err
	}
	interval := "''"
	if width > 0 {
		interval = fmt.Sprintf("substr(%s, 1, %d)", j.d.timeText("occurred_at"), width)
	}
	query := "SELECT " + interval + ", " + j.d.short(valueOf("action")) + ", " + j.d.short(valueOf("outcome")) + ", count(*) FROM file_access_logs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	counts, odd := []Count{}, int64(0)
	err = j.call(ctx, func(ctx context.Context) error {
		counts, odd = []Count{}, 0
		return selectRaw(ctx, j.readDB, j.bind(query+" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"), args, 4, func(v []any) {
			n, _ := j.d.form().integer(v[3])
			c, err := readCount(j.d.form(), v, width)
			if err != nil {
				odd += n
				return
			}
			c.Entries = n
			counts = append(counts, c)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: counting entries: %w", err)
	}
	if odd > 0 {
		return counts, fmt.Errorf("sqlaudit: counting entries: %w: %d of them could not be counted: their time, action or outcome is malformed", proof.ErrTampered, odd)
	}
	return counts, nil
}

// refusePaging returns an error if q sets a field that applies only to a list
// of entries.
func refusePaging(call string, q audit.Query) error {
	for _, field := range []struct {
		name string
		set  bool
	}{{"After", q.After != ""}, {"NewestFirst", q.NewestFirst}, {"Limit", q.Limit != 0}, {"Verified", q.Verified}} {
		if field.set {
			return fmt.Errorf("sqlaudit: %s with Query.%s: clear the field: %[1]s applies to all entries that the other fields select", call, field.name)
		}
	}
	return nil
}

// readCount reads the interval, the action and the outcome of a count.
func readCount(f form, v []any, width int) (c Count, err error) {
	if width > 0 {
		start, err := f.text(v[0])
		if err != nil {
			return c, err
		}
		if c.Start, err = time.Parse("2006-01-02 15"[:width], strings.Replace(start, "T", " ", 1)); err != nil {
			return c, err
		}
	}
	action, err := f.text(v[1])
	if err != nil {
		return c, err
	}
	outcome, err := f.text(v[2])
	c.Action, c.Outcome = audit.Action(action), audit.Outcome(outcome)
	return c, err
}
