package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// This file implements the use of links: UseLink turns a verified link into a
// Use, and only a Use lets an operation pass the authorizer.

// useLifetime bounds the time between UseLink and the operation of its Use. A Use
// that the program holds back outlives a revocation of its link by no more than
// this time.
const useLifetime = time.Minute

// Use is the permission for one operation that a verified link gives: the
// operation is not put to Options.Authorize, is recorded as the use of the link
// (redeem), and is bound to the link's constraints. [Store.UseLink] is the only
// source of a Use.
//
// A Use is good for one operation, on the key of its link, with the method of its
// request, by the store that it came from or a view of it:
//
//   - GET: [Store.Download], [Store.DownloadRanges] or [Store.RedeemLink]
//   - HEAD: [Store.DownloadRanges] with RangesOptions.Head
//   - PUT: [Store.Upload] or [Store.Stage]
//   - DELETE: [Store.Delete]
//
// The operation must begin within a minute of UseLink and before the link
// expires. Everything else is refused with an error that wraps [ErrDenied], and
// recorded: a second operation, also by a copy of the Use, another key, another
// operation, another store, and a Use that is a zero value. There is no fallback
// to the authorizer. All methods may be called concurrently.
type Use struct {
	of *linkUse // shared by the copies
}

type linkUse struct {
	gate   *gate // that of the store and its views
	link   signurl.Grant
	method string // of the request
	begun  time.Time
	spent  atomic.Bool
}

var errNoUse = errors.New("the Use is a zero value: want one that Store.UseLink returned")

// UseLink counts the use of a link and returns the permission for the one
// operation that the link's request asks for. It is for an HTTP handler that
// serves links, after Verify of Options.Signer accepted the request:
//
//	link, err := signer.Verify(r)
//	use, err := store.UseLink(ctx, link)
//	body, err := store.Download(ctx, link.Key, &blobstore.DownloadOptions{Use: use})
//
// The use of a HEAD request is not counted, since it gives no content away.
// Nothing is recorded as a use until the operation begins.
//
// The errors are:
//
//   - [signurl.ErrSignature]: the link is not one that this store's own
//     Options.Signer verified, or it was changed since, or the store has no
//     signer; nothing is counted or recorded.
//   - [signurl.ErrExpired], [signurl.ErrMethod], [signurl.ErrConstraint]: Verify
//     refused the request, the link has expired since, or it is bound to another
//     user or IP address than the actor's. Record it with [Store.DenyLink].
//   - [signurl.ErrRevoked]: the link was revoked or used up. Record it with
//     [Store.DenyLink].
//   - [ErrDenied]: the key is outside of this view of the store. That is recorded
//     and not counted.
//   - [ErrUnsupported]: the link counts its uses and the store has no
//     Options.Grants.
func (s *Store) UseLink(ctx context.Context, link signurl.Grant) (*Use, error) {
	use, err := s.useLink(ctx, link)
	if err != nil {
		return nil, &Error{Op: "redeem", Key: link.Key, Err: err}
	}
	return use, nil
}

func (s *Store) useLink(ctx context.Context, link signurl.Grant) (*Use, error) {
	method, err := s.verified(link)
	if err != nil {
		return nil, err
	}
	if outside := s.inView(link.Key); outside != nil {
		e := redemption(link, link.Method)
		return nil, s.enterBy(ctx, &e, func(*audit.Event) error { return outside })
	}
	actor, ok := audit.ActorFrom(ctx)
	if !ok {
		actor = s.opts.DefaultActor
	}
	if err := link.CheckActor(actor.UserID, actor.IP); err != nil {
		return nil, err
	}
	limit := link.MaxUses
	if method == http.MethodHead {
		limit = 0 // refused if the link was revoked, but not counted
	}
	switch {
	case s.opts.Grants != nil:
		gctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
		if err := s.opts.Grants.Use(gctx, link.ID, limit, link.Expires); err != nil {
			return nil, err
		}
	case limit > 0:
		return nil, fmt.Errorf("%w: a link that counts its uses needs Options.Grants", ErrUnsupported)
	}
	return &Use{&linkUse{gate: s.gate, link: link, method: method, begun: time.Now()}}, nil
}

// verified returns the method of the request that carried the link, if the store's
// own signer verified the link. If the signer refused the request, verified
// returns the method and the error.
func (s *Store) verified(link signurl.Grant) (method string, err error) {
	if s.opts.Signer == nil {
		return "", fmt.Errorf("%w: the store has no Options.Signer to verify it with", signurl.ErrSignature)
	}
	return s.opts.Signer.Verified(link)
}

// redemption is the event of a link's use.
func redemption(link signurl.Grant, method string) audit.Event {
	return audit.Event{
		Action: audit.ActionRedeem, Key: link.Key, GrantID: link.ID,
		Details: audit.Details{Method: method},
	}
}

