package blobstore

// Writes that take effect after their operation was settled: a request that was
// held up on its way, while its process died and the reconciler found nothing.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
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
			return amended, both(first, provider.As(ErrAudit, ended(ctx, err)))
		}
		if e.Backend != info.Backend || e.Bucket != info.Bucket || !mayLand(e) {
			continue
		}
		done, err := s.amendOne(ctx, trail, e)
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
	// Of several requests that end a ticket one may be overtaken by another.
	return e.SettledBy == audit.SettledByReconciler || stagingOf(e.Event) != ""
}

// amendOne appends an entry about the operation of late if its object exists and
// no such entry does. Two processes that look at the same time may both append
// one. The object is removed, and the entry signed, only on the word of an entry
// that a certified writer signed: anybody who can insert a row could otherwise
// have both done to any object.
func (s *Store) amendOne(ctx context.Context, trail audit.Reader, late audit.Entry) (bool, error) {
	r, err := s.findWrite(ctx, late.Event)
	if errors.Is(err, ErrPath) {
		return false, nil // nothing can be learned from it
	}
	if err != nil || r.Outcome != audit.OutcomeOK {
		return false, err
	}
	known, err := history(ctx, trail, late.OpID)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(known, func(prior audit.Entry) bool { return prior.ID == late.ID })
	if at < 0 {
		return false, nil // purged since
	}
	e := known[at].Event
	if err := checkOperation(e); err != nil {
		return false, err
	}
	if endIn(known, e) == audit.OutcomeOK {
		return false, nil // it was said, and a staged upload may be committed since
	}
	if e.Action == audit.ActionMove {
		e.Action = audit.ActionCopy // its source stays, as whoever was told that it failed expects
	}
	staged := e.Details.Staged && !e.Details.Committed
	if staged {
		r = failedBy(errDiscarded)
	}
	said := slices.ContainsFunc(known, func(prior audit.Entry) bool {
		return prior.RefOpID == e.OpID && prior.Action == e.Action && prior.Outcome == r.Outcome
	})
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
