package blobstore

import (
	"context"
	"errors"
	"fmt"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// This file implements settling operations that lost their intent: the process
// was suspended or disconnected for longer than the lease, and another process
// took the intent over. That process settles the operation according to the
// bucket. It may have looked before the effect, or undone the effect. The
// functions here therefore record only facts visible in the bucket now, and
// only if the trail lacks them.

// settleLost ends an operation that could not be settled. lost is the
// audit.ErrNotHeld that reported it. settleLost returns nil if both the trail
// and the bucket agree with r. If the operation was settled with a different
// outcome, it appends a second entry that refers to the operation and has the
// actual outcome.
func (s *Store) settleLost(ctx context.Context, e audit.Event, r audit.Result, also []audit.Event, lost error) error {
	q, o := lostWrite, written(e)
	switch {
	case e.Action == audit.ActionDelete:
		q, o = lostDelete, removed(e.Key, e.Details.ETag)
	case r.Outcome != audit.OutcomeOK:
		q = lostUndo
	}
	at, _, err := s.look(ctx, o)
	if err != nil {
		return both(lost, err)
	}
	record, askErr := s.ask(ctx, e)
	to := next(q, state{at, record})
	switch to {
	case contradicted:
		return fmt.Errorf("%w: another process took the operation over, and the bucket is not as this one left it", lost)
	case done:
		return s.logAlso(ctx, withoutDeletions(also)) // the other process has recorded the deletions
	case amendUnknown:
		r.Outcome = audit.OutcomeUnknown
	case amend:
	default:
		return both(lost, askErr) // the other process settles it
	}
	if err := s.log(ctx, amendment(e, r)); err != nil {
		return err
	}
	if err := s.logAlso(ctx, also); err != nil || to == amend {
		return err
	}
	return lost
}

// logAlso records the additional entries of an operation one by one. A deletion
// gets the outcome unknown if another object exists now.
func (s *Store) logAlso(ctx context.Context, also []audit.Event) error {
	for _, a := range also {
		if a.Action == audit.ActionDelete {
			now, err := s.attributes(ctx, a.Key)
			if err != nil {
				return err
			}
			if now != nil {
				a.Outcome = audit.OutcomeUnknown
			}
		}
		if err := s.log(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func withoutDeletions(events []audit.Event) (others []audit.Event) {
	for _, e := range events {
		if e.Action != audit.ActionDelete {
			others = append(others, e)
		}
	}
	return others
}

// endOf returns the outcome of an operation from the last entry about it, or an
// empty one if it is open. If the trail cannot be read back, known is false
// unless the operation is open.
func (s *Store) endOf(ctx context.Context, e audit.Event) (end audit.Outcome, known bool, err error) {
	trail, ok := s.journal.(audit.Reader)
	if !ok {
		_, open, err := s.peek(ctx, e.OpID, nil)
		return "", open, err
	}
	entries, err := history(ctx, trail, e.OpID)
	if err != nil {
		return "", false, err
	}
	return endIn(entries, e), true, nil
}

// history returns the entries of an operation and those that refer to it. It
// returns only entries signed by a certified writer, because later steps depend
// on them.
func history(ctx context.Context, trail audit.Reader, opID string) (entries []audit.Entry, _ error) {
	for e, err := range trail.Entries(ctx, audit.Query{OpID: opID, Verified: true}) {
		if err != nil {
			return nil, provider.As(ErrAudit, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// endIn returns the outcome of an operation from the last of its entries, or an
// empty one if none settles it.
func endIn(entries []audit.Entry, e audit.Event) (end audit.Outcome) {
	settled := false
	for _, prior := range entries {
		if prior.OpID == e.OpID || amends(prior.Event, e) {
			settled = settled || prior.OpID == e.OpID
			end = prior.Outcome
		}
	}
	if !settled {
		return ""
	}
	return end
}

// amends reports whether an entry that refers to an operation records its
// outcome.
func amends(entry, e audit.Event) bool {
	if kind, id, _ := readGrantID(entry.GrantID, entry.Key); kind == ticketGrant && id == e.OpID {
		return false // an attempt of a client to upload with the ticket
	}
	switch entry.Action {
	case audit.ActionUpload, audit.ActionCopy, audit.ActionMove:
		return e.Action != audit.ActionDelete
	case audit.ActionDelete: // for another action, the entry is about the source of a move
		return e.Action == audit.ActionDelete
	}
	return false
}

// isOwn reports whether the given operation wrote the object.
func isOwn(a *blob.Attributes, opID string) bool { return a.Metadata[provider.MetaOp] == opID }

// peek returns the event of an open intent that satisfies fits, without taking
// the intent over.
func (s *Store) peek(ctx context.Context, id string, fits func(audit.Event) bool) (e audit.Event, open bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	_, err = s.journal.Claim(ctx, id, s.opts.Lease, func(found audit.Event) bool {
		if fits == nil || fits(found) {
			e, open = found, true
		}
		return false
	})
	if errors.Is(err, audit.ErrNoIntent) {
		err = nil
	}
	return e, open, err
}
