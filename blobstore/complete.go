package blobstore

// This file implements the end of a ticket. Several requests, in several
// processes, may complete or abort the same ticket concurrently. Each takes
// over the intent from the previous one. The request that settles the intent
// decides the outcome.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Complete checks the uploaded content, stores it as the object, and settles
// the operation. The process that calls Complete need not be the one that
// called BeginUpload. Once the upload is complete, further calls return the
// object.
//
// The object takes only its content from the client, and its content type if
// the ticket does not specify one.
//
// If the ticket is unknown or has expired, the error is fs.ErrNotExist.
//
// In these cases the ticket is still open, and the caller can try again:
//
//   - fs.ErrNotExist: nothing has been uploaded yet.
//   - [ErrInDoubt]: the content cannot be checked or stored at the moment.
//   - [ErrBusy]: another request is completing or aborting the ticket.
//
// If the upload violates a constraint, Complete removes the uploaded content
// and ends the ticket. The error is one of these:
//
//   - [ErrTooLarge]: the content is too long.
//   - io.ErrUnexpectedEOF: the content is too short.
//   - [ErrContentType]: its type is not allowed.
//   - [ErrChecksum]: its SHA-256 differs.
//   - [ErrReplaced]: the client kept uploading again during the check.
//   - fs.ErrExist: the key exists already.
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

var errNoStore = errors.New("the Ticket has no store: use one returned by Store.BeginUpload or Store.Ticket")

// checkTicket rejects an invalid key or ID from a client. Otherwise, the
// journal would reject the record, as if the trail were unavailable.
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

// errNotArrived reports that nothing has been uploaded for the ticket yet.
var errNotArrived = provider.As(fs.ErrNotExist, errors.New("nothing has been uploaded yet"))

// errTicketOver reports that the ticket is settled or never existed.
var errTicketOver = errors.New("unknown or expired ticket")

// arrived returns the object created from a ticket.
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

// claim takes over the intent of a ticket from its current holder.
func (s *Store) claim(ctx context.Context, id, key string) (audit.Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	intent, err := s.journal.Claim(ctx, id, s.opts.Lease, func(e audit.Event) bool { return s.isTicketOf(e, key) })
	if err != nil && !errors.Is(err, audit.ErrNoIntent) {
		err = provider.As(ErrAudit, err)
	}
	return intent, err
}

// endTicket returns how to settle a ticket. If cause is nil, the ticket became
// the object obj. Otherwise, creating the object failed with cause. The ticket
// remains open until it expires if nothing was uploaded, or if the content
// cannot be checked at the moment.
func (s *Store) endTicket(ctx context.Context, e audit.Event, obj *Object, cause error) effect {
	switch {
	case errors.Is(cause, ErrInDoubt), errors.Is(cause, errNotArrived):
		return effect{open: true, lease: ticketLease(e)}
	case cause == nil:
		// A request that takes over the ticket from now on finds the object.
		clearErr := s.removeStaged(ctx, stagingOf(e))
		return effect{result: resultOf(obj), settled: func(ctx context.Context) error {
			s.reportLeft(ctx, e, clearErr)
			return nil
		}}
	}
	return effect{settled: func(ctx context.Context) error {
		s.clearStaged(ctx, e)
		// A request that lost the ticket may have created the object since the
		// last lookup.
		_, err := s.undo(ctx, e)
		return err
	}}
}

// lostTicket ends a request whose ticket was taken over by another request.
// lost is the error that reported it.
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

// undo removes the object of a ticket that was settled as failed. If the
// service refuses to remove it, undo returns the object and appends a second
// entry to the trail: the object exists.
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
	// A reconciler may have found the object and recorded it.
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

// Abort ends a ticket and removes the uploaded content. The trail records the
// upload as failed.
//
// If the ticket has already ended, the error is fs.ErrNotExist. If the upload
// is complete, the error is fs.ErrExist, and the object remains. If another
// request is completing the ticket, the error may be [ErrBusy].
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

var errComplete = provider.As(fs.ErrExist, errors.New("the upload is already complete: call Delete to remove the object"))

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
		if err == nil { // created by a request that could not settle it
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
