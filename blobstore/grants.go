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
	handlerGrant grantKind = "h" // a link verified by the program's handler; can be revoked
	serviceGrant grantKind = "s" // a link verified by the service; cannot be revoked
	ticketGrant  grantKind = "t" // the link of a ticket; ends with the ticket
)

// grantDomain separates the digests of grant IDs from digests with other
// purposes.
const grantDomain = "blobtrail grant\x00"

const (
	grantRandom  = 26 // characters with 130 random bits
	grantDigest  = 12 // bytes, encoded in 20 characters
	grantNumbers = 36 // number base of the expiry
)

// newGrantID generates the ID of a new grant for key: kind, expiry, random part
// and digest, separated by hyphens. The digest covers the other parts and the
// key, so an ID is not valid for another key or kind. The ID is not a secret
// and does not prove that a link was issued; the link's signature does.
func newGrantID(kind grantKind, key string, expires time.Time) string {
	return bindGrant(kind, strconv.FormatInt(expires.Unix(), grantNumbers)+"-"+rand.Text()[:grantRandom], key)
}

// ticketGrantID returns the ID of a ticket's grant. It contains the ID of the
// ticket instead of an expiry and a random part.
func ticketGrantID(opID, key string) string { return bindGrant(ticketGrant, opID, key) }

// bindGrant appends the digest to a grant ID.
func bindGrant(kind grantKind, body, key string) string {
	head := string(kind) + "-" + body
	digest := grantSum(head, key)
	return head + "-" + string(digest[:])
}

var grantEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// grantSum returns the digest at the end of a grant ID. A zero byte separates
// head from key, because neither can contain one.
func grantSum(head, key string) (digest [20]byte) {
	var buf [256]byte // large enough for most keys
	text := append(buf[:0], grantDomain...)
	text = append(text, head...)
	text = append(text, 0)
	text = append(text, key...)
	sum := sha256.Sum256(text)
	grantEncoding.Encode(digest[:], sum[:grantDigest])
	return digest
}

// readGrantID returns the kind and the body of a grant ID. It reports false if
// the ID was not generated for key.
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

// toHandler reports whether the link must lead to the program's handler on
// every backend. This applies to all links for storing and deleting, except
// those of tickets. Otherwise, a service would store unchecked content under
// the key.
func (o *LinkOptions) toHandler() bool {
	reads := o.method() == http.MethodGet || o.method() == http.MethodHead
	return !reads && !o.ticket || o.revocable()
}

// revocable reports whether the link has a property that only the handler
// enforces.
func (o *LinkOptions) revocable() bool {
	return o.Revocable || o.MaxUses != 0 || o.UserID != "" || o.IP != ""
}

// grantKind returns the kind of grant for links with these options.
func (s *Store) grantKind(o *LinkOptions) grantKind {
	if s.signsItself(o) {
		return serviceGrant
	}
	return handlerGrant
}

// Revoke revokes a link to key. Its grant ID is available in the [Link] and in
// the recorded entry of its issue. From now on, the handler blobhttp.Links
// refuses the link. A second call has no effect. Revoke requires
// [Options.Grants].
//
// The errors are:
//
//   - [ErrUnsupported]: the link is verified by a service, or belongs to a
//     ticket. Issue links with LinkOptions.Revocable if they may have to be
//     revoked, and end a ticket with [Ticket.Abort].
//   - [ErrDenied]: the grant is for another key, or no store generated it.
//   - [ErrAudit]: the link may be revoked all the same.
//
// If the journal implements [audit.Reader] and still has the entry of the
// link's issue, the resource in that entry is also recorded for the revocation
// and passed to Options.Authorize.
func (s *Store) Revoke(ctx context.Context, key, grantID string) error {
	ctx, span := s.trace(ctx, audit.ActionRevoke)
	if err := span.end(s.revoke(ctx, key, grantID)); err != nil {
		return &Error{Op: "revoke", Key: key, Err: err}
	}
	return nil
}

var errForeignGrant = errors.New("the grant does not belong to a link to this key: want the key and the GrantID of the same Link")

func (s *Store) revoke(ctx context.Context, key, grantID string) error {
	if s.opts.Grants == nil {
		return fmt.Errorf("%w: Revoke requires Options.Grants", ErrUnsupported)
	}
	kind, body, ok := readGrantID(grantID, key)
	var expires time.Time
	switch {
	case !ok:
	case kind == ticketGrant:
		return fmt.Errorf("%w: the link of a ticket cannot be revoked: end the ticket with Ticket.Abort", ErrUnsupported)
	case kind == serviceGrant:
		return fmt.Errorf("%w: backend %q serves this link until it expires, so it cannot be revoked: issue links with LinkOptions.Revocable", ErrUnsupported, s.Info().Backend)
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

// issuedFor returns the resource of a link from the signed entry of its issue.
// It is empty if the journal does not have that entry.
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

// checkGrant rejects constraints that no component would enforce.
func (s *Store) checkGrant(o *LinkOptions) error {
	switch {
	case o.MaxUses < 0:
		return fmt.Errorf("invalid MaxUses %d: want a positive number, or 0 for unlimited", o.MaxUses)
	case o.toHandler() && s.opts.Signer == nil:
		return fmt.Errorf("%w: a link for the program's own handler requires Options.Signer", ErrUnsupported)
	case o.MaxUses > 0 && s.opts.Grants == nil:
		return fmt.Errorf("%w: LinkOptions.MaxUses requires Options.Grants", ErrUnsupported)
	}
	return nil
}

// signsItself reports whether the backend signs links with these options.
func (s *Store) signsItself(o *LinkOptions) bool {
	return !o.toHandler() && slices.Contains(s.Info().Capabilities.Links.Methods, o.method())
}

// ownGrants returns the grants provided by a journal, or nil.
func ownGrants(journal audit.Journal) signurl.Grants {
	if j, ok := journal.(interface{ Grants() signurl.Grants }); ok {
		return j.Grants()
	}
	return nil
}
