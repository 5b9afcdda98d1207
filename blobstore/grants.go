package blobstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// This file implements the grants of links to the handler of the application: their IDs, and Revoke.

// gatewayPrefix begins the grant ids of gateway links, so that they can be told
// from those that a service honours by itself.
const gatewayPrefix = "gw-"

// grantDomain separates the digests of grant IDs from all others.
const grantDomain = "blobtrail grant\x00"

const (
	grantRandom = 26 // characters, of 130 random bits
	grantDigest = 12 // bytes, which make 20 characters
)

// newGrantID generates the ID of a new grant for key. The ID holds a random part
// and a digest of that part and the key, so the grant of one key can't be passed
// off as the grant of another. The digest is not a secret, and it does not prove
// that a link was issued.
func newGrantID(key string, gateway bool) string {
	head := rand.Text()[:grantRandom]
	if gateway {
		head = gatewayPrefix + head
	}
	return bindGrant(head, key)
}

// bindGrant appends the digest to head. The zero byte separates head from key:
// neither can contain one.
func bindGrant(head, key string) string {
	sum := sha256.Sum256([]byte(grantDomain + head + "\x00" + key))
	return head + "-" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:grantDigest])
}

// grantFits reports whether newGrantID generated grantID for key.
func grantFits(grantID, key string) bool {
	n := grantRandom
	if strings.HasPrefix(grantID, gatewayPrefix) {
		n += len(gatewayPrefix)
	}
	return len(grantID) > n && bindGrant(grantID[:n], key) == grantID
}

// gateway reports whether the link must lead to the host's own handler.
func (o *LinkOptions) toHandler() bool {
	return o.Revocable || o.MaxUses != 0 || o.UserID != "" || o.IP != ""
}

// RevokeOptions are the options of [Store.Revoke]. Nil and the zero value mean
// the defaults.
type RevokeOptions struct {
	// Expires is when the link ends. Zero: the latest that is possible, by
	// Options.MaxLinkExpiry.
	Expires time.Time
	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource
}

// Revoke withdraws the link to key with that grant id (see [Link]), so that the
// host's handler refuses it from now on. It needs [Options.Grants]. A link that
// the service honours by itself can't be withdrawn and is [ErrUnsupported]; ask
// for LinkOptions.Revocable if that may be needed.
//
// If the error wraps [ErrAudit], the link may be withdrawn all the same.
func (s *Store) Revoke(ctx context.Context, key, grantID string, opts *RevokeOptions) error {
	var o RevokeOptions
	if opts != nil {
		o = *opts
	}
	ctx, span := s.trace(ctx, audit.ActionRevoke)
	if err := span.end(s.revoke(ctx, key, grantID, &o)); err != nil {
		return &Error{Op: "revoke", Key: key, Err: err}
	}
	return nil
}

func (s *Store) revoke(ctx context.Context, key, grantID string, o *RevokeOptions) error {
	switch {
	case s.opts.Grants == nil:
		return fmt.Errorf("%w: withdrawing links needs Options.Grants", ErrUnsupported)
	case grantID == "":
		return errors.New("no grant id: it is in the Link that was issued")
	case isTicket(grantID):
		return fmt.Errorf("%w: the link of a ticket can't be revoked: end it with Ticket.Abort", ErrUnsupported)
	case len(s.Info().Capabilities.Links.Methods) > 0 && !strings.HasPrefix(grantID, gatewayPrefix):
		return fmt.Errorf("%w: backend %q honours this link by itself until it expires", ErrUnsupported, s.Info().Backend)
	}
	expires := o.Expires
	if expires.IsZero() {
		expires = time.Now().Add(s.opts.MaxLinkExpiry)
	}
	e := audit.Event{Action: audit.ActionRevoke, Key: key, GrantID: grantID, Resource: o.Resource}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()
	if !grantFits(grantID, key) {
		return s.deny(ctx, e, errForeignGrant)
	}
	rctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return s.record(ctx, e, s.opts.Grants.Revoke(rctx, grantID, expires))
}

var errForeignGrant = errors.New("the grant is not of a link to this key: want the key and the GrantID of the same Link")

// checkGateway refuses bindings and counts that nobody would hold.
func (s *Store) checkGateway(o *LinkOptions) error {
	switch {
	case !o.toHandler():
		return nil
	case s.opts.Signer == nil:
		return fmt.Errorf("%w: a link to the host's own handler needs Options.Signer", ErrUnsupported)
	case o.MaxUses < 0:
		return fmt.Errorf("%d uses: want 1 or more, or 0 for any number", o.MaxUses)
	case o.MaxUses > 0 && s.opts.Grants == nil:
		return fmt.Errorf("%w: a link that counts its uses needs Options.Grants", ErrUnsupported)
	case o.MaxUses > 0 && o.method() == "HEAD":
		return fmt.Errorf("%w: a HEAD link that counts its uses: only what serves or changes content is counted", ErrUnsupported)
	}
	return nil
}

// signsItself reports whether the backend signs links of that kind.
func (s *Store) signsItself(o *LinkOptions) bool {
	return !o.toHandler() && slices.Contains(s.Info().Capabilities.Links.Methods, o.method())
}
