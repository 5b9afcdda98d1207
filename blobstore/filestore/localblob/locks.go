// Locks of keys: they order the short commit phase of writers and deleters of one key, in this process and others.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
)

// stripes is the number of lock files that all keys share. It is part of the layout: every process must agree on it.
const stripes = 256

// locks are semaphores rather than mutexes, since who waits may have a deadline.
type locks [stripes]chan struct{}

func newLocks() (l locks) {
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

// lock locks the key whose file is name until unlock is called. The semaphore comes first so that goroutines of one
// process do not each block a thread in flock. Another process may hold the lock for as long as it is stopped: when ctx
// ends before it is had, that is the error.
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
		// The thread can't be called back. The semaphore stays taken until it returns, so that there is but one.
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
