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

// The errors of this package. errors.Is finds them on every backend. Operations
// also fail with fs.ErrNotExist (no such object), fs.ErrExist (the key is taken),
// fs.ErrPermission (the service refused the store's own credentials),
// audit.ErrNoActor (the context has no actor), context.Canceled and
// context.DeadlineExceeded. Those that package driver has too are the same values.
var (
	// ErrInvalidKey reports a key that breaks a rule; see [CheckKey].
	ErrInvalidKey = errors.New("invalid key")
	// ErrTooLarge reports content that is longer than its limit or its announced
	// size.
	ErrTooLarge = driver.ErrTooLarge
	// ErrContentType reports content of a type that is not allowed.
	ErrContentType = errors.New("content type not allowed")
	// ErrChecksum reports content that differs from its checksum.
	ErrChecksum = driver.ErrChecksum
	// ErrRange reports a requested range that starts past the end of the object.
	ErrRange = driver.ErrRange
	// ErrUnsupported reports a feature that the backend lacks; see [Store.Info].
	ErrUnsupported = errors.ErrUnsupported
	// ErrReplaced reports that the object was replaced concurrently.
	ErrReplaced = driver.ErrReplaced
	// ErrAudit reports that the trail could not be written or read. Before the
	// effect, nothing has happened. After the effect, it remains and its intent is
	// open; [Store.Reconcile] settles it.
	ErrAudit = errors.New("audit trail not written")
	// ErrNoBucket reports that the bucket, container or folder of the store does
	// not exist: it was removed, or its volume isn't mounted. It is never
	// fs.ErrNotExist, so that an object in it is not taken for deleted.
	ErrNoBucket = driver.ErrNoBucket
	// ErrPath reports that the path of a key leads through something that the
	// backend does not follow: on local files a symbolic link to a folder, or a
	// link out of the folder of the store. It names that part of the path. The
	// store can't say whether an object exists there.
	ErrPath = driver.ErrPath
	// ErrInDoubt reports that the outcome is unknown: the backend stopped
	// responding. The intent is open; [Store.Reconcile] settles it.
	ErrInDoubt = driver.ErrInDoubt
	// ErrBusy reports that another request is completing or aborting the same
	// ticket. Nothing is lost; try again.
	ErrBusy = errors.New("another request is completing or aborting this upload; try again")
	// ErrDenied reports that the authorizer refused the operation, or that its key
	// is outside of the view. It is not fs.ErrPermission, by which the service
	// refuses the store.
	ErrDenied = errors.New("denied")
	// ErrClosed reports that the store is closed.
	ErrClosed = errors.New("store is closed")
)

// Error is the error of every method of [Store]. Its text names the operation and
// the key, and never contains a secret.
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

// codes are the words that the trail has for errors, the first that fits.
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

// errorCode returns the word for err that is kept in the trail. The text of an
// error is not, since it may hold what a client sent.
func errorCode(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "error"
}
