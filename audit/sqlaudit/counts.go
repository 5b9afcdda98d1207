package sqlaudit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// Interval is the unit of time by which [Journal.Counts] groups entries, in UTC.
type Interval int

const (
	// Total counts all entries of the query together.
	Total Interval = iota
	// PerHour, PerDay and PerMonth count the entries of each hour, day and month
	// separately.
	PerHour
	PerDay
	PerMonth
)

// width is how many characters of "2006-01-02 15" tell one interval from another.
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

// Count is the number of entries of one interval, action and outcome.
type Count struct {
	Start   time.Time // of the interval, in UTC; zero for Total
	Action  audit.Action
	Outcome audit.Outcome
	Entries int64
}

// Counts counts the entries that q selects, grouped and ordered by interval,
// action and outcome. The interval of an entry is that of its OccurredAt. Groups
// without an entry are left out. The fields After, NewestFirst, Limit and Verified
// of q do not apply to counts, and Counts refuses a query that sets one of them.
//
// The database reads every entry that q selects, in one statement and within
// [Options.Timeout]. In a long trail, select a part by From and To.
//
// Counts can't count an entry whose time, action or outcome is not stored as it
// was written. It then returns the counts of all others with an error that wraps
// [proof.ErrTampered] and says how many entries are missing.
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
		return counts, fmt.Errorf("sqlaudit: counting entries: %w: %d of them could not be counted, since they are not stored as they were written", proof.ErrTampered, odd)
	}
	return counts, nil
}

// refusePaging returns an error if q has a field that applies only to a list of
// entries.
func refusePaging(call string, q audit.Query) error {
	for _, field := range []struct {
		name string
		set  bool
	}{{"After", q.After != ""}, {"NewestFirst", q.NewestFirst}, {"Limit", q.Limit != 0}, {"Verified", q.Verified}} {
		if field.set {
			return fmt.Errorf("sqlaudit: %s with Query.%s: want a query without it, since %[1]s concerns every entry that the other fields select", call, field.name)
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