// permit returns the permission for an operation with method, which replaces the
// authorizer. It returns nil if there is no Use.
func (u *Use) permit(s *Store, method string) permit {
	if u == nil {
		return nil
	}
	return func(e *audit.Event) error { return u.spend(s, e, method) }
}

// spend permits an operation once and turns its event into the use of the link.
// The event gets the grant only after store, key and method were found to match.
func (u *Use) spend(s *Store, e *audit.Event, method string) error {
	of := u.of
	switch {
	case of == nil:
		return errNoUse
	case of.gate != s.gate:
		return errors.New("the Use is of another store")
	case of.link.Key != e.Key:
		return errors.New("the Use is of a link to another key")
	case of.method != method:
		return fmt.Errorf("the Use is of a %s request and does not allow %s", of.method, method)
	}
	e.GrantID = of.link.ID
	if e.Action == audit.ActionDownload {
		e.Action = audit.ActionRedeem
	}
	if _, err := s.verified(of.link); err != nil {
		return err
	}
	if err := of.link.CheckActor(e.Actor.UserID, e.Actor.IP); err != nil {
		return err
	}
	if time.Since(of.begun) > useLifetime {
		return fmt.Errorf("the Use is older than %s: call UseLink when the operation begins", useLifetime)
	}
	if !of.spent.CompareAndSwap(false, true) {
		return errors.New("the Use was spent: each operation needs a UseLink for itself")
	}
	return nil
}

// constrain binds an upload to the link's constraints.
func (u *Use) constrain(o *UploadOptions, body io.Reader) (io.Reader, error) {
	if u == nil || u.of == nil || u.of.method != http.MethodPut {
		return body, nil // refused by permit, if there is a Use
	}
	link := &u.of.link
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

// ticket reports whether the link is that of a ticket.
func (u *Use) ticket() bool { return u != nil && u.of != nil && isTicket(u.of.link.ID) }

// RedeemLink spends the use of a GET link and returns a link of the service in
// its place, as the options say that choose returns for the object. It is for the
// HTTP handler that serves links, which then redirects. The one entry, a redeem
// under the link's grant with the new link's expiry, is durable before it
// returns.
//
// A missing object is fs.ErrNotExist. A backend that does not sign GET links, or
// options for another method, are [ErrUnsupported]. A use that does not allow it
// is [ErrDenied]; see [Use].
func (s *Store) RedeemLink(ctx context.Context, use *Use, choose func(*Object) *LinkOptions) (*Link, error) {
	if use == nil || use.of == nil {
		return nil, &Error{Op: "redeem", Err: driver.As(ErrDenied, errNoUse)}
	}
	ctx, span := s.trace(ctx, audit.ActionRedeem)
	to, err := s.redeemLink(ctx, use, choose)
	if span.end(err) != nil {
		return nil, &Error{Op: "redeem", Key: use.of.link.Key, Err: err}
	}
	return to, nil
}

func (s *Store) redeemLink(ctx context.Context, use *Use, choose func(*Object) *LinkOptions) (*Link, error) {
	link := &use.of.link
	e := redemption(*link, link.Method)
	e.GrantID = "" // until the permission is certain
	if err := s.enterBy(ctx, &e, use.permit(s, http.MethodGet)); err != nil {
		return nil, err
	}
	defer s.leave()
	to, err := func() (*Link, error) {
		obj, err := s.lookUp(ctx, link.Key)
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
		to, issued, err := s.signAs(ctx, e, o, link.Key, link.ID)
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

// DenyLink records that a handler refused the use of a link. method is the method
// of the request, and cause the reason. The store's own Options.Signer must have
// verified the link, whether it accepted the request or not. For any other link
// nothing is recorded and the error wraps [signurl.ErrSignature], because only
// links that were issued belong in the trail.
func (s *Store) DenyLink(ctx context.Context, link signurl.Grant, method string, cause error) error {
	if err := s.denyLink(ctx, link, method, cause); err != nil {
		return &Error{Op: "redeem", Key: link.Key, Err: err}
	}
	return nil
}

func (s *Store) denyLink(ctx context.Context, link signurl.Grant, method string, cause error) error {
	if _, err := s.verified(link); errors.Is(err, signurl.ErrSignature) {
		return err
	}
	e := redemption(link, method)
	recorded := func(*audit.Event) error { return nil } // no operation to decide on
	if err := s.enterBy(ctx, &e, recorded); err != nil {
		return err
	}
	defer s.leave()
	e.Outcome, e.ErrorCode = audit.OutcomeDenied, errorCode(cause)
	return s.log(ctx, e)
}
