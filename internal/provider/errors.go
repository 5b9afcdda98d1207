package provider

import (
	"context"
	"errors"
	"io/fs"

	"gocloud.dev/gcerrors"
)

// MapCode converts a Go CDK error to the contract, according to its code. The
// result also wraps err.
func MapCode(err error) error {
	if err == nil {
		return nil
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return As(fs.ErrNotExist, err)
	case gcerrors.AlreadyExists, gcerrors.FailedPrecondition:
		return As(fs.ErrExist, err)
	case gcerrors.PermissionDenied:
		return As(fs.ErrPermission, err)
	case gcerrors.Unimplemented:
		return As(errors.ErrUnsupported, err)
	case gcerrors.Canceled:
		return As(context.Canceled, err)
	case gcerrors.DeadlineExceeded:
		return As(context.DeadlineExceeded, err)
	}
	return err
}

// ErrKind reports an object of an unsupported kind: the service stores it, but
// Write would not have created it in this form. It matches
// errors.ErrUnsupported. See Received of driver.Bucket.
var ErrKind error = unsupported("not an ordinary object")

// unsupported is an error that matches errors.ErrUnsupported but has its own
// text.
type unsupported string

func (e unsupported) Error() string { return string(e) }

func (e unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// As returns an error that matches both kind and err with errors.Is and
// errors.As. Its text is that of kind alone if kind needs no explanation, and
// otherwise both.
func As(kind, err error) error {
	if err == nil || errors.Is(err, kind) {
		return err
	}
	return &kindError{kind, err}
}

type kindError struct{ kind, err error }

func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

func (e *kindError) Error() string {
	if errors.Is(e.kind, fs.ErrNotExist) || errors.Is(e.kind, fs.ErrExist) {
		return e.kind.Error()
	}
	return e.kind.Error() + ": " + e.err.Error()
}
