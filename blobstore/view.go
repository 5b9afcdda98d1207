package blobstore

import (
	"errors"
	"fmt"
	"strings"
)

// Sub returns a view of the store, limited to the keys below prefix, such as
// "tenants/42/". An operation with a key, a source or a listing outside the
// prefix fails with [ErrDenied] and is recorded as denied. Options.Authorize is
// not called for it. Keys are not shortened: an object has the same key in the
// store, in the view, in links and in the trail.
//
// The prefix must end in a slash, because "tenants/4" would also match
// "tenants/42/". Otherwise, the error wraps [ErrInvalidKey]. A view of a view
// is limited to both prefixes.
//
// A view shares the resources of its store. Closing the view has no effect. The
// view becomes unusable when the store is closed. [Store.Reconcile] fails on a
// view with [ErrUnsupported].
func (s *Store) Sub(prefix string) (*Store, error) {
	if err := CheckKey(strings.TrimSuffix(prefix, "/")); err != nil {
		return nil, &Error{Op: "sub", Key: prefix, Err: err}
	}
	if !strings.HasSuffix(prefix, "/") {
		return nil, &Error{Op: "sub", Key: prefix, Err: fmt.Errorf("%w: the prefix must end in a slash, or it would match other folders", ErrInvalidKey)}
	}
	if err := s.inView(prefix); err != nil {
		return nil, &Error{Op: "sub", Key: prefix, Err: fmt.Errorf("%w: %w", ErrDenied, err)}
	}
	view := *s
	view.prefix = prefix
	return &view, nil
}

// inView rejects keys outside the view. Empty keys in others are ignored. An
// empty key itself is checked, because it can be the prefix of a listing.
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

var errOutside = errors.New("the key is outside the prefix of this view")
