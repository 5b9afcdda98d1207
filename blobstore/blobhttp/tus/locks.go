package tus

// Whose turn it is. A request that wants an upload on which another works has that one broken off, since it is most
// likely the same client's, whose connection broke. A sweep is nobody's client, and must not do that.

import (
	"context"
	"sync"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
)

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

// try takes a lock that nobody has or wants, and returns nil for another.
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
