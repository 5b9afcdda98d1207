package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// deletesAtOnce is how many objects DeletePrefix deletes at a time: over a
// network nearly all of a deletion is waiting.
const deletesAtOnce = 8

// DeletePrefix deletes every object whose key begins with prefix, each with a
// record of its own, and returns how many it deleted. opts are those of each
// deletion. It ends at the first error; what was deleted until then is gone, and
// calling it again goes on. What is uploaded meanwhile may or may not be deleted.
//
// The prefix must end in a slash, so that "invoices/4" doesn't take
// "invoices/42" with it; else the error wraps [ErrInvalidKey]. An empty prefix is
// refused too.
func (s *Store) DeletePrefix(ctx context.Context, prefix string, opts *DeleteOptions) (int, error) {
	if !strings.HasSuffix(prefix, "/") {
		return 0, &Error{Op: "delete prefix", Key: prefix, Err: fmt.Errorf("%w: want a prefix that ends in a slash", ErrInvalidKey)}
	}
	var deleted atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for obj, err := range s.List(gctx, &ListOptions{Prefix: prefix}) {
		if err != nil {
			// If a deletion failed that is why, and what Wait returns.
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error {
			err := s.Delete(gctx, obj.Key, opts)
			if err == nil {
				deleted.Add(1)
			} else if errors.Is(err, fs.ErrNotExist) {
				err = nil // somebody else was faster
			}
			return err
		})
	}
	err := group.Wait()
	return int(deleted.Load()), err
}
