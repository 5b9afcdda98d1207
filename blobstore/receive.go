package blobstore

// This file implements receiving the content of tickets through the program's
// own handler, and removing it after the ticket ends.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/signurl"
)

// uploadByTicket receives the content that a client sends to the handler under
// a ticket. It stores the content under the ticket's private key, as a service
// would. Only Ticket.Complete creates the object. If uploadByTicket fails, the
// ticket remains valid, and the client can try again.
func (s *Store) uploadByTicket(ctx context.Context, p *uploadPlan, id string) (*Object, error) {
	use := p.event
	use.Action, use.RefOpID = audit.ActionRedeem, id
	if err := s.log(ctx, use); err != nil {
		return nil, err
	}
	failed := p.event
	failed.RefOpID = id
	ticket, err := s.openTicket(ctx, id, p.event.Key)
	if err == nil {
		var obj *Object
		if obj, err = s.receive(ctx, p, ticket); err == nil {
			return obj, nil
		}
	}
	if errors.Is(err, ErrAudit) {
		return nil, err
	}
	return nil, s.record(ctx, failed, err)
}

var errKeyTaken = provider.As(fs.ErrExist, errors.New("the key exists already"))

var errTicketUsed = fmt.Errorf("the ticket was already used: %w", signurl.ErrRevoked)

// openTicket returns the event of an open ticket without taking over its
// intent. If the ticket has ended, the error is errTicketUsed.
func (s *Store) openTicket(ctx context.Context, id, key string) (audit.Event, error) {
	e, open, err := s.peek(ctx, id, func(e audit.Event) bool { return s.isTicketOf(e, key) })
	if err == nil && !open {
		err = errTicketUsed
	} else if err != nil {
		err = provider.As(ErrAudit, err)
	}
	return e, err
}

// isTicketOf reports whether the event of an open intent belongs to a ticket
// for key.
func (s *Store) isTicketOf(e audit.Event, key string) bool {
	info := s.bucket.Info()
	return e.Backend == info.Backend && e.Bucket == info.Bucket && e.Action == audit.ActionUpload && e.Key == key && !e.Details.Expires.IsZero() && stagingOf(e) != ""
}

// receive stores the content under the ticket's private key. It rejects early
// content that Ticket.Complete would reject.
func (s *Store) receive(ctx context.Context, p *uploadPlan, ticket audit.Event) (*Object, error) {
	if a, err := s.attributes(ctx, ticket.Key); a != nil || err != nil {
		return nil, cmp.Or(err, errKeyTaken)
	}
	if a, err := s.attributes(ctx, stagingOf(ticket)); a != nil || err != nil {
		return nil, cmp.Or(err, errTicketUsed)
	}
	if ticket.Size != nil && p.size < 0 {
		p.size = *ticket.Size
	}
	if limit := ticket.Details.MaxSize; limit != nil && (p.limit < 0 || *limit < p.limit) {
		p.limit = *limit
	}
	if ticket.SHA256 != nil {
		p.SHA256 = ticket.SHA256
	}
	if ticket.ContentType != "" && p.ContentType == "" {
		p.ContentType = ticket.ContentType
	}
	p.AllowedTypes = ticket.Details.AllowedTypes
	// If several uploads run concurrently, the first to finish wins. Each has a
	// different ID, so that none mistakes the content of another for its own.
	p.meta, p.Overwrite = map[string]string{}, false
	obj, err := s.write(ctx, p, stagingOf(ticket), newOpID())
	if errors.Is(err, fs.ErrExist) {
		err = errTicketUsed
	}
	if err != nil {
		return nil, err
	}
	// A request that ended the ticket in the meantime may have cleared the key
	// before this upload finished.
	if _, err := s.openTicket(ctx, ticket.OpID, ticket.Key); errors.Is(err, errTicketUsed) {
		s.clearStaged(ctx, ticket)
		return nil, err
	}
	obj.Key, obj.Filename, obj.OpID = ticket.Key, ticket.Details.Filename, ticket.OpID
	return obj, nil
}

