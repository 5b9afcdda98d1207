package tus

// This file implements the removal of expired uploads and the locks of uploads. A request interrupts another request that
// works on the same upload, since that is most likely an earlier one of the same client, whose connection broke. A sweep
// must not interrupt a request.

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
)

// Sweep removes the expired uploads, except while a request works on them, and
// returns their number. Call it regularly, such as once an hour.
func (h *Handler) Sweep(ctx context.Context) (removed int, err error) {
	ids, err := h.uploads.spool.ids()
	for _, id := range ids {
		if ctx.Err() != nil {
			return removed, errors.Join(err, ctx.Err())
		}
		ok, sweepErr := h.sweepOne(ctx, id)
		if ok {
			removed++
		}
		err = errors.Join(err, sweepErr)
	}
	return removed, err
}

func (h *Handler) sweepOne(ctx context.Context, id string) (bool, error) {
	lock, err := h.uploads.locks.try(ctx, id)
	if lock == nil || err != nil {
		return false, err // a request works on it: the next sweep removes it
	}
	defer lock.Unlock() //nolint:errcheck // of memory
	u, err := h.uploads.spool.open(id)
	if errors.Is(err, handler.ErrNotFound) {
		u, err = h.uploads.spool.remnant(id)
	}
	if err != nil || u == nil || time.Since(u.begun) <= h.uploads.expiry {
		return false, err
	}
	return true, u.remove()
}

// locks are those of the protocol's library, and one way more to take them.
type locks struct {
	inner *memorylocker.MemoryLocker

	mu    sync.Mutex
	users map[string]int // how many have or want the lock of an upload
}

func newLocks() *locks {
	return &locks{inner: memorylocker.New(), users: make(map[string]int)}
}

// NewLock implements [handler.Locker].
func (l *locks) NewLock(id string) (handler.Lock, error) {
	inner, err := l.inner.NewLock(id)
	return &lock{l, id, inner}, err
}

// try takes a lock that is free, and returns nil if it is not.
func (l *locks) try(ctx context.Context, id string) (handler.Lock, error) {
	inner, err := l.inner.NewLock(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users[id] > 0 {
		return nil, nil
	}
	if err := inner.Lock(ctx, func() {}); err != nil { // at once, since it is free
		return nil, err
	}
	l.users[id]++
	return &lock{l, id, inner}, nil
}

func (l *locks) count(id string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users[id] += n; l.users[id] == 0 {
		delete(l.users, id)
	}
}

type lock struct {
	locks *locks
	id    string
	inner handler.Lock
}

// Lock implements [handler.Lock].
func (k *lock) Lock(ctx context.Context, requestUnlock func()) error {
	k.locks.count(k.id, 1)
	err := k.inner.Lock(ctx, requestUnlock)
	if err != nil {
		k.locks.count(k.id, -1)
	}
	return err
}

// Unlock implements [handler.Lock].
func (k *lock) Unlock() error {
	defer k.locks.count(k.id, -1)
	return k.inner.Unlock()
}
