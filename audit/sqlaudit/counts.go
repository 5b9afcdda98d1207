package sqlaudit

// Counts for charts.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// Interval is a piece of the time axis of a chart, in UTC.
type Interval int

const (
	// Ever is all of the time that the query selects, in one.
	Ever Interval = iota
	Hourly
	Daily
	Monthly
)

// width is how many characters of "2006-01-02 15" tell one interval from another.
func (i Interval) width() (int, error) {
	switch i {
	case Ever:
		return 0, nil
	case Hourly:
		return len("2006-01-02 15"), nil
	case Daily:
		return len("2006-01-02"), nil
	case Monthly:
		return len("2006-01"), nil
	}
	return 0, fmt.Errorf("sqlaudit: CountQuery.By is %d: want Ever, Hourly, Daily or Monthly", i)
}

// CountQuery says what [Journal.Counts] counts.
type CountQuery struct {
	// Query selects the entries. Its After, Newest and Limit mean nothing here.
	audit.Query
	// By is the interval that entries are counted by, according to their
	// OccurredAt.
	By Interval
}

// Count is how many entries of one interval have an action and an outcome.
type Count struct {
	Start   time.Time // of the interval, in UTC; zero if it is Ever
	Action  audit.Action
	Outcome audit.Outcome
	Entries int64
}

// Counts counts entries by interval, action and outcome, ordered so, with one
// statement. What does not occur is not in the list. The database reads every
// entry that the query selects, within [Options.Timeout]: of a long trail,
// select a part by From and To.
//
// An entry whose time, action or outcome is not stored as it was written can't be
// counted. Then the counts of all others come with an error that wraps
// [proof.ErrTampered] and says how many there are.
func (j *Journal) Counts(ctx context.Context, q CountQuery) ([]Count, error) {
	q.After, q.NewestFirst, q.Limit = "", false, 0
	where, args, err := j.where(q.Query)
	if err != nil {
		return nil, err
	}
	width, err := q.By.width()
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
