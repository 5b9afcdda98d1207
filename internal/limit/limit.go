// Package limit defines the errors of content outside a limit. Their fields
// name the limit, so that package blobhttp can report it to the client.
package limit

import (
	"fmt"
	"strings"
)

// Error reports content larger than MaxSize, or of a type not in Types.
type Error struct {
	MaxSize int64    // bytes; 0 if the type is wrong
	Types   []string // allowed types, such as "image/*"; empty if the size is wrong

	err error
}

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the formatted error of [Size] or [Type].
func (e *Error) Unwrap() error { return e.err }

// Size returns an error for content larger than limit bytes. It wraps kind,
// such as blobstore.ErrTooLarge. what describes the excess, such as "20 bytes".
func Size(kind error, what string, limit int64) error {
	return &Error{MaxSize: limit, err: fmt.Errorf("%w: %s, limit %d", kind, what, limit)}
}

// Type returns an error for content of another type than those in types. It
// wraps kind, such as blobstore.ErrContentType. what describes the actual type,
// such as "declared as text/html".
func Type(kind error, what string, types []string) error {
	return &Error{Types: types, err: fmt.Errorf("%w: %s, allowed: %s", kind, what, strings.Join(types, ", "))}
}
