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
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

// Gateway links. A link that a service signed holds until it expires, whatever
// happens. One that the host's own handler checks can be counted, bound to
// somebody and withdrawn; what that needs, beside the link's own text, is kept
// by Grants.

// Grants keeps how often links were used and which were withdrawn. A link needs
// no entry before its first use: how often it may be used stands in its signed
// text. All methods may be called concurrently, and by several processes that
// share what the implementation keeps it in. After expires nothing need be kept
// of a grant, because the link is over.
type Grants interface {
	// Use counts a use of the grant. It fails with signurl.ErrRevoked if the
	// grant was withdrawn or has been used limit times: of any number of calls,
	// exactly limit succeed. A limit of 0 allows any number, which need not be
	// counted.
	Use(ctx context.Context, grantID string, limit int, expires time.Time) error

	// Revoke withdraws the grant, used or not. Use fails from the moment at
	// which Revoke returns nil. Doing so again does nothing.
	Revoke(ctx context.Context, grantID string, expires time.Time) error
}

// MemoryGrants is [Grants] of a single process. The zero value is ready for use.
// What it keeps is lost when the process ends, so that links which were used up
// or withdrawn hold again: it is for tests and for trying things out.
type MemoryGrants struct {
	mu     sync.Mutex
	grants map[string]*memoryGrant
	swept  time.Time
}

type memoryGrant struct {
	used    int
	revoked bool
	expires time.Time
}

// Use implements [Grants].
func (m *MemoryGrants) Use(ctx context.Context, grantID string, limit int, expires time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.grants[grantID]
	if g != nil && (g.revoked || limit > 0 && g.used >= limit) {
		return signurl.ErrRevoked
	}
	if limit > 0 {
		m.get(grantID, expires).used++
	}
	return nil
}

// Revoke implements [Grants].
func (m *MemoryGrants) Revoke(ctx context.Context, grantID string, expires time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.get(grantID, expires).revoked = true
	return nil
}

// grantGrace is how long after its end a grant is kept, for clocks that differ.
const grantGrace = time.Hour

// get returns the grant, and forgets those that are over. The caller holds m.mu.
func (m *MemoryGrants) get(grantID string, expires time.Time) *memoryGrant {
	now := time.Now()
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		for id, g := range m.grants {
			if now.After(g.expires.Add(grantGrace)) {
				delete(m.grants, id)
			}
		}
	}
	g := m.grants[grantID]
	if g == nil {
		if m.grants == nil {
			m.grants = make(map[string]*memoryGrant)
		}
		g = &memoryGrant{}
		m.grants[grantID] = g
	}
	if expires.After(g.expires) {
		g.expires = expires
	}
	return g
}

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
func (o *LinkOptions) gateway() bool {
	return o.Gateway || o.Uses != 0 || o.UserID != "" || o.IP != ""
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
// for LinkOptions.Gateway if that may be needed.
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
	case !o.gateway():
		return nil
	case s.opts.Signer == nil:
		return fmt.Errorf("%w: a link to the host's own handler needs Options.Signer", ErrUnsupported)
	case o.Uses < 0:
		return fmt.Errorf("%d uses: want 1 or more, or 0 for any number", o.Uses)
	case o.Uses > 0 && s.opts.Grants == nil:
		return fmt.Errorf("%w: a link that counts its uses needs Options.Grants", ErrUnsupported)
	case o.Uses > 0 && o.method() == "HEAD":
		return fmt.Errorf("%w: a HEAD link that counts its uses: only what serves or changes content is counted", ErrUnsupported)
	}
	return nil
}

// signsItself reports whether the backend signs links of that kind.
func (s *Store) signsItself(o *LinkOptions) bool {
	return !o.gateway() && slices.Contains(s.Info().Capabilities.Links.Methods, o.method())
}
