package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// These errors are the same on every backend. Test for them with errors.Is. The
// ones also defined in package driver are the same values.
//
// Operations also fail with:
//
//   - fs.ErrNotExist: the object does not exist.
//   - fs.ErrExist: the key exists already.
//   - fs.ErrPermission: the service refused the store's own credentials.
//   - [audit.ErrNoActor]: the context has no actor.
//   - context.Canceled and context.DeadlineExceeded: the context ended.
var (
	// ErrInvalidKey reports a key that breaks a rule; see [CheckKey].
	ErrInvalidKey = errors.New("invalid key")
	// ErrTooLarge reports content longer than its limit or its announced size.
	ErrTooLarge = driver.ErrTooLarge
	// ErrContentType reports content whose type is not allowed.
	ErrContentType = errors.New("content type not allowed")
	// ErrChecksum reports content that differs from its SHA-256.
	ErrChecksum = driver.ErrChecksum
	// ErrRange reports a requested range that starts past the end of the object.
	ErrRange = driver.ErrRange
	// ErrUnsupported reports a feature missing in the backend (see
	// [Store.Info]), or an option or call that does not apply.
	ErrUnsupported = errors.ErrUnsupported
	// ErrReplaced reports that the object was replaced concurrently.
	ErrReplaced = driver.ErrReplaced
	// ErrAudit reports that the trail could not be written or read. If this
	// happened before the operation took effect, nothing was changed. If it
	// happened after that, the effect remains, the intent is open, and
	// [Store.Reconcile] settles it.
	ErrAudit = errors.New("audit trail unavailable")
	// ErrNoBucket reports that the store's bucket, container or folder does not
	// exist: it was removed, or its volume is not mounted. It never matches
	// fs.ErrNotExist, so that an object in it is not mistaken for deleted.
	ErrNoBucket = driver.ErrNoBucket
	// ErrPath reports that the path of a key passes through something the
	// backend does not follow. On local files this is a symbolic link to a
	// folder, or a link out of the store's folder. The error names that part of
	// the path. Whether an object exists there is unknown.
	ErrPath = driver.ErrPath
	// ErrInDoubt reports that the outcome is unknown: the backend stopped
	// responding. The intent is open, and [Store.Reconcile] settles it.
	ErrInDoubt = driver.ErrInDoubt
	// ErrBusy reports that another request is completing or aborting the same
	// ticket. Nothing is lost; try again.
	ErrBusy = errors.New("another request is completing or aborting this upload; try again")
	// ErrDenied reports that the operation is not permitted: Options.Authorize
	// refused it, the key is outside the view, or a link or [Redemption] does
	// not cover it. It does not match fs.ErrPermission: that error means that
	// the service refused the store's own credentials.
	ErrDenied = errors.New("operation not authorized")
	// ErrClosed reports that the store is closed.
	ErrClosed = errors.New("the store is closed")
)

// Error is the error type of every method of [Store]. Its text names the
// operation and the key, and never contains a secret.
type Error struct {
	Op  string // such as "upload"
	Key string // may be empty
	Err error  // the cause; never nil
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("blobstore: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("blobstore: %s %.300q: %v", e.Op, e.Key, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// codes maps errors to the error codes of the trail. The first match counts.
var codes = []struct {
	err  error
	code string
}{
	{ErrDenied, "denied"},
	{signurl.ErrExpired, "expired"},
	{signurl.ErrMethod, "method"},
	{signurl.ErrConstraint, "constraint"},
	{signurl.ErrRevoked, "revoked"},
	{ErrTooLarge, "too_large"},
	{ErrContentType, "type"},
	{ErrChecksum, "checksum"},
	{ErrRange, "range"},
	{ErrUnrecorded, "unrecorded"},
	{ErrReplaced, "replaced"},
	{ErrNoBucket, "no_bucket"},
	{ErrPath, "path"},
	{fs.ErrNotExist, "not_found"},
	{fs.ErrExist, "exists"},
	{fs.ErrPermission, "permission"},
	{syscall.ENOSPC, "no_space"},
	{syscall.EDQUOT, "no_space"},
	{ErrUnsupported, "unsupported"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline"},
	{io.ErrUnexpectedEOF, "truncated"},
	{errDiscarded, "discarded"},
}

// errorCode returns the code recorded in the trail for err. The text of err is
// not recorded, because it may quote a client.
func errorCode(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "error"
}
