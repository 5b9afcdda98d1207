package blobstore

// The end of a ticket. Several requests may complete or abort it at once, in
// several processes: each takes the intent over from the one before, and the one
// that settles it decides.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Complete checks what was sent under the ticket, makes the object of it, and
// settles the record. It may be called in another process than BeginUpload, and
// again: once the upload is complete it returns the object.
//
// The object gets nothing from the client but its bytes and, unless the ticket
// says which, its content type.
//
// If nothing has arrived yet, the error is fs.ErrNotExist and the ticket stays
// good. If the bytes can't be checked or stored now, the error is [ErrInDoubt] and
// the ticket stays good too. Bytes that break a rule are removed and end the ticket:
// [ErrTooLarge], [ErrContentType], [ErrChecksum], io.ErrUnexpectedEOF for too few
// bytes, [ErrReplaced] if the client kept replacing them, or fs.ErrExist if the key
// was taken. Of concurrent calls one may fail with [ErrBusy]; repeat it.
func (t *Ticket) Complete(ctx context.Context) (*Object, error) {
	if t.s == nil {
		return nil, &Error{Op: "complete upload", Key: t.Key, Err: errNoStore}
	}
	ctx, span := t.s.trace(ctx, opCompleteUpload)
	obj, err := t.s.completeUpload(ctx, t.Key, t.ID)
	if span.end(err) != nil {
		return nil, &Error{Op: "complete upload", Key: t.Key, Err: err}
	}
	return obj, nil
}

var errNoStore = errors.New("a Ticket of no store: want one of Store.BeginUpload or Store.Ticket")

// checkTicket refuses a key or an id that a client made up. The journal would
// refuse a record with such an id, as if no record could be written.
func checkTicket(key, id string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if !isTicketID(id) {
		return provider.As(fs.ErrNotExist, errTicketOver)
	}
	return nil
}

func (s *Store) completeUpload(ctx context.Context, key, id string) (*Object, error) {
	if err := checkTicket(key, id); err != nil {
		return nil, err
	}
	e := audit.Event{RefOpID: id, Action: audit.ActionUpload, Key: key}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()

	intent, err := s.claim(ctx, id, key)
	if errors.Is(err, audit.ErrNoIntent) {
		obj, err := s.arrived(ctx, key, id)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTicketOver, err)
		}
		return obj, nil
	}
	if err != nil {
		return nil, err
	}
	var obj *Object
	err = s.hold(ctx, intent, func(ctx context.Context, intent audit.Intent) (effect, error) {
		var err error
		obj, err = s.accept(ctx, intent)
		eff := s.endTicket(ctx, intent.Event(), obj, err)
		eff.lost = func(ctx context.Context, _, notHeld error) (err error) {
			obj, err = s.lostTicket(ctx, intent.Event(), notHeld)
			return err
		}
		return eff, err
	})
	if err != nil {
		return nil, err
	}
	return obj, nil
}

// errNotArrived: the ticket's bytes are not there yet.
var errNotArrived = provider.As(fs.ErrNotExist, errors.New("nothing was uploaded yet"))

// errTicketOver: the ticket was settled, or never was one.
var errTicketOver = errors.New("no such ticket, or it is over")

// arrived returns the object that a ticket became.
func (s *Store) arrived(ctx context.Context, key, id string) (*Object, error) {
	at, a, err := s.look(ctx, subject{key: key, opID: id})
	switch next(ticketArrived, state{object: at}) {
	case done:
		return object(key, a)
	case wait:
		return nil, errNotArrived
	}
	return nil, err
}

// claim takes a ticket's intent over from whoever holds it.
func (s *Store) claim(ctx context.Context, id, key string) (audit.Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	intent, err := s.journal.Claim(ctx, id, s.opts.Lease, func(e audit.Event) bool { return s.isTicketOf(e, key) })
	if err != nil && !errors.Is(err, audit.ErrNoIntent) {
		err = provider.As(ErrAudit, err)
	}
	return intent, err
}

// endTicket returns how to settle a ticket whose object is obj or failed to be made
// with cause. A ticket that nothing was sent for, or whose bytes can't be judged
// now, goes on until its time is over.
func (s *Store) endTicket(ctx context.Context, e audit.Event, obj *Object, cause error) effect {
	switch {
	case errors.Is(cause, ErrInDoubt), errors.Is(cause, errNotArrived):
		return effect{open: true, lease: ticketLease(e)}
	case cause == nil:
		// Whoever takes the ticket over now finds the object.
		clearErr := s.removeStaged(ctx, stagingOf(e))
		return effect{result: resultOf(obj), settled: func(ctx context.Context) error {
			s.reportLeft(ctx, e, clearErr)
			return nil
		}}
	}
	return effect{settled: func(ctx context.Context) error {
		s.clearStaged(ctx, e)
		// A request that was overtaken may have made the object since it was looked for.
		_, err := s.undo(ctx, e)
		return err
	}}
}

