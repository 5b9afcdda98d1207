package signurl

// What can be wrong with a link, for errors.Is. The errors wrapped around these give a reason that names parameters and
// limits, but quote nothing of the request: a signed URL is a secret, and its text is the visitor's.

import (
	"errors"
	"fmt"
)

var (
	// ErrSignature: not a link that one of the keys signed, or not written as links are. Nothing about it is to be
	// believed.
	ErrSignature = errors.New("signurl: not a valid link")
	// ErrExpired: the link was good, but its time is over.
	ErrExpired = errors.New("signurl: the link has expired")
	// ErrMethod: the link is for another method.
	ErrMethod = errors.New("signurl: the link is for another method")
	// ErrConstraint: the request, its body or its sender breaks a constraint that was signed into the link.
	ErrConstraint = errors.New("signurl: the request breaks a constraint of the link")
	// ErrRevoked: the link was taken back, or has been used as often as it may be. This package keeps no state and
	// never returns it: it is for whoever keeps the grants.
	ErrRevoked = errors.New("signurl: the link was revoked or used up")
)

func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrSignature, reason) }

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConstraint, fmt.Sprintf(format, args...))
}
