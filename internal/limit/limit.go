// Package limit holds the errors of content that breaks a limit. They name the
// limit, so that package blobhttp can report it to the client.
package limit

import (
	"fmt"
	"strings"
)

// Error is an error of content that is larger than MaxSize or of none of Types.
type Error struct {
	MaxSize int64    // bytes; 0 if the type is at fault
	Types   []string // allowed types, such as "image/*"; empty if the size is at fault

	err error
}

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error that was given to [Size] or [Type].
func (e *Error) Unwrap() error { return e.err }

// Size returns an error that wraps kind, such as blobstore.ErrTooLarge, and says
// what exceeds the limit, such as "20 bytes".
func Size(kind error, what string, limit int64) error {
	return &Error{MaxSize: limit, err: fmt.Errorf("%w: %s: the limit is %d", kind, what, limit)}
}

// Type returns an error that wraps kind, such as blobstore.ErrContentType, and says
// what is not of an allowed type, such as "declared as text/html".
func Type(kind error, what string, types []string) error {
	return &Error{Types: types, err: fmt.Errorf("%w: %s, allowed are %s", kind, what, strings.Join(types, ", "))}
}
