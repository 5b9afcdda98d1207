package storetest

// Readers that misbehave, as request bodies do.

import (
	"context"
	"errors"
	"io"
	"sync"
)

// failing gives n bytes, in pieces, and then err, which may be io.EOF.
type failing struct {
	n   int
	err error
}

func (r *failing) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, r.err
	}
	n := min(len(p), r.n, 10_000)
	for i := range n {
		p[i] = byte(i)
	}
	r.n -= n
	return n, nil
}

// cancelling ends a context after n bytes and then goes on for ever, up to
// the patience of the case.
type cancelling struct {
	n      int
	cancel func()
	over   int
}

var errNotStopped = errors.New("went on reading 16 MiB after the context ended")

func (r *cancelling) Read(p []byte) (int, error) {
	if r.n <= 0 {
		r.cancel()
		if r.over += len(p); r.over > 16*mib {
			return 0, errNotStopped
		}
	}
	clear(p)
	r.n -= len(p)
	return len(p), nil
}

// deadline is a context whose deadline passes when the case says so: by the clock
// it could pass before the upload has begun, or, on a busy machine, be noticed
// only when the reader has run out of patience.
type deadline struct {
	context.Context
	done   chan struct{}
	mu     sync.Mutex
	passed bool
	after  []func()
}

// deadline returns one that passes at the latest with the case's own.
func (e *env) deadline() *deadline {
	d := &deadline{Context: e.ctx, done: make(chan struct{})}
	stop := context.AfterFunc(e.ctx, d.pass)
	e.Cleanup(func() { stop() })
	return d
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed {
		return context.DeadlineExceeded
	}
	return nil
}

// AfterFunc is what package context looks for, to end the contexts that derive
// from this one before pass returns.
func (d *deadline) AfterFunc(f func()) (stop func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed {
		go f()
		return func() bool { return false }
	}
	var once sync.Once
	d.after = append(d.after, func() { once.Do(f) })
	return func() (stopped bool) {
		once.Do(func() { stopped = true })
		return stopped
	}
}

func (d *deadline) pass() {
	d.mu.Lock()
	if d.passed {
		d.mu.Unlock()
		return
	}
	d.passed = true
	close(d.done)
	after := d.after
	d.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// small gives at most n bytes at a time, and its last ones together with io.EOF.
type small struct {
	data []byte
	n    int
}

func (r *small) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), r.n)], r.data)
	r.data = r.data[n:]
	if len(r.data) == 0 {
		return n, io.EOF
	}
	return n, nil
}
