package blobstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

// This file implements the IDs of grants, and Revoke.

// grantKind is the kind of a grant. The ID of every grant begins with it, and the
// link's signature covers the ID.
type grantKind string

const (
	handlerGrant grantKind = "h" // of a link that the handler of the links verifies; can be revoked
	serviceGrant grantKind = "s" // of a link that the service verifies; can't be revoked
	ticketGrant  grantKind = "t" // of the link of a ticket; ends with the ticket
)

// grantDomain separates the digests of grant IDs from all others.
const grantDomain = "blobtrail grant\x00"

const (
	grantRandom  = 26 // characters, of 130 random bits
	grantDigest  = 12 // bytes, which are 20 characters
	grantNumbers = 36 // base of the expiry
)

// newGrantID generates the ID of a new grant for key: kind, expiry, random part and
// digest, separated by hyphens. The digest covers the rest and the key, so an ID of
// one key or kind can't be passed off as one of another. It is not a secret, and
// does not prove that a link was issued: the signature of the link does.
func newGrantID(kind grantKind, key string, expires time.Time) string {
	return bindGrant(kind, strconv.FormatInt(expires.Unix(), grantNumbers)+"-"+rand.Text()[:grantRandom], key)
}

// ticketGrantID returns the ID of the grant of a ticket, which holds the ID of the
// ticket in place of expiry and random part.
func ticketGrantID(opID, key string) string { return bindGrant(ticketGrant, opID, key) }

// bindGrant returns a grant ID with its digest.
func bindGrant(kind grantKind, body, key string) string {
	head := string(kind) + "-" + body
	digest := grantSum(head, key)
	return head + "-" + string(digest[:])
}

var grantEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// grantSum returns the digest at the end of a grant ID. The zero byte separates head
// from key: neither can contain one.
func grantSum(head, key string) (digest [20]byte) {
	var buf [256]byte // of most keys
	text := append(buf[:0], grantDomain...)
	text = append(text, head...)
	text = append(text, 0)
	text = append(text, key...)
	sum := sha256.Sum256(text)
	grantEncoding.Encode(digest[:], sum[:grantDigest])
	return digest
}

// readGrantID returns the kind and the body of a grant ID. It reports false for an
// ID that was not generated for key.
func readGrantID(id, key string) (kind grantKind, body string, ok bool) {
	first, last := strings.IndexByte(id, '-'), strings.LastIndexByte(id, '-')
	if first < 0 || first == last {
		return "", "", false
	}
	kind, body = grantKind(id[:first]), id[first+1:last]
	switch kind {
	case handlerGrant, serviceGrant, ticketGrant:
		digest := grantSum(id[:last], key)
		return kind, body, string(digest[:]) == id[last+1:]
	}
	return "", "", false
}

// grantExpiry returns the expiry in the body of a grant ID.
func grantExpiry(body string) (time.Time, error) {
	text, _, _ := strings.Cut(body, "-")
	seconds, err := strconv.ParseInt(text, grantNumbers, 64)
	return time.Unix(seconds, 0), err
}

// toHandler reports whether the link must lead to the handler of the links on every
// backend. All links do that store or delete, but for those of tickets: a service
// would take content under the key that nothing has judged.
func (o *LinkOptions) toHandler() bool {
	reads := o.method() == http.MethodGet || o.method() == http.MethodHead
	return !reads && !o.ticket || o.revocable()
}

// revocable reports whether the link has something that only the handler enforces.
func (o *LinkOptions) revocable() bool {
	return o.Revocable || o.MaxUses != 0 || o.UserID != "" || o.IP != ""
}

// grantKind returns the kind of the grants of such links.
func (s *Store) grantKind(o *LinkOptions) grantKind {
	if s.signsItself(o) {
		return serviceGrant
	}
	return handlerGrant
}

