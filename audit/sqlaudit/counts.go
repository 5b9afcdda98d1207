package sqlaudit

// Counts for charts.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
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
func (j *Journal) Counts(ctx context.Context, q CountQuery) ([]Count, error) {
	q.After, q.Newest, q.Limit = "", false, 0
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
	query := "SELECT " + interval + " AS start, action, outcome, count(*) AS entries FROM file_access_logs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	var found []struct {
		Start   string        `db:"start"`
		Action  audit.Action  `db:"action"`
		Outcome audit.Outcome `db:"outcome"`
		Entries int64         `db:"entries"`
	}
	err = j.call(ctx, func(ctx context.Context) error {
		return j.readDB.SelectContext(ctx, &found, j.bind(query+" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"), args...)
	})
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: counting entries: %w", err)
	}
	counts := make([]Count, len(found))
	for i, f := range found {
		counts[i] = Count{Action: f.Action, Outcome: f.Outcome, Entries: f.Entries}
		if width > 0 {
			if counts[i].Start, err = time.Parse("2006-01-02 15"[:width], strings.Replace(f.Start, "T", " ", 1)); err != nil {
				return nil, fmt.Errorf("sqlaudit: counting entries: %w", err)
			}
		}
	}
	return counts, nil
}
