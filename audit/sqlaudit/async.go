package sqlaudit

// This file implements the asynchronous mode [WhenQueued]: Log does not wait
// for its entries. It also records how many of these entries were lost.

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// attrFrom and attrTo are the attributes of an entry of action audit.ActionGap
// with the first and the last OccurredAt of the lost entries.
const (
	attrFrom = "from"
	attrTo   = "to"
)

// gap holds acknowledged entries that were lost.
type gap struct {
	mu       sync.Mutex
	entries  int64 // lost entries not yet recorded in the trail
	from, to time.Time
	events   []audit.Event // returned by Close
	flushing []*job        // the asynchronous jobs of the current flush
	closed   bool          // Close has returned the events
}

func (g *gap) size() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.entries
}

// storing sets the asynchronous jobs of the current flush.
func (g *gap) storing(jobs []*job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flushing = jobs
}

// unstored returns the events that Close could not store. They include all
// events of the current flush, because Close no longer waits for it.
func (g *gap) unstored() []audit.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if len(g.flushing) == 0 {
		return g.events
	}
	var events []audit.Event
	for _, jb := range g.flushing {
		events = append(events, jb.events()...)
	}
	return events
}

// lose records that an asynchronous job failed.
func (j *Journal) lose(jb *job, err error) {
	j.metrics.failed(j.base, jb)
	g := &j.gap
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	if j.base.Err() != nil { // Close canceled the flush
		g.events = append(g.events, jb.events()...)
		return
	}
	for _, e := range jb.events() {
		j.opts.Logger.LogAttrs(j.base, slog.LevelError, "sqlaudit: lost an acknowledged entry", slog.Any("error", err), slog.Any("event", e))
		if g.entries == 0 || e.OccurredAt.Before(g.from) {
			g.from = e.OccurredAt
		}
		if g.entries == 0 || e.OccurredAt.After(g.to) {
			g.to = e.OccurredAt
		}
		g.entries++
	}
}

// recordGap stores an entry with the number of lost entries. If this fails, the
// journal tries again after the next flush.
func (j *Journal) recordGap() {
	g := &j.gap
	g.mu.Lock()
	n, from, to := g.entries, g.from, g.to
	g.mu.Unlock()
	if n == 0 {
		return
	}
	e, err := audit.PrepareLog(context.Background(), audit.Event{Action: audit.ActionGap, Outcome: audit.OutcomeFailed, Attrs: map[string]string{
		attrEntries: strconv.FormatInt(n, 10), attrFrom: from.Format(timeFormat), attrTo: to.Format(timeFormat),
	}})
	if err == nil {
		var r *row
		if r, err = newRow(e, audit.SettledByWriter); err == nil {
			ctx, cancel := context.WithTimeout(j.base, j.opts.Timeout)
			defer cancel()
			jb := &job{rows: []*row{r}, state: taken, done: make(chan error, 1)}
			j.store(ctx, []*job{jb})
			err = <-jb.done
		}
	}
	if err != nil {
		return
	}
	g.mu.Lock()
	g.entries -= n
	g.mu.Unlock()
}
