package blobstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/signurl"
)

// Direct uploads. The client sends its bytes straight to the backend, so that
// the store sees them only when they are there. A backend that signs its own
// links gets them under a private key, where no operation of a Store can reach
// them; CompleteUpload checks them and copies them to their key. Other backends
// get them through the handler of the links, which checks on the way.
//
// Either way the operation is one intent, from BeginUpload to its settlement,
// and its id is the ticket's, the grant's and the object's.

// attributes of a ticket's intent, beside the event's own Size, SHA256 and
// ContentType, which are what the upload must have.
const (
	attrStagingKey = "staging_key" // where the backend gets the bytes; none: through the handler
	attrMaxSize    = "max_size"
	attrTypes      = "allowed_types" // separated by commas
)

const stagingPrefix = keyrule.Private + "/uploads/"

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
	// Attrs are further facts for the trail; see [audit.Event].
	Attrs map[string]string

	// What the upload must be. [Store.Capabilities] says whether the service
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
	up := UploadOptions{Filename: o.Filename, Attrs: o.Attrs, SHA256: o.SHA256, Size: o.Size}
	if _, err := up.metadata(); err != nil {
		return nil, err
	}
	link := LinkOptions{
		Method: http.MethodPut, Expiry: o.Expiry, Resource: o.Resource,
		ContentType: o.ContentType, SHA256: o.SHA256,
	}
	e := audit.Event{
		OpID: newOpID(), Action: audit.ActionUpload, Key: key, Resource: o.Resource,
		ContentType: o.ContentType, SHA256: o.SHA256, Attrs: up.attrs(),
	}
	limit := s.uploadLimit(o.MaxSize)
	switch {
	case o.Size > 0 && limit >= 0 && o.Size > limit:
		return nil, fmt.Errorf("%w: %d bytes: the limit is %d", ErrTooLarge, o.Size, limit)
	case o.Size > 0:
		link.ContentLength, e.Size = &o.Size, &o.Size
	case limit > 0:
		link.MaxLength = limit
		e.Attrs = with(e.Attrs, attrMaxSize, strconv.FormatInt(limit, 10))
	}
	if len(o.AllowedTypes) > 0 {
		if o.ContentType != "" && !allowed(baseType(o.ContentType), o.AllowedTypes) {
			return nil, fmt.Errorf("%w: declared as %.100q, allowed are %s", ErrType, o.ContentType, strings.Join(o.AllowedTypes, ", "))
		}
		e.Attrs = with(e.Attrs, attrTypes, strings.Join(o.AllowedTypes, ","))
	}
	if err := s.checkLink(&link); err != nil {
		return nil, err
	}
	target := key
	if s.signsItself(&link) {
		target = stagingPrefix + e.OpID
		e.Attrs = with(e.Attrs, attrStagingKey, target)
		link.relax(s.Capabilities().Links)
	}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()

	signed, issued, err := s.signAs(ctx, e, &link, target, e.OpID)
	if err != nil {
		return nil, err
	}
	if o.ContentType != "" && signed.Header.Get("Content-Type") == "" && signed.Form == nil {
		// Where the service does not hold it, CompleteUpload does.
		if signed.Header == nil {
			signed.Header = make(http.Header)
		}
		signed.Header.Set("Content-Type", o.ContentType)
	}
	issued.RefOpID = e.OpID
	e.Attrs = with(e.Attrs, audit.AttrExpires, signed.Expires.UTC().Format(time.RFC3339))
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

