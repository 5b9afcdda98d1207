package signurl

import (
	"context"
	"sync"
	"time"
)

// Grants counts the uses of links and stores revocations. A link needs no entry
// before its first use, because its signed text contains the limit. All methods
// must be safe for concurrent use, including use by several processes with the
// same storage. A grant may be removed from the storage after it expires,
// because Verify then refuses its link.
type Grants interface {
	// Use counts a use of the grant. It returns [ErrRevoked] if the grant was
	// revoked or has been used limit times. Of any number of calls, exactly
	// limit succeed. A limit of 0 permits any number of uses, and Use need not
	// count them.
	Use(ctx context.Context, grantID string, limit int, expires time.Time) error

	// Revoke revokes the grant, even if it was never used. Use fails as soon as
	// Revoke has returned nil. A second call has no effect.
	Revoke(ctx context.Context, grantID string, expires time.Time) error
}

// MemoryGrants implements [Grants] for a single process, for tests and
// experiments. The zero value is ready for use. Its content is lost when the
// process ends. Links that were used up or revoked are then accepted again.
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
		return ErrRevoked
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

// grantGrace is the time after expiry before a grant is removed. It allows for
// clock differences.
const grantGrace = time.Hour

// get returns the grant, and adds it if it is missing. get also removes expired
// grants. The caller must hold m.mu.
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
