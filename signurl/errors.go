package signurl

// This file implements the errors. Those that wrap them give a reason that names parameters and limits, but quote nothing
// of the request: a signed URL is a secret, and its text is the client's.

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrSignature: not a link that one of the keys signed, or not written as links are. Nothing about it is to be
	// believed.
	ErrSignature = errors.New("signurl: not a valid link")
	// ErrExpired: the link was good, but its time is over.
	ErrExpired = errors.New("signurl: the link has expired")
	// ErrMethod: the link is for another method. The error of Verify has a method Allow() string, which returns the
	// methods that the link allows in the form of the Allow header.
	ErrMethod = errors.New("signurl: the link is for another method")
	// ErrConstraint: the request, its body or its sender breaks a constraint that was signed into the link.
	ErrConstraint = errors.New("signurl: the request breaks a constraint of the link")
	// ErrUser: the link is bound to another user. The error wraps ErrConstraint.
	ErrUser = broken("it is bound to another user")
	// ErrAddress: the link is bound to another IP address. The error wraps ErrConstraint.
	ErrAddress = broken("it is bound to another address")
	// ErrRevoked: the link was revoked, or used as often as it allows. [Grants] returns it.
	ErrRevoked = errors.New("signurl: the link was revoked or used up")
)

// methodError is ErrMethod for a link of method.
type methodError struct{ method string }

func (e *methodError) Error() string { return ErrMethod.Error() }
func (e *methodError) Unwrap() error { return ErrMethod }

// Allow returns the methods that the link allows.
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
