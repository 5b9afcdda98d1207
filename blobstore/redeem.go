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

// This file implements the use of links: Redeem turns the request of a link into
// a Redemption, and only a Redemption lets an operation pass the authorizer.

// redeemTime bounds the time between Redeem and the operation of its Redemption.
// A Redemption that the program holds back outlives a revocation of its link by no
// more than this time.
const redeemTime = time.Minute

// Redemption is the permission for the one operation that a signed link allows.
// [Store.Redeem] is its only source. The operation is not put to
// Options.Authorize, is recorded as the use of the link (redeem), and is bound to
// the link's key and constraints.
//
// The method of the request selects the operation:
//
//   - GET: Download, DownloadRanges or Redirect
//   - HEAD: DownloadRanges with RangesOptions.Head
//   - PUT: Upload or Stage
//   - DELETE: Delete
//
// The operation must begin within a minute of Redeem and before the link expires,
// by the same user and address if the link is bound to them. Every other call fails
// with an error that wraps [ErrDenied], and is recorded: another operation, a
// second one, and a second one by a copy of the Redemption. A Redemption that
// Redeem did not return fails in the same way, but has no trail to record that in.
// There is no fallback to the authorizer. All methods may be called concurrently.
type Redemption struct {
	// Grant is a copy of the link's content, for the caller's response and log.
	// Changing it has no effect.
	Grant signurl.Grant

	of *redeemed // shared by copies
}

// redeemed is the state of a Redemption.
type redeemed struct {
	s      *Store
	grant  signurl.Grant
	ticket string // ID of the ticket's operation, if the link is that of a ticket
	method string // of the request
	begun  time.Time
	spent  atomic.Bool
}

var errNotRedeemed = provider.As(ErrDenied, errors.New("the Redemption is a zero value: want one that Store.Redeem returned"))

