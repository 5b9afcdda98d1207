package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/signurl"
)

// This file implements the use of links. Redeem converts the request of a link
// to a Redemption. Only a Redemption lets an operation bypass the authorizer.

// redeemTime bounds the time between Redeem and the operation of its
// Redemption. If a link is revoked, a Redemption obtained earlier remains
// usable for at most this time.
const redeemTime = time.Minute

// Redemption is the permission for the single operation that a signed link
// allows. Only [Store.Redeem] returns one. The operation is limited to the
// link's key and constraints and recorded as the use of the link (action
// "redeem"). Options.Authorize is not called for it.
//
// The method of the request selects the operation:
//
//   - GET: Download, DownloadRanges or Redirect
//   - HEAD: DownloadRanges with RangesOptions.Head
//   - PUT: Upload or Stage
//   - DELETE: Delete
//
// The operation must begin within one minute of Redeem and before the link
// expires. If the link is restricted to a user or an address, the actor of the
// operation must match too.
//
// Every other call fails with an error that wraps [ErrDenied] and is recorded:
// a different operation, or a second one, even through a copy of the
// Redemption. A Redemption not returned by Redeem also fails, but cannot be
// recorded. No call falls back to the authorizer. All methods are safe for
// concurrent use.
type Redemption struct {
	// Grant is a copy of the link's content, for the caller's response and log.
	// Changing it has no effect.
	Grant signurl.Grant

	of *redeemed // shared by copies
}

// redeemed holds the state of a Redemption.
type redeemed struct {
	s      *Store
	grant  signurl.Grant
	ticket string // the ticket's operation ID, if the link belongs to a ticket
	method string // of the request
	begun  time.Time
	spent  atomic.Bool
}

var errNotRedeemed = provider.As(ErrDenied, errors.New("the Redemption is a zero value: use one returned by Store.Redeem"))

// Redeem verifies the signed link of a request with Options.Signer, counts its
// use, and returns the permission for the requested operation. Call it in an
// HTTP handler that serves links:
//
//	red, err := store.Redeem(r)
//	if err != nil {
//		return err
//	}
//	body, err := red.Download(r.Context(), nil)
//
// The actor is taken from the context of the request. HEAD requests are not
// counted, because they return no content. The use is recorded when the
// operation begins.
//
// If Redeem refuses a link with a valid signature, it records the refusal
// before it returns. Requests without a valid signature are not recorded. The
// errors are:
//
//   - [signurl.ErrSignature]: this store did not issue the link.
//   - [signurl.ErrExpired], [signurl.ErrMethod], [signurl.ErrConstraint]: the
//     link does not permit the request. [signurl.ErrUser] and
//     [signurl.ErrAddress] match ErrConstraint.
//   - [signurl.ErrRevoked]: the link was revoked or has no uses left.
//   - [ErrDenied]: the key is outside this view of the store. The use is not
//     counted.
//   - [ErrUnsupported]: Options.Signer is not set, or the link limits its uses
//     and Options.Grants is not set.
func (s *Store) Redeem(r *http.Request) (*Redemption, error) {
	if s.opts.Signer == nil {
		return nil, &Error{Op: "redeem", Err: fmt.Errorf("%w: Redeem requires Options.Signer", ErrUnsupported)}
	}
	grant, refusal := s.opts.Signer.Verify(r)
	if errors.Is(refusal, signurl.ErrSignature) {
		return nil, &Error{Op: "redeem", Err: refusal}
	}
	red, err := s.redeem(r, grant, refusal)
	if err != nil {
		return nil, &Error{Op: "redeem", Key: grant.Key, Err: err}
	}
	return red, nil
}

// redeem continues for a link with a valid signature. refusal is the signer's
// reason for refusing the request, or nil.
func (s *Store) redeem(r *http.Request, grant signurl.Grant, refusal error) (*Redemption, error) {
	kind, body, ok := readGrantID(grant.ID, grant.Key)
	if !ok || kind == serviceGrant || kind == ticketGrant && grant.Method != http.MethodPut {
		return nil, fmt.Errorf("%w: the link was not issued by a store", signurl.ErrSignature)
	}
	red := &redeemed{s: s, grant: grant, method: r.Method, begun: time.Now()}
	if red.method == "" {
		red.method = http.MethodGet
	}
	if kind == ticketGrant {
		red.ticket = body
	}
	// Record a refusal even if the client has disconnected.
	ctx := context.WithoutCancel(r.Context())
	e := red.event()
	if err := s.enterBy(ctx, &e, func(*audit.Event) error { return nil }); err != nil {
		return nil, err
	}
	defer s.leave()
	if refusal == nil {
		refusal = grant.CheckActor(e.Actor.UserID, e.Actor.IP)
	}
	if refusal == nil {
		refusal = s.countUse(r.Context(), red)
	}
	switch {
	case refusal == nil:
		out := &Redemption{Grant: grant, of: red}
		out.Grant.SHA256 = bytes.Clone(grant.SHA256)
		return out, nil
	case isRefusal(refusal):
		e.Outcome, e.ErrorCode = audit.OutcomeDenied, errorCode(refusal)
		return nil, both(refusal, s.log(ctx, e))
	}
	return nil, refusal // unknown whether the link permits the request
}

