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

// Direct uploads. The client sends its bytes to a private key, where no operation
// of a Store can reach them: straight to a backend that signs its own links, else
// through the handler of the links. Ticket.Complete checks the bytes there and makes
// the object of them.
//
// Either way the operation is one intent, from BeginUpload to its settlement. Its
// id is that of the ticket and the object, and part of the grant's ID.

// stagingKey returns where the bytes of a ticket's operation lie.
func stagingKey(opID string) string { return keyrule.Uploads + opID }

// stagingOf returns where the bytes of an upload lie, if e is that of a ticket.
func stagingOf(e audit.Event) string {
	if key := e.Details.StagingKey; key == stagingKey(e.OpID) && keyrule.IsUpload(key) {
		return key
	}
	return ""
}

// ticketGrace is how long after its link a ticket is kept, for uploads that
// began in time.
const ticketGrace = 15 * time.Minute

// Ticket is a direct upload under way. [Store.BeginUpload] makes one with the link
// to send the bytes by, and [Store.Ticket] makes one of a ticket's key and ID in a
// later request or another process.
type Ticket struct {
	ID   string // treat it as a secret: with the key it completes and aborts the upload
	Key  string
	Link *Link // how the client sends the bytes; nil in a Ticket of Store.Ticket

	s *Store
}

// LogValue implements [slog.LogValuer], without the link's URL.
func (t Ticket) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", t.ID), slog.String("key", t.Key), slog.Any("link", t.Link))
}

// Ticket returns the ticket of that id for key. It looks nothing up. Both may come
// from a client: Complete and Abort refuse what no BeginUpload for that key
// returned, and disturb no other operation.
func (s *Store) Ticket(key, id string) *Ticket { return &Ticket{ID: id, Key: key, s: s} }

// BeginUpload opens a direct upload to key and issues the link to send it by,
// which is valid for expiry (0: Options.LinkExpiry). Intent and link are durable in
// the trail before it returns. The object exists once [Ticket.Complete] has accepted
// it. [Store.Reconcile] removes an upload that is not completed in time.
//
// Filename, Resource, ContentType, Size, MaxSize, SHA256 and AllowedTypes say what
// the upload must be. [Store.Info] says which of them the service enforces;
// Complete enforces the others. The other options are refused with
// [ErrUnsupported]: the client's request can't be made to carry them.
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

// forTicket returns an error that names an option which a direct upload can't have.
func (o *UploadOptions) forTicket() error {
	return refuse("a direct upload can't have", []option{
		{"Overwrite", o.Overwrite},
		{"Link", o.Link != nil},
		{"CacheControl", o.CacheControl != ""},
		{"ContentEncoding", o.ContentEncoding != ""},
		{"Metadata", len(o.Metadata) > 0},
	})
}

// forReceipt returns an error that names an option which the upload that a ticket
// receives can't have, because BeginUpload has decided it.
func (o *UploadOptions) forReceipt() error {
	if err := o.forTicket(); err != nil {
		return err
	}
	return refuse("BeginUpload decides it: the upload of a ticket can't have", []option{
		{"Filename", o.Filename != ""},
		{"Resource", o.Resource != audit.Resource{}},
		{"AllowedTypes", len(o.AllowedTypes) > 0},
	})
}

// option is an option of an upload, and whether it is set.
type option struct {
	name string
	set  bool
}

// refuse returns an error that names the first option that is set.
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
	declared := o.ContentType // the link names the type as the caller does
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
	target := key // the handler knows the ticket by the grant
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
		// Where the service does not enforce it, Complete does.
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
		return nil, err // the intent is left to the reconciler
	}
	return &Ticket{ID: e.OpID, Key: key, Link: signed, s: s}, nil
}

// ticketLease returns how long a ticket stays open that is not being completed.
func ticketLease(e audit.Event) time.Duration {
	return max(time.Until(e.Details.Expires)+ticketGrace, time.Millisecond)
}

// relax drops the constraints that Complete enforces in place of the service.
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
		// Which holds more than a limit does, and not every service can hold both.
		o.MaxSize = 0
	}
	// The private key is used once; whether the object may be created is
	// decided when it is copied to its own.
	o.Overwrite = true
}

func newOpID() string { return uuid.Must(uuid.NewV7()).String() }

// isTicketID reports whether an ID from a client has the form of a ticket's ID: a
// UUID in lower case.
func isTicketID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}
