// This file implements the locks of keys. They order the short commit phase of
// concurrent writers and deleters of a key, in all processes.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
)

// stripes is the number of lock files, shared by all keys. It is part of the
// layout, so all processes must use the same number.
const stripes = 256

// locks are semaphores rather than mutexes, because a waiting caller may have a
// deadline.
type locks [stripes]chan struct{}

func newLocks() (l locks) {
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

// lock locks the key of the file name until unlock is called. It takes the
// semaphore first, so that the goroutines of one process do not each block a
// thread in flock. A stopped process can hold the lock for any time. If ctx
// ends first, lock returns its error.
func (b *bucket) lock(ctx context.Context, name string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	i := h.Sum32() % stripes
	mine := b.locks[i]
	select {
	case mine <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	f, err := b.openLock(fmt.Sprintf("%s/%02x", lockDir, i))
	if err != nil {
		<-mine
		return nil, err
	}
	release := func() {
		f.Close() // releases the flock
		<-mine
	}
	if flock(f, false) == nil {
		return release, nil
	}
	waited := make(chan struct{})
	var locked error
	go func() {
		defer close(waited)
		locked = flock(f, true)
	}()
	select {
	case <-waited:
	case <-ctx.Done():
		// The blocked thread cannot be interrupted. The semaphore stays taken
		// until it returns, so at most one thread is blocked.
		go func() {
			<-waited
			release()
		}()
		return nil, ctx.Err()
	}
	if locked != nil {
		release()
		return nil, locked
	}
	return release, nil
}

func (b *bucket) openLock(file string) (*os.File, error) {
	f, err := b.fs.root.OpenFile(file, os.O_RDWR|os.O_CREATE, b.opts.FileMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = b.fs.mkdirs(lockDir, b.opts.DirMode); err == nil {
			f, err = b.fs.root.OpenFile(file, os.O_RDWR|os.O_CREATE, b.opts.FileMode)
		}
	}
	return f, err
}
