package blobstore

// Writes that take effect after their operation was settled: a request that was
// held up on its way, while its process died and the reconciler found nothing.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// lateness is for how long after its settlement a write is looked for. A
// connection is given up after 15 minutes at most, and a service takes no
// request that was signed longer ago; the rest is for clocks that differ.
const lateness = 3 * time.Hour

// amendLate looks for objects of writes that were settled as failed or unknown
// within the last hours, and appends an entry about each that stands now. The
// operations are those that may have been under way: what failed by a rule or
// for want of a right never will have been. It returns the number of entries,
// and the first error.
func (s *Store) amendLate(ctx context.Context) (amended int, first error) {
	trail, ok := s.journal.(audit.Reader)
	if !ok {
		return 0, nil
	}
	info := s.bucket.Info()
	for e, err := range trail.Entries(ctx, audit.Query{
		Actions:  []audit.Action{audit.ActionUpload, audit.ActionCopy, audit.ActionMove},
		Outcomes: []audit.Outcome{audit.OutcomeFailed, audit.OutcomeUnknown},
		After:    leastID(time.Now().Add(-lateness)),
	}) {
		if err != nil {
			return amended, both(first, driver.As(ErrAudit, ended(ctx, err)))
		}
		if e.Backend != info.Backend || e.Bucket != info.Bucket || !mayLand(e) {
			continue
		}
		done, err := s.amendOne(ctx, trail, e.Event)
		if err != nil && first == nil {
			first = fmt.Errorf("%s of %.300q: %w", e.Action, e.Key, err)
		}
		if done {
			amended++
		}
	}
	return amended, first
}

// mayLand reports whether the request of an operation may be on its way still.
func mayLand(e audit.Entry) bool {
	switch e.ErrorCode {
	case "error", "canceled", "deadline":
		return true
	}
	return e.SettledBy == audit.SettledByReconciler
}

// amendOne appends an entry about the operation of e if its object stands and
// there is none yet. Of two that look at the same time, both may do so.
func (s *Store) amendOne(ctx context.Context, trail audit.Reader, e audit.Event) (bool, error) {
	r, err := s.findWrite(ctx, e)
	if errors.Is(err, ErrPath) {
		return false, nil // nothing can be learned from it
	}
	if err != nil || r.Outcome != audit.OutcomeOK {
		return false, err
	}
	if e.Action == audit.ActionMove {
		e.Action = audit.ActionCopy // its source stays, as whoever was told that it failed expects
	}
	staged := e.Attrs[audit.AttrStaged] == audit.StagedPending
	if staged {
		r = audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: errorCode(errDiscarded)}
	}
	said := false
	for prior, err := range trail.Entries(ctx, audit.Query{OpID: e.OpID}) {
		if err != nil {
			return false, driver.As(ErrAudit, err)
		}
		said = said || prior.RefOpID == e.OpID && prior.Action == e.Action && prior.Outcome == r.Outcome
	}
	if !said {
		if err := s.log(ctx, amendment(e, r)); err != nil {
			return false, err
		}
	}
	if staged {
		return !said, s.removeOwn(ctx, e.Key, e.OpID)
	}
	return !said, nil
}

// amendment is what is recorded of an operation that was settled otherwise.
func amendment(e audit.Event, r audit.Result) audit.Event {
	e.ErrorCode = ""
	e = e.With(r)
	e.OpID, e.RefOpID, e.OccurredAt = "", e.OpID, time.Time{}
	return e
}

// leastID is below the id of every entry that is committed at t or later.
func leastID(t time.Time) string {
	id := uuid.UUID{8: 0x80}
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|0x7000)
	return id.String()
}