// countUse counts the use of a link. It fails if the link was revoked or has no
// uses left.
func (s *Store) countUse(ctx context.Context, red *redeemed) error {
	if ctx.Err() != nil {
		return ended(ctx, context.Cause(ctx))
	}
	if red.ticket != "" {
		return nil // the link ends with its ticket and cannot be revoked
	}
	limit := red.grant.MaxUses
	if red.method == http.MethodHead {
		limit = 0 // a HEAD request is refused after revocation, but not counted
	}
	switch {
	case s.opts.Grants != nil:
		ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
		return s.opts.Grants.Use(ctx, red.grant.ID, limit, red.grant.Expires)
	case limit > 0:
		return fmt.Errorf("%w: the link limits its uses, and Options.Grants is not set", ErrUnsupported)
	}
	return nil
}

// isRefusal reports whether err is a reason to refuse a link with a valid
// signature.
func isRefusal(err error) bool {
	for _, reason := range [...]error{signurl.ErrExpired, signurl.ErrMethod, signurl.ErrConstraint, signurl.ErrRevoked} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// maxMethod bounds the recorded method of a request, because the client chooses
// it.
const maxMethod = 16 // bytes

// event returns the event for the use of the link.
func (u *redeemed) event() audit.Event {
	return audit.Event{
		Action: audit.ActionRedeem, Key: u.grant.Key, GrantID: u.grant.ID,
		Details: audit.Details{Method: u.method[:min(len(u.method), maxMethod)]},
	}
}

// permit returns a replacement for the authorizer that permits an operation
// with the given method. If u is nil, it returns nil, and the authorizer
// decides.
func (u *redeemed) permit(method string) permit {
	if u == nil {
		return nil
	}
	return func(e *audit.Event) error { return u.spend(e, method) }
}

// spend permits an operation once and converts its event to the use of the
// link. The event gets the grant ID only if the method matches.
func (u *redeemed) spend(e *audit.Event, method string) error {
	if u.method != method {
		return fmt.Errorf("the Redemption is for a %.16s request and does not permit %s", u.method, method)
	}
	e.GrantID = u.grant.ID
	if e.Action == audit.ActionDownload {
		e.Action = audit.ActionRedeem
	}
	if u.s.opts.Signer.Expired(u.grant) {
		return signurl.ErrExpired
	}
	if err := u.grant.CheckActor(e.Actor.UserID, e.Actor.IP); err != nil {
		return err
	}
	if time.Since(u.begun) > redeemTime {
		return fmt.Errorf("the Redemption is older than %s: call Redeem when the operation begins", redeemTime)
	}
	if !u.spent.CompareAndSwap(false, true) {
		return errors.New("the Redemption was already used: call Redeem for each operation")
	}
	return nil
}

// constrain adds the link's constraints to the options of an upload.
func (u *redeemed) constrain(o *UploadOptions, body io.Reader) (io.Reader, error) {
	if u == nil || u.method != http.MethodPut {
		return body, nil // permit refuses a Redemption for another method
	}
	link := &u.grant
	if link.CreateOnly && o.Overwrite {
		return nil, fmt.Errorf("%w: Overwrite is set, but the link must not replace an existing object", signurl.ErrConstraint)
	}
	switch {
	case link.ContentType == "":
	case o.ContentType == "":
		o.ContentType = link.ContentType
	case !sameMediaType(o.ContentType, link.ContentType):
		return nil, fmt.Errorf("%w: the content type must be %s", signurl.ErrConstraint, link.ContentType)
	}
	if o.SHA256 == nil {
		o.SHA256 = link.SHA256
	}
	return link.Body(body), nil
}

// sameMediaType compares media types including their parameters.
func sameMediaType(a, b string) bool {
	ta, pa, errA := mime.ParseMediaType(a)
	tb, pb, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && mime.FormatMediaType(ta, pa) == mime.FormatMediaType(tb, pb)
}

// Download opens the object for reading, like [Store.Download]. The trail
// records the use of the link instead of a download.
func (r *Redemption) Download(ctx context.Context, opts *DownloadOptions) (*Reader, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "download", Err: errNotRedeemed}
	}
	return r.of.s.downloadBy(ctx, r.of.grant.Key, opts, r.of)
}

