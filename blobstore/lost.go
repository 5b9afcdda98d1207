package blobstore

import (
	"context"
	"errors"
	"fmt"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Operations whose intent was lost: their process was cut off for longer than its
// lease, and another one took the intent over. That one settles the operation by
// what it finds in the bucket, which may come before the effect or remove it. So
// nothing is said of a lost operation that is not seen in the bucket now, and
// nothing that the trail says already.

// settleLost ends an operation that could not be settled because of lost, an
// audit.ErrNotHeld. It returns nil if the trail says what r does and the bucket is
// as r says. If the operation was settled otherwise, from what could be seen then,
// the trail gets the truth as a second entry that refers to it.
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
		return s.logAlso(ctx, withoutDeletions(also)) // the other process has recorded them
	case amendUnknown:
		r.Outcome = audit.OutcomeUnknown
	case amend:
	default:
		return both(lost, askErr) // it is for the other process to settle
	}
	if err := s.log(ctx, amendment(e, r)); err != nil {
		return err
	}
	if err := s.logAlso(ctx, also); err != nil || to == amend {
		return err
	}
	return lost
}

// logAlso records the further entries of an operation, one by one. A deletion is
// unknown if another object is there by now.
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

// endOf returns how an operation ended, as the last entry about it says; empty if
// it is open. Not every trail can be asked: known is then false, unless the
// operation is still open.
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

// history returns the entries of an operation and those that refer to it, if a
// certified writer signed them: what is done next depends on them.
func history(ctx context.Context, trail audit.Reader, opID string) (entries []audit.Entry, _ error) {
	for e, err := range trail.Entries(ctx, audit.Query{OpID: opID, Verified: true}) {
		if err != nil {
			return nil, provider.As(ErrAudit, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// endIn returns how an operation ended, as the last of its entries says; empty
// if none settles it.
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

// amends reports whether an entry that refers to an operation is about its end.
func amends(entry, e audit.Event) bool {
	if kind, id, _ := readGrantID(entry.GrantID, entry.Key); kind == ticketGrant && id == e.OpID {
		return false // what a client tried with the ticket
	}
	switch entry.Action {
	case audit.ActionUpload, audit.ActionCopy, audit.ActionMove:
		return e.Action != audit.ActionDelete
	case audit.ActionDelete: // else the source of a move
		return e.Action == audit.ActionDelete
	}
	return false
}

// isOwn reports whether an object is the one that an operation wrote.
func isOwn(a *blob.Attributes, opID string) bool { return a.Metadata[provider.MetaOp] == opID }

// peek returns the event of an open intent that fits, and leaves the intent to
// its holder.
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