// Revoke revokes a link to key, whose grant ID is in its [Link] and in the entry of
// its issue. The handler of the links refuses it from now on. A second call has no
// effect. Revoke needs [Options.Grants].
//
// A link that the service verifies can't be revoked, and neither can the link of a
// ticket: both are [ErrUnsupported]. Issue links with LinkOptions.Revocable if they
// may have to be revoked, and end a ticket with [Ticket.Abort]. A grant of another
// key, or that no store generated, is [ErrDenied].
//
// The entry, and the event for Options.Authorize, have the resource of the link's
// issue, if the journal is an [audit.Reader] and still has that entry.
//
// If the error wraps [ErrAudit], the link may be revoked all the same.
func (s *Store) Revoke(ctx context.Context, key, grantID string) error {
	ctx, span := s.trace(ctx, audit.ActionRevoke)
	if err := span.end(s.revoke(ctx, key, grantID)); err != nil {
		return &Error{Op: "revoke", Key: key, Err: err}
	}
	return nil
}

var errForeignGrant = errors.New("the grant is not of a link to this key: want the key and the GrantID of the same Link")

func (s *Store) revoke(ctx context.Context, key, grantID string) error {
	if s.opts.Grants == nil {
		return fmt.Errorf("%w: revoking links needs Options.Grants", ErrUnsupported)
	}
	kind, body, ok := readGrantID(grantID, key)
	var expires time.Time
	switch {
	case !ok:
	case kind == ticketGrant:
		return fmt.Errorf("%w: the link of a ticket can't be revoked: end the ticket with Ticket.Abort", ErrUnsupported)
	case kind == serviceGrant:
		return fmt.Errorf("%w: backend %q accepts this link until it expires: issue links with LinkOptions.Revocable", ErrUnsupported, s.Info().Backend)
	default:
		var err error
		if expires, err = grantExpiry(body); err != nil {
			ok = false
		}
	}
	e := audit.Event{Action: audit.ActionRevoke, Key: key, GrantID: grantID}
	if ok {
		e.Resource = s.issuedFor(ctx, key, grantID)
	}
	if err := s.enter(ctx, &e); err != nil {
		return err
	}
	defer s.leave()
	if !ok {
		return s.deny(ctx, e, errForeignGrant)
	}
	rctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return s.record(ctx, e, s.opts.Grants.Revoke(rctx, grantID, expires))
}

// issuedFor returns the resource of a link, from the signed entry of its issue. It
// is empty if the journal does not have that entry.
func (s *Store) issuedFor(ctx context.Context, key, grantID string) audit.Resource {
	trail, ok := s.journal.(audit.Reader)
	if !ok || s.inView(key) != nil {
		return audit.Resource{}
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	for e, err := range trail.Entries(ctx, audit.Query{
		Key: key, GrantID: grantID, Actions: []audit.Action{audit.ActionIssueLink, audit.ActionIssueUploadLink}, Outcomes: []audit.Outcome{audit.OutcomeOK},
		Limit: 1, Verified: true,
	}) {
		if err == nil {
			return e.Resource
		}
	}
	return audit.Resource{}
}

// checkGrant refuses bindings and counts that nothing would enforce.
func (s *Store) checkGrant(o *LinkOptions) error {
	switch {
	case o.MaxUses < 0:
		return fmt.Errorf("invalid MaxUses %d: want 1 or more, or 0 for any number", o.MaxUses)
	case o.toHandler() && s.opts.Signer == nil:
		return fmt.Errorf("%w: a link to the handler of the links needs Options.Signer", ErrUnsupported)
	case o.MaxUses > 0 && s.opts.Grants == nil:
		return fmt.Errorf("%w: a link that counts its uses needs Options.Grants", ErrUnsupported)
	}
	return nil
}

// signsItself reports whether the backend signs links of that kind.
func (s *Store) signsItself(o *LinkOptions) bool {
	return !o.toHandler() && slices.Contains(s.Info().Capabilities.Links.Methods, o.method())
}

// ownGrants returns the grants that a journal keeps, or nil.
func ownGrants(journal audit.Journal) signurl.Grants {
	if j, ok := journal.(interface{ Grants() signurl.Grants }); ok {
		return j.Grants()
	}
	return nil
}
