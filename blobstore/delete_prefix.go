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

// deletesAtOnce is the number of objects that DeletePrefix deletes
// concurrently. Over a network, most of a deletion is waiting.
const deletesAtOnce = 8

// DeletePrefix deletes all objects whose keys begin with prefix and returns
// their number. It records each deletion separately, with the options opts. It
// stops at the first error: objects deleted before remain deleted, and another
// call deletes the rest. Objects stored while it runs may or may not be
// deleted.
//
// The prefix must end in a slash, so that "invoices/4" does not match
// "invoices/42". Otherwise, or if the prefix is empty, the error wraps
// [ErrInvalidKey].
func (s *Store) DeletePrefix(ctx context.Context, prefix string, opts *DeleteOptions) (int, error) {
	if !strings.HasSuffix(prefix, "/") {
		return 0, &Error{Op: "delete prefix", Key: prefix, Err: fmt.Errorf("%w: the prefix must end in a slash", ErrInvalidKey)}
	}
	var deleted atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for obj, err := range s.List(gctx, &ListOptions{Prefix: prefix}) {
		if err != nil {
			// If a deletion failed first, Wait returns its error instead.
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error {
			err := s.Delete(gctx, obj.Key, opts)
			if err == nil {
				deleted.Add(1)
			} else if errors.Is(err, fs.ErrNotExist) {
				err = nil // already deleted concurrently
			}
			return err
		})
	}
	err := group.Wait()
	return int(deleted.Load()), err
}
