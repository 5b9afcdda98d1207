package blobstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/blobtrail/blobtrail/audit"
)

// gate counts the running operations of a store and its views, so that Close
// can wait for them.
type gate struct {
	closeBucket func() error

	mu       sync.Mutex
	running  int           // operations between start and leave
	closed   chan struct{} // created by Close; closed after the bucket is closed
	closeErr error         // error of closing the bucket; valid once closed is closed
	reported bool          // whether a Close has returned closeErr
	left     audit.Intent  // the check with an object that could not be deleted; see Check
	warned   sync.Once     // see warnSkipped
}

// Close waits for running operations to settle and then closes the bucket. A
// [Staged] upload runs until Commit, Discard or Leave. Later operations fail
// with [ErrClosed]. Readers opened earlier remain usable as far as the backend
// permits.
//
// If ctx ends first, Close returns the error of ctx with the number of running
// operations. The bucket is closed when the last of them ends, and another call
// to Close waits for that. Closing a closed store fails with [ErrClosed].
//
// Calling Close on a view (see [Store.Sub]) has no effect. Close the store
// instead.
func (s *Store) Close(ctx context.Context) error {
	if s.prefix != "" {
		return nil
	}
	if err := s.gate.close(ctx); err != nil {
		return &Error{Op: "close", Err: err}
	}
	return nil
}

func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
		if g.running == 0 {
			g.finish()
		}
	}
	g.mu.Unlock()
	select {
	case <-g.closed:
	case <-ctx.Done():
	}
	g.mu.Lock()
	switch {
	case g.running > 0:
		return fmt.Errorf("%w: %d operations are still running: the bucket is closed when the last of them ends", ended(ctx, context.Cause(ctx)), g.running)
	case g.reported:
		return ErrClosed
	}
	g.reported = true
	return g.closeErr
}

// finish closes the bucket. The caller holds the lock, and no operation is
// running.
func (g *gate) finish() {
	g.closeErr = g.closeBucket()
	close(g.closed)
}

// start registers an operation. It fails if the store is closed.
func (g *gate) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return ErrClosed
	}
	g.running++
	return nil
}

// leave unregisters an operation.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.closed != nil {
		g.finish()
	}
}