// Redeem verifies the signed link of a request with Options.Signer, counts its
// use, and returns the permission for the one operation that the request asks for.
// It is for an HTTP handler that serves links:
//
//	red, err := store.Redeem(r)
//	if err != nil {
//		return err
//	}
//	body, err := red.Download(r.Context(), nil)
//
// The actor is that of the request's context. The use of a HEAD request is not
// counted, because it gives no content away. The use is recorded when the operation
// begins.
//
// A refusal of a link that was issued is recorded before Redeem returns. Nothing is
// recorded of a request without a valid signature. The errors are:
//
//   - [signurl.ErrSignature]: the request carries no link that this store issued.
//   - [signurl.ErrExpired], [signurl.ErrMethod], [signurl.ErrConstraint]: the link
//     does not allow the request. [signurl.ErrUser] and [signurl.ErrAddress] are
//     constraints.
//   - [signurl.ErrRevoked]: the link was revoked or used up.
//   - [ErrDenied]: the key is outside of this view of the store. The use is not
//     counted.
//   - [ErrUnsupported]: the store has no Options.Signer, or the link counts its uses
//     and the store has no Options.Grants.
func (s *Store) Redeem(r *http.Request) (*Redemption, error) {
	if s.opts.Signer == nil {
		return nil, &Error{Op: "redeem", Err: fmt.Errorf("%w: the store has no Options.Signer to verify links with", ErrUnsupported)}
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

// redeem continues for a link with a valid signature. refusal is the reason for
// which the signer refused the request, or nil.
func (s *Store) redeem(r *http.Request, grant signurl.Grant, refusal error) (*Redemption, error) {
	kind, body, ok := readGrantID(grant.ID, grant.Key)
	if !ok || kind == serviceGrant || kind == ticketGrant && grant.Method != http.MethodPut {
		return nil, fmt.Errorf("%w: no store issued it", signurl.ErrSignature)
	}
	red := &redeemed{s: s, grant: grant, method: r.Method, begun: time.Now()}
	if red.method == "" {
		red.method = http.MethodGet
	}
	if kind == ticketGrant {
		red.ticket = body
	}
	// The client may be gone already. A refusal is recorded all the same.
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
	return nil, refusal // it is not known whether the link allows the request
}

// countUse counts the use of a link.
func (s *Store) countUse(ctx context.Context, red *redeemed) error {
	if ctx.Err() != nil {
		return ended(ctx, context.Cause(ctx))
	}
	if red.ticket != "" {
		return nil // it ends with the ticket, and can't be revoked
	}
	limit := red.grant.MaxUses
	if red.method == http.MethodHead {
		limit = 0 // refused if the link was revoked, but not counted
	}
	switch {
	case s.opts.Grants != nil:
		ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
		return s.opts.Grants.Use(ctx, red.grant.ID, limit, red.grant.Expires)
	case limit > 0:
		return fmt.Errorf("%w: a link that counts its uses needs Options.Grants", ErrUnsupported)
	}
	return nil
}

// isRefusal reports whether err is a reason to refuse a link that was issued.
func isRefusal(err error) bool {
	for _, reason := range [...]error{signurl.ErrExpired, signurl.ErrMethod, signurl.ErrConstraint, signurl.ErrRevoked} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// maxMethod bounds the recorded part of a request's method, which is the client's
// text.
const maxMethod = 16 // bytes

// event is the event of the link's use.
func (u *redeemed) event() audit.Event {
	return audit.Event{
		Action: audit.ActionRedeem, Key: u.grant.Key, GrantID: u.grant.ID,
		Details: audit.Details{Method: u.method[:min(len(u.method), maxMethod)]},
	}
}

// permit returns the permission for an operation with method, which replaces the
// authorizer. It returns nil, which asks the authorizer, for an operation of the
// store itself.
func (u *redeemed) permit(method string) permit {
	if u == nil {
		return nil
	}
	return func(e *audit.Event) error { return u.spend(e, method) }
}

// spend permits an operation once and turns its event into the use of the link.
// The event gets the grant only if the method matches.
func (u *redeemed) spend(e *audit.Event, method string) error {
	if u.method != method {
		return fmt.Errorf("the Redemption is of a %.16s request and does not allow %s", u.method, method)
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
		return errors.New("the Redemption was spent: each operation needs a Redeem for itself")
	}
	return nil
}

// constrain binds an upload to the link's constraints.
func (u *redeemed) constrain(o *UploadOptions, body io.Reader) (io.Reader, error) {
	if u == nil || u.method != http.MethodPut {
		return body, nil // a Redemption of another method is refused by permit
	}
	link := &u.grant
	if link.CreateOnly && o.Overwrite {
		return nil, fmt.Errorf("%w: Overwrite: an existing object must not be replaced", signurl.ErrConstraint)
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

// sameMediaType compares media types with their parameters.
func sameMediaType(a, b string) bool {
	ta, pa, errA := mime.ParseMediaType(a)
	tb, pb, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && mime.FormatMediaType(ta, pa) == mime.FormatMediaType(tb, pb)
}

// Download opens the object for reading, as [Store.Download] does. The use of the
// link is recorded in place of a download.
func (r *Redemption) Download(ctx context.Context, opts *DownloadOptions) (*Reader, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "download", Err: errNotRedeemed}
	}
	return r.of.s.downloadBy(ctx, r.of.grant.Key, opts, r.of)
}

// DownloadRanges opens ranges of the object, as [Store.DownloadRanges] does. The use
// of the link is recorded in place of a download. Set RangesOptions.Head for a HEAD
// request.
func (r *Redemption) DownloadRanges(ctx context.Context, opts *RangesOptions) (*RangeReader, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "download", Err: errNotRedeemed}
	}
	return r.of.s.downloadRangesBy(ctx, r.of.grant.Key, opts, r.of)
}

// Upload stores what body holds under the link's key, as [Store.Upload] does. The
// link's constraints apply in addition to the options. The use of the link is
// recorded before the upload, and joined to the link's issue. The link of
// [Store.BeginUpload] stores for [Ticket.Complete]; options that BeginUpload decided
// or refused are then [ErrUnsupported].
func (r *Redemption) Upload(ctx context.Context, body io.Reader, opts *UploadOptions) (*Object, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "upload", Err: errNotRedeemed}
	}
	return r.of.s.uploadBy(ctx, r.of.grant.Key, body, opts, r.of)
}

// Stage stores what body holds under the link's key and leaves the operation open,
// as [Store.Stage] does, with the rules of Upload. The link of [Store.BeginUpload] is
// [ErrUnsupported].
func (r *Redemption) Stage(ctx context.Context, body io.Reader, opts *UploadOptions) (*Staged, error) {
	if r == nil || r.of == nil {
		return nil, &Error{Op: "stage", Err: errNotRedeemed}
	}
	return r.of.s.stageBy(ctx, r.of.grant.Key, body, opts, r.of)
}

// Delete removes the object, as [Store.Delete] does. The use of the link is recorded
// before the deletion, and joined to the link's issue.
func (r *Redemption) Delete(ctx context.Context, opts *DeleteOptions) error {
	if r == nil || r.of == nil {
		return &Error{Op: "delete", Err: errNotRedeemed}
	}
	return r.of.s.deleteBy(ctx, r.of.grant.Key, opts, r.of)
}

// Redirect returns a GET link of the service in place of the content, for a handler
// that redirects to it. choose returns the options of that link for the object. The
// one entry, a redeem under the grant of the redeemed link with the expiry of the
// new one, is durable before Redirect returns.
//
// A missing object is fs.ErrNotExist. A backend that does not sign GET links, and
// options for another method, are [ErrUnsupported].
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
	e.GrantID = "" // until the permission is certain
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
			return nil, fmt.Errorf("%w: backend %q signs no %s links in place of a GET link", ErrUnsupported, s.Info().Backend, o.method())
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