// lostTicket ends a request that was overtaken by another one, which completes or
// aborts the same ticket, because of lost.
func (s *Store) lostTicket(ctx context.Context, e audit.Event, lost error) (*Object, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	record, err := s.ask(ctx, e)
	if record == unread {
		return nil, provider.As(ErrAudit, both(lost, err))
	}
	at, a, err := s.look(ctx, written(e))
	var obj *Object
	if a != nil && err == nil {
		obj, err = object(e.Key, a)
	}
	switch next(lostRequest, state{at, record}) {
	case busy:
		return nil, ErrBusy
	case done:
		return obj, err
	case amend:
		return obj, both(err, s.log(ctx, amendment(e, resultOK(obj))))
	case takeBack:
		if obj, err = s.undo(ctx, e); obj != nil || err != nil {
			return obj, err
		}
	case leave:
		return nil, inDoubt(errTicketOver, err)
	}
	return nil, fmt.Errorf("%w: %w", errTicketOver, fs.ErrNotExist)
}

// undo removes the object of a ticket that was settled as failed. If the service
// refuses that, the trail gets a second entry, which says that the object exists,
// and undo returns it.
func (s *Store) undo(ctx context.Context, e audit.Event) (*Object, error) {
	obj, err := s.arrived(ctx, e.Key, e.OpID)
	if errors.Is(err, errNotArrived) {
		return nil, nil
	}
	if err != nil {
		return nil, inDoubt(errTicketOver, err)
	}
	if err := s.removeOwn(ctx, e.Key, e.OpID); isRefused(err) {
		return obj, s.log(ctx, amendment(e, resultOK(obj)))
	} else if err != nil {
		return nil, err
	}
	// A reconciler may have seen the object and said so.
	switch end, known, err := s.endOf(ctx, e); {
	case err != nil:
		return nil, provider.As(ErrAudit, err)
	case known && end == audit.OutcomeOK:
		return nil, s.log(ctx, amendment(e, failedBy(errDiscarded)))
	}
	return nil, nil
}

func resultOK(obj *Object) audit.Result {
	r := resultOf(obj)
	r.Outcome = audit.OutcomeOK
	return r
}

// Abort ends a ticket and removes what was sent under it. It is recorded as the
// upload that failed. A ticket that ended before is fs.ErrNotExist. One whose upload
// is complete is fs.ErrExist, and the object stays. While another request completes
// the ticket, the error may be [ErrBusy].
func (t *Ticket) Abort(ctx context.Context) error {
	if t.s == nil {
		return &Error{Op: "abort upload", Key: t.Key, Err: errNoStore}
	}
	ctx, span := t.s.trace(ctx, opAbortUpload)
	if err := span.end(t.s.abortUpload(ctx, t.Key, t.ID)); err != nil {
		return &Error{Op: "abort upload", Key: t.Key, Err: err}
	}
	return nil
}

var errComplete = provider.As(fs.ErrExist, errors.New("the upload is complete: delete the object"))

func (s *Store) abortUpload(ctx context.Context, key, id string) error {
	if err := checkTicket(key, id); err != nil {
		return err
	}
	e := audit.Event{RefOpID: id, Action: audit.ActionUpload, Key: key}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()
	intent, err := s.claim(ctx, id, key)
	if errors.Is(err, audit.ErrNoIntent) {
		if _, err := s.arrived(ctx, key, id); err == nil {
			return errComplete
		}
		return provider.As(fs.ErrNotExist, errTicketOver)
	}
	if err != nil {
		return err
	}
	return s.hold(ctx, intent, func(ctx context.Context, intent audit.Intent) (effect, error) {
		e := intent.Event()
		obj, err := s.arrived(ctx, key, id)
		if err != nil && !errors.Is(err, errNotArrived) {
			return effect{open: true, lease: ticketLease(e)}, err
		}
		var eff effect
		if err == nil { // it was made by a request that could not settle it
			err = errComplete
			eff = s.endTicket(ctx, e, obj, nil)
			eff.result.Outcome = audit.OutcomeOK
		} else {
			err = nil
			eff = s.endTicket(ctx, e, nil, errDiscarded)
			eff.result = failedBy(errDiscarded)
		}
		eff.lost = func(ctx context.Context, _, notHeld error) error {
			obj, err := s.lostTicket(ctx, e, notHeld)
			if obj != nil {
				return errComplete
			}
			return err
		}
		return eff, err
	})
}

// failedBy returns the result of an operation that failed because of cause.
func failedBy(cause error) audit.Result {
	return audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: errorCode(cause)}
}
