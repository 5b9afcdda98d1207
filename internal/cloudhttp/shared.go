package cloudhttp

import (
	"context"
	"sync"
)

// Shared lets concurrent callers with the same question share one request. The
// zero value is ready to use.
type Shared struct {
	mu   sync.Mutex
	next *question // the next question, asked after the current one
	busy bool
}

type question struct {
	done chan struct{}
	err  error
}

// Ask returns the result of a call of fn that began after Ask was called. It
// returns earlier if ctx ends, with the error of ctx.
func (s *Shared) Ask(ctx context.Context, fn func(context.Context) error) error {
	s.mu.Lock()
	if s.next == nil {
		s.next = &question{done: make(chan struct{})}
	}
	q := s.next
	if !s.busy {
		s.busy = true
		go s.run(context.WithoutCancel(ctx), fn)
	}
	s.mu.Unlock()
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run asks all pending questions.
func (s *Shared) run(ctx context.Context, fn func(context.Context) error) {
	for {
		s.mu.Lock()
		q := s.next
		s.next = nil
		if s.busy = q != nil; q == nil {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		q.err = answer(ctx, fn)
		close(q.done)
	}
}

func answer(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return fn(ctx)
}
