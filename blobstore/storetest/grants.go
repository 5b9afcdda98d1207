package storetest

// This file implements the cases for signurl.Grants.

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

// RunGrants runs every case for an implementation of signurl.Grants as a
// subtest. It calls open twice. The returned values must share their storage,
// like two processes of the same application.
func RunGrants(t *testing.T, open func(tb testing.TB) signurl.Grants) {
	t.Helper()
	one, two := open(t), open(t)
	for _, c := range grantsCases {
		t.Run(c.name, func(t *testing.T) { c.run(&grantsEnv{t, one, two, time.Now().Add(time.Hour)}) })
	}
}

// grantsEnv is the environment of a case.
type grantsEnv struct {
	testing.TB
	one, two signurl.Grants
	over     time.Time
}

// uses checks that the given number of uses succeed and that later ones fail.
func (e *grantsEnv) uses(g signurl.Grants, id string, limit, succeed int) {
	e.Helper()
	for range succeed {
		require.NoError(e, g.Use(e.Context(), id, limit, e.over))
	}
	for range 2 {
		require.ErrorIs(e, g.Use(e.Context(), id, limit, e.over), signurl.ErrRevoked)
	}
}

// race uses a new grant n times concurrently, alternating between grants.
// Exactly limit uses must succeed.
func (e *grantsEnv) race(limit, n int, grants ...signurl.Grants) {
	e.Helper()
	id := signurl.NewGrantID()
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = grants[i%len(grants)].Use(e.Context(), id, limit, e.over)
		})
	}
	close(start)
	wg.Wait()
	passed := 0
	for _, err := range errs {
		if err == nil {
			passed++
		} else {
			require.ErrorIs(e, err, signurl.ErrRevoked)
		}
	}
	assert.Equal(e, limit, passed)
}

var grantsCases = []struct {
	name string
	run  func(e *grantsEnv)
}{
	{"a grant MUST be usable exactly as often as its limit", func(e *grantsEnv) {
		for _, limit := range []int{1, 2, 7} {
			e.uses(e.one, signurl.NewGrantID(), limit, limit)
		}
	}},
	{"a limit of 0 MUST mean unlimited", func(e *grantsEnv) {
		id := signurl.NewGrantID()
		for range 20 {
			require.NoError(e, e.one.Use(e.Context(), id, 0, e.over))
		}
	}},
	{"a revoked grant MUST be refused, used or not", func(e *grantsEnv) {
		for _, limit := range []int{0, 1, 5} {
			for used := range min(limit, 2) + 1 {
				id := signurl.NewGrantID()
				for range used {
					require.NoError(e, e.one.Use(e.Context(), id, limit, e.over))
				}
				for range 2 {
					require.NoError(e, e.one.Revoke(e.Context(), id, e.over))
					e.uses(e.one, id, limit, 0)
				}
			}
		}
	}},
	{"grants MUST be distinguished byte by byte", func(e *grantsEnv) {
		id := signurl.NewGrantID()
		require.NoError(e, e.one.Revoke(e.Context(), id+"a", e.over))
		for _, other := range []string{id, id + "A", id + "b", id + "-", "gw-" + id, fmt.Sprintf("%064s", id)} {
			e.uses(e.one, other, 1, 1)
		}
		e.uses(e.one, id+"a", 1, 0)
	}},
	{"a call with an ended context MUST fail and count nothing", func(e *grantsEnv) {
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		id := signurl.NewGrantID()
		require.ErrorIs(e, e.one.Use(ctx, id, 1, e.over), context.Canceled)
		require.ErrorIs(e, e.one.Revoke(ctx, id, e.over), context.Canceled)
		e.uses(e.one, id, 1, 1)
	}},
	{"a grant MUST be stored past its expiry, to allow for clock differences", func(e *grantsEnv) {
		for _, end := range []time.Time{time.Now().Add(-time.Minute), time.Now(), time.Now().Add(7 * 24 * time.Hour)} {
			used, gone := signurl.NewGrantID(), signurl.NewGrantID()
			require.NoError(e, e.one.Use(e.Context(), used, 1, end))
			require.NoError(e, e.one.Revoke(e.Context(), gone, end))
			e.uses(e.one, used, 1, 0)
			e.uses(e.one, gone, 0, 0)
		}
	}},
	{"of 1,000 concurrent uses exactly as many as the limit MUST succeed", func(e *grantsEnv) {
		e.race(1, 1000, e.one)
		e.race(7, 1000, e.one)
	}},
	{"a use after Revoke returned MUST be refused, even with concurrent uses", func(e *grantsEnv) {
		for range 5 {
			id := signurl.NewGrantID()
			var revoked atomic.Bool
			var last [8]error
			var wg sync.WaitGroup
			for i := range last {
				wg.Go(func() {
					for after := false; !after; {
						after = revoked.Load()
						last[i] = e.one.Use(e.Context(), id, 1_000_000, e.over)
					}
				})
			}
			err := e.one.Revoke(e.Context(), id, e.over)
			revoked.Store(true)
			wg.Wait()
			require.NoError(e, err)
			for _, err := range last {
				require.ErrorIs(e, err, signurl.ErrRevoked)
			}
		}
	}},
	{"uses and revocations MUST be visible to all processes that share the storage", func(e *grantsEnv) {
		id, gone := signurl.NewGrantID(), signurl.NewGrantID()
		require.NoError(e, e.one.Use(e.Context(), id, 2, e.over))
		e.uses(e.two, id, 2, 1)
		e.uses(e.one, id, 2, 0)
		require.NoError(e, e.two.Revoke(e.Context(), gone, e.over))
		e.uses(e.one, gone, 0, 0)
		e.race(1, 400, e.one, e.two)
		e.race(7, 400, e.one, e.two)
	}},
}
