package storetest

// Readers that misbehave, as request bodies do.

import (
	"context"
	"errors"
	"io"
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

// cancelling cancels a context after n bytes and then goes on for ever, up to
// the patience of the case.
type cancelling struct {
	n      int
	cancel context.CancelFunc
	over   int
}

var errNotStopped = errors.New("went on reading 16 MiB after the context was cancelled")

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

// expiring waits for the end of a context after n bytes, then goes on.
type expiring struct {
	ctx  context.Context
	n    int
	over int
}

func (r *expiring) Read(p []byte) (int, error) {
	if r.n <= 0 {
		<-r.ctx.Done()
		if r.over += len(p); r.over > 16*mib {
			return 0, errNotStopped
		}
	}
	clear(p)
	r.n -= len(p)
	return len(p), nil
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
