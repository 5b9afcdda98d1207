package blobstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/blobtrail/blobtrail/audit"
)

// gate is shared by a store and its views. It counts the operations, so that Close
// can wait for them.
type gate struct {
	closeBucket func() error

	mu       sync.Mutex
	running  int           // operations that entered and have not left
	closed   chan struct{} // made by Close, closed after the bucket
	closeErr error         // of the bucket, once closed is closed
	reported bool          // a Close returned closeErr
	left     audit.Intent  // the check whose object could not be deleted; see Check
	warned   sync.Once     // see warnSkipped
}

// Close waits for the running operations, so that each is settled, and closes
// the bucket. A [Staged] is running until Commit, Discard or Leave. Operations
// that come later fail with [ErrClosed]. Readers that were opened before stay
// usable as far as the backend allows.
//
// If ctx ends first, Close returns its error and the number of operations that
// are still running. The bucket is closed when the last of them ends; another
// Close waits for that. Close of a closed store fails with [ErrClosed].
//
// Close of a view (see [Store.Sub]) does nothing: close the store.
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
		return fmt.Errorf("%w: %d operations are still running, and the bucket is closed when the last of them ends", ended(ctx, context.Cause(ctx)), g.running)
	case g.reported:
		return ErrClosed
	}
	g.reported = true
	return g.closeErr
}

// finish closes the bucket. The caller holds the lock, and nothing is running.
func (g *gate) finish() {
	g.closeErr = g.closeBucket()
	close(g.closed)
}

// start counts an operation in, unless the store is closed.
func (g *gate) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return ErrClosed
	}
	g.running++
	return nil
}

// leave counts an operation out.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.closed != nil {
		g.finish()
	}
}
