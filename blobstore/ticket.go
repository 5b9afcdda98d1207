package blobstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// This file implements the start of direct uploads. The client sends the
// content to a private key that no operation of a Store can access: directly to
// a backend that signs links, and otherwise through the program's own handler.
// Ticket.Complete checks the content and copies it to the object.
//
// In both cases the operation has a single intent, begun by BeginUpload. Its ID
// is also the ID of the ticket and of the object, and part of the ID of the
// grant.

// stagingKey returns the private key for the content of a ticket's upload.
func stagingKey(opID string) string { return keyrule.Uploads + opID }

// stagingOf returns the private key of an upload if e belongs to a ticket.
func stagingOf(e audit.Event) string {
	if key := e.Details.StagingKey; key == stagingKey(e.OpID) && keyrule.IsUpload(key) {
		return key
	}
	return ""
}

// ticketGrace is the time after expiry of the link before the ticket expires.
// It allows for uploads that began in time.
const ticketGrace = 15 * time.Minute

// Ticket is a direct upload in progress. [Store.BeginUpload] returns a ticket
// with the link for sending the content. In a later request or in another
// process, [Store.Ticket] recreates it from its key and ID.
type Ticket struct {
	ID   string // a secret: anyone who knows ID and key can complete or abort the upload
	Key  string
	Link *Link // for sending the content; nil in a Ticket from Store.Ticket

	s *Store
}

// LogValue implements [slog.LogValuer]. It omits the URL of the link.
func (t Ticket) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", t.ID), slog.String("key", t.Key), slog.Any("link", t.Link))
}

// Ticket returns the ticket with the given ID for key. It performs no lookup,
// so both arguments may come from a client. Complete and Abort refuse an ID
// that BeginUpload did not return for that key, and do not affect other
// operations.
func (s *Store) Ticket(key, id string) *Ticket { return &Ticket{ID: id, Key: key, s: s} }

// BeginUpload starts a direct upload to key and returns a ticket with the link
// for the client. The link is valid for expiry; zero means Options.LinkExpiry.
// The ticket expires 15 minutes after its link. The intent and the link are
// recorded durably before BeginUpload returns.
//
// The object exists once [Ticket.Complete] has accepted the upload. A direct
// upload never replaces an existing object. If it is not completed in time,
// [Store.Reconcile] removes the uploaded content.
//
// The options Filename, Resource, ContentType, Size, MaxSize, SHA256 and
// AllowedTypes describe the expected upload. [Store.Info] reports the
// constraints enforced by the service. Complete enforces the others.
// BeginUpload returns [ErrUnsupported] for all other options, because the
// request of the client cannot carry them.
func (s *Store) BeginUpload(ctx context.Context, key string, expiry time.Duration, opts *UploadOptions) (*Ticket, error) {
	var o UploadOptions
	if opts != nil {
		o = *opts
	}
	ctx, span := s.trace(ctx, opBeginUpload)
	t, err := s.beginUpload(ctx, key, expiry, &o)
	if span.end(err) != nil {
		return nil, &Error{Op: "begin upload", Key: key, Err: err}
	}
	return t, nil
}

// forTicket returns an error that names an option not accepted for direct
// uploads.
func (o *UploadOptions) forTicket() error {
	return refuse("a direct upload does not accept", []option{
		{"Overwrite", o.Overwrite},
		{"Link", o.Link != nil},
		{"CacheControl", o.CacheControl != ""},
		{"ContentEncoding", o.ContentEncoding != ""},
		{"Metadata", len(o.Metadata) > 0},
	})
}

// forReceipt returns an error that names an option already decided by
// BeginUpload.
func (o *UploadOptions) forReceipt() error {
	if err := o.forTicket(); err != nil {
		return err
	}
	return refuse("already decided by BeginUpload: the upload of a ticket does not accept", []option{
		{"Filename", o.Filename != ""},
		{"Resource", o.Resource != audit.Resource{}},
		{"AllowedTypes", len(o.AllowedTypes) > 0},
	})
}

// option is a named upload option. set reports whether it has a value.
type option struct {
	name string
	set  bool
}