// CompleteUpload checks what was sent under the ticket of that id to key, makes
// it the object, and settles the record. Both may come from the client: the id
// of another operation is refused and disturbs nothing. It may be called by
// another process than BeginUpload, and again: once the upload is complete it
// returns the object.
//
// If nothing has arrived yet, the error is fs.ErrNotExist and the ticket stays
// good, as it does if what has arrived can't be looked at now, which is
// [ErrInDoubt]. What breaks a rule is removed, and the ticket is over: [ErrTooLarge],
// [ErrType], [ErrChecksum], io.ErrUnexpectedEOF for too few bytes, [ErrReplaced]
// if it was sent again and again meanwhile, or fs.ErrExist if the key was taken.
func (s *Store) CompleteUpload(ctx context.Context, key, ticketID string) (*Object, error) {
	ctx, span := s.trace(ctx, opCompleteUpload)
	obj, err := s.completeUpload(ctx, key, ticketID)
	if span.end(err) != nil {
		return nil, &Error{Op: "complete upload", Key: key, Err: err}
	}
	return obj, nil
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

	if !s.signsItself(&LinkOptions{Method: http.MethodPut}) {
		// To claim the ticket would cut off a request that is still being taken.
		if _, err := s.arrived(ctx, key, id); err != nil {
			return nil, err
		}
	}
	intent, err := s.claim(ctx, id, key)
	if errors.Is(err, audit.ErrNoIntent) {
		obj, err := s.arrived(ctx, key, id)
		if err != nil {
			return nil, fmt.Errorf("no such ticket, or it is over: %w", err)
		}
		return obj, nil
	}
	if err != nil {
		return nil, err
	}
	var obj *Object
	actCtx, release := s.keep(ctx, intent)
	defer release()
	err = func() (err error) {
		obj, err = s.accept(actCtx, intent.Event())
		return err
	}()
	release()
	switch {
	case errors.Is(err, errNotArrived), errors.Is(err, errUnjudged):
		return nil, both(err, s.giveBack(ctx, intent))
	case errors.Is(err, ErrInDoubt):
		return nil, err
	}
	eff := effect{}
	if err == nil {
		eff.result = resultOf(obj)
	}
	if err := both(err, s.settle(ctx, intent, eff, err)); err != nil {
		return nil, err
	}
	return obj, nil
}

// errNotArrived: the ticket's bytes are not there yet.
var errNotArrived = driver.As(fs.ErrNotExist, errors.New("nothing was uploaded yet"))

// errNoTicket reports an id that is not that of an open ticket.
var errNoTicket = driver.As(fs.ErrNotExist, errors.New("unknown or expired ticket"))

// checkTicket refuses a key or an id that a client made up. The journal would
// refuse a record with such an id, as if no record could be written.
func checkTicket(key, id string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if !isTicket(id) {
		return errNoTicket
	}
	return nil
}

