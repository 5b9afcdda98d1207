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
// through the handler of the links. CompleteUpload judges what lies there and makes
// the object of it.
//
// Either way the operation is one intent, from BeginUpload to its settlement,
// and its id is the ticket's, the grant's and the object's.

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

// TicketOptions are the options of [Store.BeginUpload]. Nil and the zero value
// mean the defaults.
type TicketOptions struct {
	// Expiry is how long the upload may be begun. 0: Options.LinkExpiry.
	Expiry time.Duration
	// Filename is the name that the file has for people; see UploadOptions.
	Filename string
	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource

	// What the upload must be. [Store.Info] says whether the service
	// holds it or CompleteUpload does.

	ContentType string // empty: any
	Size        int64  // exact, in bytes; 0: any
	MaxSize     int64  // in bytes; 0: Options.MaxSize
	SHA256      []byte // nil: any

	// AllowedTypes are the MIME types that are allowed, such as
	// "application/pdf" or "image/*", judged by the content when it is there; the
	// type that it was sent as must be among them too. None: all.
	AllowedTypes []string
}

// Ticket is a direct upload under way. Its link is a secret.
type Ticket struct {
	ID   string // for CompleteUpload
	Key  string
	Link *Link // how the client sends the bytes
}

// LogValue implements [slog.LogValuer], without the link's URL.
func (t Ticket) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", t.ID), slog.String("key", t.Key), slog.Any("link", t.Link))
}

// BeginUpload opens a direct upload to key and issues the link to send it by.
// Intent and link are durable in the trail before it returns. The object exists
// once [Store.CompleteUpload] has accepted it. Direct uploads never overwrite.
// What is not completed in time is removed by [Store.Reconcile].
func (s *Store) BeginUpload(ctx context.Context, key string, opts *TicketOptions) (*Ticket, error) {
	var o TicketOptions
	if opts != nil {
		o = *opts
	}
	ctx, span := s.trace(ctx, opBeginUpload)
	t, err := s.beginUpload(ctx, key, &o)
	if span.end(err) != nil {
		return nil, &Error{Op: "begin upload", Key: key, Err: err}
	}
	return t, nil
}

func (s *Store) beginUpload(ctx context.Context, key string, o *TicketOptions) (*Ticket, error) {
	up := UploadOptions{Filename: o.Filename, SHA256: o.SHA256, Size: o.Size}
	if _, err := up.metadata(); err != nil {
		return nil, err
	}
	link := LinkOptions{
		Method: http.MethodPut, Expiry: o.Expiry, Resource: o.Resource,
		ContentType: o.ContentType, SHA256: o.SHA256,
	}
	e := audit.Event{
		OpID: newOpID(), Action: audit.ActionUpload, Key: key, Resource: o.Resource,
		ContentType: o.ContentType, SHA256: o.SHA256, Details: up.details(),
	}
	limit := s.uploadLimit(o.MaxSize)
	switch {
	case o.Size > 0 && limit >= 0 && o.Size > limit:
		return nil, fmt.Errorf("%w: %d bytes: the limit is %d", ErrTooLarge, o.Size, limit)
	case o.Size > 0:
		link.ContentLength, e.Size = &o.Size, &o.Size
	case limit > 0:
		link.MaxLength = limit
		e.Details.MaxSize = &limit
	}
	if len(o.AllowedTypes) > 0 {
		if o.ContentType != "" && !allowed(baseType(o.ContentType), o.AllowedTypes) {
			return nil, fmt.Errorf("%w: declared as %.100q, allowed are %s", ErrContentType, o.ContentType, strings.Join(o.AllowedTypes, ", "))
		}
		e.Details.AllowedTypes = o.AllowedTypes
	}
	if err := s.checkLink(&link); err != nil {
		return nil, err
	}
	e.Details.StagingKey = stagingKey(e.OpID)
	target := key // the handler knows by the grant that it is a ticket's
	if s.signsItself(&link) {
		target = stagingKey(e.OpID)
		link.relax(s.Info().Capabilities.Links)
	}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()

	if err := s.precheck(ctx, e); err != nil {
		return nil, s.record(ctx, e, err)
	}
	signed, issued, err := s.signAs(ctx, e, &link, target, e.OpID)
	if err != nil {
		return nil, err
	}
	if o.ContentType != "" && signed.Header.Get("Content-Type") == "" && signed.Form() == nil {
		// Where the service does not hold it, CompleteUpload does.
		if signed.Header == nil {
			signed.Header = make(http.Header)
		}
		signed.Header.Set("Content-Type", o.ContentType)
	}
	issued.RefOpID = e.OpID
	e.Details.Expires = signed.Expires
	bctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if _, err := s.journal.Begin(bctx, e, time.Until(signed.Expires)+ticketGrace); err != nil {
		return nil, driver.As(ErrAudit, err)
	}
	if err := s.log(ctx, issued); err != nil {
		return nil, err // the intent is left to the reconciler
	}
	return &Ticket{ID: e.OpID, Key: key, Link: signed}, nil
}

// relax drops the constraints that CompleteUpload holds in place of the service.
func (o *LinkOptions) relax(l driver.Links) {
	if l.ContentType == driver.OnCompletion {
		o.ContentType = ""
	}
	if l.ContentLength == driver.OnCompletion {
		o.ContentLength = nil
	}
	if l.MaxLength == driver.OnCompletion {
		o.MaxLength = 0
	}
	if l.SHA256 == driver.OnCompletion {
		o.SHA256 = nil
	}
	if o.SHA256 != nil {
		// Which holds more than a limit does, and not every service can hold both.
		o.MaxLength = 0
	}
	// The private key is used once; whether the object may be created is
	// decided when it is copied to its own.
	o.Overwrite = true
}

func newOpID() string { return uuid.Must(uuid.NewV7()).String() }

// isTicket reports whether an id has the form of a ticket's, which is that of an
// operation: a UUID in lower case. The ids of other grants are no UUIDs.
func isTicket(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}
