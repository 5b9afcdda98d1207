package provider

import (
	"context"
	"errors"
	"io/fs"

	"gocloud.dev/gcerrors"
)

// MapCode returns err so that errors.Is finds the error of the contract that
// its Go CDK code stands for.
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

// ErrKind is the errors.ErrUnsupported of an object that the service keeps, but
// not as one that Write would have made. See Received of driver.Bucket.
var ErrKind error = unsupported("not an ordinary object")

// unsupported is an errors.ErrUnsupported of another text.
type unsupported string

func (e unsupported) Error() string { return string(e) }

func (e unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// As returns err as one that is also kind: errors.Is and errors.As find both.
// Its text is that of kind for what needs no explanation, else both.
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
