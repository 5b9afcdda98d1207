// This file implements errors. They contain the key, never a path outside the
// folder of the bucket, and wrap their cause.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"gocloud.dev/gcerrors"
)

// codedError is an error with an explicit Go CDK code.
type codedError struct {
	code gcerrors.ErrorCode
	msg  string
	err  error
}

func (e *codedError) Error() string { return e.msg }
func (e *codedError) Unwrap() error { return e.err }

// Is reports that the error of an existing key matches fs.ErrExist, also in
// cases where the Go CDK gives the error no code.
func (e *codedError) Is(target error) bool {
	return target == fs.ErrExist && e.code == gcerrors.FailedPrecondition
}

func existsError(key string) error {
	return &codedError{
		code: gcerrors.FailedPrecondition,
		msg:  fmt.Sprintf("localblob: the key %q already exists", key),
		err:  fs.ErrExist,
	}
}

// nestedError reports that both "a" and "a/b" would have to exist. One would be
// a file and the other a folder.
func nestedError(key string, cause error) error {
	return &codedError{
		code: gcerrors.FailedPrecondition,
		msg: fmt.Sprintf("localblob: the key %q cannot be stored: an object cannot have a name that is also a folder of others "+
			`(such as "a" beside "a/b")`, key),
		err: cause,
	}
}

// keyError returns the error of op for key. It drops the path of the cause,
// because the path may be absolute or that of a temporary file.
func keyError(op, key string, err error) error {
	switch e := err.(type) { //nolint:errorlint // only the outermost layer has a path to take off
	case nil:
		return nil
	case *codedError:
		return err
	case *fs.PathError:
		err = e.Err
	case *os.LinkError:
		err = e.Err
	case *os.SyscallError:
		err = e.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist // "a/b" where "a" is an object
	}
	return &fs.PathError{Op: op, Path: key, Err: err}
}

// ErrorCode implements driver.Bucket.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	var coded *codedError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, ErrPath):
		return gcerrors.InvalidArgument
	case errors.Is(err, ErrNoFolder):
		return gcerrors.Unknown
	case errors.Is(err, fs.ErrNotExist):
		return gcerrors.NotFound
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return gcerrors.ResourceExhausted
	case errors.Is(err, errors.ErrUnsupported):
		return gcerrors.Unimplemented
	}
	return gcerrors.Unknown
}

// ErrorAs implements driver.Bucket. It provides the *fs.PathError of an error;
// its Path is the key.
func (b *bucket) ErrorAs(err error, i any) bool {
	p, ok := i.(**fs.PathError)
	return ok && errors.As(err, p)
}
