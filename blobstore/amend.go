package blobstore

// This file implements the handling of late writes, which take effect after
// their operation was settled. A request can be delayed on its way, while its
// process dies and the reconciler finds no object.

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

// lateness is how long after settlement Reconcile still looks for a late write.
// Clients give up a connection after at most 15 minutes, and services reject
// requests signed longer ago. The rest allows for clock differences.
const lateness = 3 * time.Hour

// amendLate looks for objects of writes that were settled as failed or unknown
// within the time lateness, and appends an entry about each existing object. It
// checks only operations whose request may have been in flight: a write
// rejected by a rule or for lack of permission has sent none. It returns the
// number of entries and the first error.
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

// mayLand reports whether the request of an operation may still be in flight.
func mayLand(e audit.Entry) bool {
	switch e.ErrorCode {
	case "error", "canceled", "deadline":
		return true
	}
	// A request that ends a ticket may have lost it to another request.
	return e.SettledBy == audit.SettledByReconciler || stagingOf(e.Event) != ""
}

// amendOne appends an entry about the operation of late if its object exists
// and no such entry does. Two processes that look concurrently may both append
// one.
//
// amendOne relies only on an entry signed by a certified writer. Otherwise,
// anyone able to insert a row into the database could have any object removed,
// or have a false entry signed.
func (s *Store) amendOne(ctx context.Context, trail audit.Reader, late audit.Entry) (bool, error) {
	r, err := s.findWrite(ctx, late.Event)
	if errors.Is(err, ErrPath) {
		return false, nil // the object cannot be examined
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
		return false, nil // the entry was purged
	}
	e := known[at].Event
	if err := checkOperation(e); err != nil {
		return false, err
	}
	if endIn(known, e) == audit.OutcomeOK {
		return false, nil // already recorded, and a staged upload may have been committed since
	}
	if e.Action == audit.ActionMove {
		e.Action = audit.ActionCopy // the source remains, as expected by a caller that got an error
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

// amendment returns the entry for an operation that was settled with a
// different outcome.
func amendment(e audit.Event, r audit.Result) audit.Event {
	e.ErrorCode = ""
	e = e.With(r)
	e.OpID, e.RefOpID, e.OccurredAt = "", e.OpID, time.Time{}
	return e
}

// leastID returns an ID below those of all entries committed at t or later.
func leastID(t time.Time) string {
	id := uuid.UUID{8: 0x80}
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|0x7000)
	return id.String()
}