// arrived returns the object of a ticket whose bytes came through the handler.
func (s *Store) arrived(ctx context.Context, key, id string) (*Object, error) {
	obj, err := s.lookUp(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || obj != nil && obj.OpID != id {
		return nil, errNotArrived
	}
	return obj, err
}

// claim takes a ticket's intent over from whoever began it.
func (s *Store) claim(ctx context.Context, id, key string) (audit.Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	intent, err := s.journal.Claim(ctx, id, s.opts.Lease, func(e audit.Event) bool {
		return e.Action == audit.ActionUpload && e.Key == key && e.Attrs[audit.AttrExpires] != ""
	})
	if err != nil && !errors.Is(err, audit.ErrNoIntent) {
		err = driver.As(ErrAudit, err)
	}
	return intent, err
}

// giveBack lets a claimed ticket go on until its time is over.
func (s *Store) giveBack(ctx context.Context, intent audit.Intent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	left := s.opts.Lease
	if ends, err := time.Parse(time.RFC3339, intent.Event().Attrs[audit.AttrExpires]); err == nil {
		left = max(time.Until(ends)+ticketGrace, time.Millisecond)
	}
	return driver.As(ErrAudit, intent.Renew(ctx, left))
}

// AbortUpload ends a ticket that is not to be used any more, and removes what
// was sent under it. It is recorded as the upload that failed. A ticket that is
// over is fs.ErrNotExist; one whose upload is complete is fs.ErrExist, and the
// object stands. So may one that the handler of the links is taking at this
// moment; the trail then has a second entry that says so.
func (s *Store) AbortUpload(ctx context.Context, key, ticketID string) error {
	ctx, span := s.trace(ctx, opAbortUpload)
	if err := span.end(s.abortUpload(ctx, key, ticketID)); err != nil {
		return &Error{Op: "abort upload", Key: key, Err: err}
	}
	return nil
}

func (s *Store) abortUpload(ctx context.Context, key, id string) error {
	if err := checkTicket(key, id); err != nil {
		return err
	}
	e := audit.Event{RefOpID: id, Action: audit.ActionUpload, Key: key}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()
	complete := driver.As(fs.ErrExist, errors.New("the upload is complete: delete the object"))
	if _, err := s.arrived(ctx, key, id); err == nil {
		return complete
	}
	intent, err := s.claim(ctx, id, key)
	if errors.Is(err, audit.ErrNoIntent) {
		return errNoTicket
	}
	if err != nil {
		return err
	}
	// From here on nobody else completes it. What came just before stands.
	obj, err := s.arrived(ctx, key, id)
	switch {
	case err == nil:
		return both(complete, s.settle(ctx, intent, effect{result: resultOf(obj)}, nil))
	case !errors.Is(err, fs.ErrNotExist):
		return both(err, s.giveBack(ctx, intent))
	}
	if staging := intent.Event().Attrs[attrStagingKey]; staging != "" {
		if err := s.removeStaged(ctx, staging); err != nil {
			return both(err, s.giveBack(ctx, intent))
		}
	}
	return s.settle(ctx, intent, effect{}, errDiscarded)
}

// removeStaged removes what lies under a private key.
func (s *Store) removeStaged(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	if err := s.bucket.Delete(ctx, key, &driver.DeleteOptions{}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return driver.As(ErrInDoubt, err)
	}
	return nil
}

// uploadByTicket stores what a client sends to the handler under a ticket. If it
// fails the ticket stays good, so that the client can try again, as it can with
// a service.
func (s *Store) uploadByTicket(ctx context.Context, p *uploadPlan) (*Object, error) {
	use := p.event
	use.Action, use.RefOpID = audit.ActionRedeem, p.GrantID
	if err := s.log(ctx, use); err != nil {
		return nil, err
	}
	intent, err := s.claim(ctx, p.GrantID, p.event.Key)
	failed := p.event
	failed.RefOpID = p.GrantID
	if errors.Is(err, audit.ErrNoIntent) {
		return nil, s.record(ctx, failed, fmt.Errorf("the ticket was used: %w", signurl.ErrRevoked))
	}
	if err != nil {
		return nil, err
	}
	ticket := intent.Event()
	if name := ticket.Attrs[audit.AttrFilename]; name != "" {
		p.Filename, p.meta[driver.MetaFilename] = name, name
	}
	if ticket.SHA256 != nil {
		p.SHA256, p.meta[driver.MetaSHA256] = ticket.SHA256, hex.EncodeToString(ticket.SHA256)
	}
	p.Overwrite = false
	if types := ticket.Attrs[attrTypes]; types != "" {
		p.AllowedTypes = strings.Split(types, ",")
	}
	// A client may send again before its first request has ended. Both are of one
	// operation; neither may take the other's bytes for its own.
	p.meta[driver.MetaTry] = newOpID()
	actCtx, release := s.keep(ctx, intent)
	defer release()
	obj, err := s.write(actCtx, p, intent.ID())
	release()
	switch {
	case errors.Is(err, ErrInDoubt):
		return nil, err
	case err != nil:
		return nil, both(s.record(ctx, failed, err), s.giveBack(ctx, intent))
	}
	if err := s.settle(ctx, intent, effect{result: resultOf(obj)}, nil); err != nil {
		return nil, err
	}
	return obj, nil
}

// sweepTickets removes what was sent by links of tickets that are long over, as
// by a client that used its link again.
func (s *Store) sweepTickets(ctx context.Context) error {
	if !s.signsItself(&LinkOptions{Method: http.MethodPut}) {
		return nil
	}
	info := s.bucket.Info()
	for item, err := range s.bucket.List(ctx, &blob.ListOptions{Prefix: stagingPrefix}) {
		if err != nil {
			return err
		}
		if time.Since(item.ModTime) < s.opts.MaxLinkExpiry+24*time.Hour {
			continue
		}
		e := audit.Event{Action: audit.ActionReconcile, Key: item.Key, Backend: info.Backend, Bucket: info.Bucket, Size: &item.Size}
		if err := s.log(ctx, e); err != nil {
			return err
		}
		if err := s.removeStaged(ctx, item.Key); err != nil {
			return err
		}
	}
	return nil
}

// isTicket reports whether an id has the form of a ticket's, which is that of an
// operation: a UUID in lower case. The ids of other grants are no UUIDs.
func isTicket(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}