// refuse returns an error that names the first set option, or nil.
func refuse(why string, options []option) error {
	for _, o := range options {
		if o.set {
			return fmt.Errorf("%w: %s UploadOptions.%s", ErrUnsupported, why, o.name)
		}
	}
	return nil
}

// planTicket returns the event of a direct upload and the options of its link.
func (s *Store) planTicket(key string, expiry time.Duration, o *UploadOptions) (audit.Event, *LinkOptions, error) {
	if err := o.forTicket(); err != nil {
		return audit.Event{}, nil, err
	}
	declared := o.ContentType // the link contains the type exactly as given by the caller
	if _, err := o.metadata(); err != nil {
		return audit.Event{}, nil, err
	}
	limit, err := s.limitOf(o)
	if err != nil {
		return audit.Event{}, nil, err
	}
	link := &LinkOptions{
		Method: http.MethodPut, Expiry: expiry, Resource: o.Resource,
		ContentType: declared, SHA256: o.SHA256, ticket: true,
	}
	id := newOpID()
	e := audit.Event{
		OpID: id, Action: audit.ActionUpload, Key: key, Resource: o.Resource,
		ContentType: declared, SHA256: o.SHA256, Details: o.details(),
	}
	e.Details.StagingKey = stagingKey(id)
	switch {
	case o.Size > 0:
		link.Size, e.Size = o.Size, &o.Size
	case limit > 0:
		link.MaxSize = limit
		e.Details.MaxSize = &limit
	}
	if len(o.AllowedTypes) > 0 {
		if err := o.checkDeclared(declared); err != nil {
			return audit.Event{}, nil, err
		}
		e.Details.AllowedTypes = o.AllowedTypes
	}
	return e, link, s.checkLink(link)
}

func (s *Store) beginUpload(ctx context.Context, key string, expiry time.Duration, o *UploadOptions) (*Ticket, error) {
	e, link, err := s.planTicket(key, expiry, o)
	if err != nil {
		return nil, err
	}
	target := key // the handler finds the ticket by the ID of the grant
	if s.signsItself(link) {
		target = stagingOf(e)
		link.relax(s.Info().Capabilities.Links)
	}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()

	signed, issued, err := s.signAs(ctx, e, link, target, ticketGrantID(e.OpID, key))
	if err != nil {
		return nil, err
	}
	if e.ContentType != "" && signed.Header.Get("Content-Type") == "" && signed.Form() == nil {
		// The service does not require this header, so Complete checks the
		// type.
		if signed.Header == nil {
			signed.Header = make(http.Header)
		}
		signed.Header.Set("Content-Type", e.ContentType)
	}
	issued.RefOpID = e.OpID
	e.Details.Expires = signed.Expires
	if _, err := s.begin(ctx, e, ticketLease(e)); err != nil {
		return nil, err
	}
	if err := s.log(ctx, issued); err != nil {
		return nil, err // Reconcile settles the intent
	}
	return &Ticket{ID: e.OpID, Key: key, Link: signed, s: s}, nil
}

// ticketLease returns how long a ticket stays open while no request completes
// it.
func ticketLease(e audit.Event) time.Duration {
	return max(time.Until(e.Details.Expires)+ticketGrace, time.Millisecond)
}

// relax drops the constraints enforced by Complete instead of the service.
func (o *LinkOptions) relax(l driver.LinkCapabilities) {
	if l.ContentType == driver.OnCompletion {
		o.ContentType = ""
	}
	if l.Size == driver.OnCompletion {
		o.Size = 0
	}
	if l.MaxSize == driver.OnCompletion {
		o.MaxSize = 0
	}
	if l.SHA256 == driver.OnCompletion {
		o.SHA256 = nil
	}
	if o.SHA256 != nil {
		// A digest is stricter than a limit, and not every service can enforce
		// both.
		o.MaxSize = 0
	}
	// The private key is used only once. The copy to the final key checks
	// whether the object exists already.
	o.Overwrite = true
}

func newOpID() string { return uuid.Must(uuid.NewV7()).String() }

// isTicketID reports whether an ID from a client has the form of a ticket's ID:
// a lowercase UUID.
func isTicketID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}