// removeStaged removes the content under a private key.
func (s *Store) removeStaged(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	err := s.bucket.Delete(ctx, key, &driver.DeleteOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// clearStaged removes the content of a settled ticket. The content is private,
// so a failure does no harm: it is recorded as a failed "reconcile" of the
// private key, and Reconcile tries again.
func (s *Store) clearStaged(ctx context.Context, ticket audit.Event) {
	if key := stagingOf(ticket); key != "" {
		s.reportLeft(ctx, ticket, s.removeStaged(ctx, key))
	}
}

// reportLeft records that the content of a ticket could not be removed because
// of err. If err is nil, it does nothing.
func (s *Store) reportLeft(ctx context.Context, ticket audit.Event, err error) {
	if err == nil {
		return
	}
	_ = s.log(context.WithoutCancel(ctx), audit.Event{ // Reconcile finds the content even without this record
		Action: audit.ActionReconcile, RefOpID: ticket.OpID, Actor: ticket.Actor, Key: stagingOf(ticket), Backend: ticket.Backend, Bucket: ticket.Bucket,
		Outcome: audit.OutcomeFailed, ErrorCode: errorCode(err),
	})
}

// foreignAfter is the time before content is removed if its ticket is not in
// this trail. Another program with another trail may share the bucket, so the
// time is longer than the longest lifetime of a link at any service, and no
// option shortens it.
const foreignAfter = 8 * 24 * time.Hour

// sweepTickets removes the content of tickets that have ended: content that
// could not be removed at that time, and content sent later. After an error it
// continues, and it returns the first error.
func (s *Store) sweepTickets(ctx context.Context) (first error) {
	for item, err := range s.bucket.List(ctx, &blob.ListOptions{Prefix: keyrule.Uploads}) {
		if err != nil {
			return both(first, err)
		}
		if err := s.sweepTicket(ctx, item); err != nil && first == nil {
			first = fmt.Errorf("removing the content of an ended ticket, %s: %w", item.Key, err)
		}
	}
	return first
}

func (s *Store) sweepTicket(ctx context.Context, item *blob.ListObject) error {
	if !keyrule.IsUpload(item.Key) {
		return nil
	}
	id := strings.TrimPrefix(item.Key, keyrule.Uploads)
	if _, open, err := s.peek(ctx, id, nil); err != nil || open {
		return provider.As(ErrAudit, err)
	}
	info := s.bucket.Info()
	e := audit.Event{Action: audit.ActionReconcile, Key: item.Key, Backend: info.Backend, Bucket: info.Bucket, Size: &item.Size}
	end, known, err := s.endOf(ctx, audit.Event{OpID: id, Action: audit.ActionUpload})
	switch {
	case err != nil:
		return provider.As(ErrAudit, err)
	case end != "":
		e.RefOpID = id
	case time.Since(item.ModTime) < max(foreignAfter, s.opts.MaxLinkExpiry+24*time.Hour):
		return nil
	}
	if known { // if the trail is readable, record only once that the content remains
		last, _, err := s.lastSweep(ctx, item.Key)
		if err != nil {
			return provider.As(ErrAudit, err)
		}
		if last == audit.OutcomeFailed {
			if err := s.removeStaged(ctx, item.Key); err != nil {
				return err
			}
			return s.log(ctx, e)
		}
	}
	return s.change(ctx, e, func(ctx context.Context, _ audit.Intent) (effect, error) {
		return effect{}, s.removeStaged(ctx, item.Key)
	})
}

// lastSweep returns the outcome of the last attempt to remove the content under
// a private key, or an empty one if there was none.
func (s *Store) lastSweep(ctx context.Context, key string) (last audit.Outcome, found bool, err error) {
	trail, ok := s.journal.(audit.Reader)
	if !ok {
		return "", false, nil
	}
	for e, err := range trail.Entries(ctx, audit.Query{Key: key, Actions: []audit.Action{audit.ActionReconcile}, NewestFirst: true, Limit: 1}) {
		return e.Outcome, true, err
	}
	return "", false, nil
}
