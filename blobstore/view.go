package blobstore

import (
	"errors"
	"fmt"
	"strings"
)

// Sub returns a view of the store that cannot leave prefix, such as
// "tenants/42/": whatever its caller passes on, every operation with a key, a
// source or a listing outside of it is refused with [ErrDenied] and recorded so,
// before the authoriser is asked. Keys stay whole, the same in the store, in the
// view, in links and in the trail.
//
// The prefix must end in a slash, since "tenants/4" would also be the beginning
// of "tenants/42/"; else the error wraps [ErrInvalidKey]. The view of a view is within
// both. A view shares everything with its store: it needs no Close, ends when
// the store is closed, and leaves [Store.Reconcile] to it.
func (s *Store) Sub(prefix string) (*Store, error) {
	if err := CheckKey(strings.TrimSuffix(prefix, "/")); err != nil {
		return nil, &Error{Op: "sub", Key: prefix, Err: err}
	}
	if !strings.HasSuffix(prefix, "/") {
		return nil, &Error{Op: "sub", Key: prefix, Err: fmt.Errorf("%w: a prefix that ends in no slash is also that of other folders", ErrInvalidKey)}
	}
	if err := s.inView(prefix); err != nil {
		return nil, &Error{Op: "sub", Key: prefix, Err: fmt.Errorf("%w: %w", ErrDenied, err)}
	}
	view := *s
	view.prefix = prefix
	return &view, nil
}

// inView refuses keys that are outside of the view. None is the empty key, but
// for the first, which may be the prefix of a listing.
func (s *Store) inView(key string, others ...string) error {
	if !strings.HasPrefix(key, s.prefix) {
		return errOutside
	}
	for _, k := range others {
		if k != "" && !strings.HasPrefix(k, s.prefix) {
			return errOutside
		}
	}
	return nil
}

var errOutside = errors.New("the key is outside of this view of the store")