// DownloadRanges opens ranges of the object, like [Store.DownloadRanges]. The
// trail records the use of the link instead of a download. For a HEAD request,
// set RangesOptions.Head.
func (r *Redemption) DownloadRanges(ctx context.Context, opts *RangesOptions) (*RangeReader, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "download", Err: errNotRedeemed}
	}
	return r.of.s.downloadRangesBy(ctx, r.of.grant.Key, opts, r.of)
}

// Upload stores the content of body under the link's key, like [Store.Upload].
// The link's constraints apply in addition to the options. The use of the link
// is recorded before the upload, under the grant ID of the link.
//
// If the link belongs to a ticket of [Store.BeginUpload], Upload stores the
// content for [Ticket.Complete]. It then returns [ErrUnsupported] for options
// already decided or not accepted by BeginUpload.
func (r *Redemption) Upload(ctx context.Context, body io.Reader, opts *UploadOptions) (*Object, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "upload", Err: errNotRedeemed}
	}
	return r.of.s.uploadBy(ctx, r.of.grant.Key, body, opts, r.of)
}

// Stage stores the content of body under the link's key and leaves the
// operation open, like [Store.Stage]. The rules of Upload apply. For a link of
// [Store.BeginUpload], the error is [ErrUnsupported].
func (r *Redemption) Stage(ctx context.Context, body io.Reader, opts *UploadOptions) (*Staged, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "stage", Err: errNotRedeemed}
	}
	return r.of.s.stageBy(ctx, r.of.grant.Key, body, opts, r.of)
}

// Delete removes the object, like [Store.Delete]. The use of the link is
// recorded before the deletion, under the grant ID of the link.
func (r *Redemption) Delete(ctx context.Context, opts *DeleteOptions) error {
	if r == nil || r.of == nil {
		return &Error{Op: "delete", Err: errNotRedeemed}
	}
	return r.of.s.deleteBy(ctx, r.of.grant.Key, opts, r.of)
}

// Redirect returns a GET link signed by the service, for a handler that
// redirects clients to it instead of serving the content. choose returns the
// options of that link for the object. The trail gets a single entry: a
// "redeem" under the grant ID of the redeemed link, with the expiry of the new
// link. It is durable before Redirect returns.
//
// If the object does not exist, the error is fs.ErrNotExist. If the backend
// cannot sign GET links, or the options are for another method, the error is
// [ErrUnsupported].
func (r *Redemption) Redirect(ctx context.Context, choose func(*Object) *LinkOptions) (*Link, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "redeem", Err: errNotRedeemed}
	}
	ctx, span := r.of.s.trace(ctx, audit.ActionRedeem)
	to, err := r.of.redirect(ctx, choose)
	if span.end(err) != nil {
		return nil, &Error{Op: "redeem", Key: r.of.grant.Key, Err: err}
	}
	return to, nil
}

func (u *redeemed) redirect(ctx context.Context, choose func(*Object) *LinkOptions) (*Link, error) {
	s, e := u.s, u.event()
	e.GrantID = "" // set once the operation is permitted
	if err := s.enterBy(ctx, &e, u.permit(http.MethodGet)); err != nil {
		return nil, err
	}
	defer s.leave()
	to, err := func() (*Link, error) {
		obj, err := s.lookUp(ctx, e.Key)
		if err != nil {
			return nil, err
		}
		o := choose(obj)
		if o.method() != http.MethodGet || !s.signsItself(o) {
			return nil, fmt.Errorf("%w: Redirect requires a GET link, and backend %q cannot sign a %s link with these options", ErrUnsupported, s.Info().Backend, o.method())
		}
		if err := s.checkLink(o); err != nil {
			return nil, err
		}
		to, issued, err := s.signAs(ctx, e, o, e.Key, u.grant.ID)
		if err == nil {
			e.SHA256, e.ContentType, e.Details = obj.SHA256, obj.ContentType, issued.Details
		}
		return to, err
	}()
	if err := s.record(ctx, e, err); err != nil {
		return nil, err
	}
	return to, nil
}
