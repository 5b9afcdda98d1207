package storetest

// This file implements readers that misbehave in the way of request bodies.

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
)

// failing returns n bytes in pieces and then err, which may be io.EOF.
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

// canceling cancels a context after n bytes and then continues to return zeros.
// After 16 MiB more it fails.
type canceling struct {
	n      int
	cancel func()
	over   int
}

var errNotStopped = errors.New("more than 16 MiB were read after the context ended")

func (r *canceling) Read(p []byte) (int, error) {
	if r.n <= 0 {
		r.cancel()
		if r.over += len(p); r.over > 16*mib {
			return 0, errNotStopped
		}
		runtime.Gosched() // a goroutine passes the cancellation on to derived contexts
	}
	clear(p)
	r.n -= len(p)
	return len(p), nil
}

// deadline is a context whose deadline passes when the case calls pass. A real
// deadline could pass before the upload begins, or on a busy machine only after
// the reader has failed.
type deadline struct {
	context.Context
	done   chan struct{}
	mu     sync.Mutex
	passed bool
	after  []func()
}

// deadline returns a deadline that passes with the case's own context at the
// latest.
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

// AfterFunc makes package context end all derived contexts before pass returns.
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

// small returns at most n bytes at a time, and the last ones together with
// io.EOF.
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
