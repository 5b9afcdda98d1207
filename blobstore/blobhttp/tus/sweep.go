package tus

// This file implements the removal of expired uploads, and the locks of
// uploads. A new request interrupts an earlier request for the same upload,
// because most likely the same client lost its connection. A sweep never
// interrupts a request.

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
)

// Sweep removes expired uploads and returns their number. It skips uploads with
// a request in progress. Call Sweep regularly, for example once an hour.
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
		return false, err // a request is in progress; the next sweep removes the upload
	}
	defer lock.Unlock() //nolint:errcheck // a lock in memory
	u, err := h.uploads.spool.open(id)
	if errors.Is(err, handler.ErrNotFound) {
		u, err = h.uploads.spool.remnant(id)
	}
	if err != nil || u == nil || time.Since(u.begun) <= h.uploads.expiry {
		return false, err
	}
	return true, u.remove()
}

// locks adds a non-blocking lock operation to the locker of the tusd library.
type locks struct {
	inner *memorylocker.MemoryLocker

	mu    sync.Mutex
	users map[string]int // number of holders and waiters per upload
}

func newLocks() *locks {
	return &locks{inner: memorylocker.New(), users: make(map[string]int)}
}

// NewLock implements [handler.Locker].
func (l *locks) NewLock(id string) (handler.Lock, error) {
	inner, err := l.inner.NewLock(id)
	return &lock{l, id, inner}, err
}

// try takes a lock if it is free, and otherwise returns nil.
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
	if err := inner.Lock(ctx, func() {}); err != nil { // returns immediately, because the lock is free
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
