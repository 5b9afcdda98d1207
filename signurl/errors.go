package signurl

// This file implements the errors. Errors that wrap them add a reason. It names
// parameters and limits, but never quotes the request, because a signed URL is
// a secret and the client controls its text.

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrSignature reports that none of the keys signed the link, or that the
	// link is malformed. Trust nothing in it.
	ErrSignature = errors.New("signurl: invalid link")
	// ErrExpired reports that the link was valid and has expired.
	ErrExpired = errors.New("signurl: the link has expired")
	// ErrMethod reports that the link is for another method. The error of
	// Verify has a method Allow() string, which returns the permitted methods
	// in the form of the Allow header.
	ErrMethod = errors.New("signurl: the link is for another method")
	// ErrConstraint reports that the request, its body or its sender violates a
	// signed constraint of the link.
	ErrConstraint = errors.New("signurl: the request violates a constraint of the link")
	// ErrUser reports that the link is restricted to another user. It wraps
	// ErrConstraint.
	ErrUser = broken("the link is restricted to another user")
	// ErrAddress reports that the link is restricted to another IP address. It
	// wraps ErrConstraint.
	ErrAddress = broken("the link is restricted to another address")
	// ErrRevoked reports that the link was revoked or has no uses left.
	// [Grants] returns it.
	ErrRevoked = errors.New("signurl: the link was revoked or has no uses left")
)

// methodError is ErrMethod for a link with the given method.
type methodError struct{ method string }

func (e *methodError) Error() string { return ErrMethod.Error() }
func (e *methodError) Unwrap() error { return ErrMethod }

// Allow returns the methods that the link permits.
func (e *methodError) Allow() string {
	if e.method == http.MethodGet {
		return "GET, HEAD"
	}
	return e.method
}

func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrSignature, reason) }

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConstraint, fmt.Sprintf(format, args...))
}
