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

// Errors of this package, to be found with errors.Is on every backend. Beside
// them there are fs.ErrNotExist (no such object), fs.ErrExist (the key is
// taken), fs.ErrPermission (the service refused the store's own credentials),
// audit.ErrNoActor (the context carries no actor), context.Canceled and context.DeadlineExceeded.
var (
	// ErrInvalidKey: the key breaks a rule; see [CheckKey].
	ErrInvalidKey = errors.New("invalid key")
	// ErrTooLarge: the content is longer than it may be or was said to be.
	ErrTooLarge = driver.ErrTooLarge
	// ErrContentType: the content is of a type that is not allowed.
	ErrContentType = errors.New("content type not allowed")
	// ErrChecksum: the content is not what its checksum says.
	ErrChecksum = driver.ErrChecksum
	// ErrRange: the part that was asked for begins behind the object's end.
	ErrRange = driver.ErrRange
	// ErrUnsupported: this backend cannot do that; see [Store.Info].
	ErrUnsupported = driver.ErrUnsupported
	// ErrReplaced: another object took the place of the one that was meant.
	ErrReplaced = driver.ErrReplaced
	// ErrAudit: the trail could not be written. If it was before the effect,
	// nothing happened. If it was after, the effect stands and its intent is
	// open, to be settled by [Store.Reconcile].
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
	// ErrInDoubt: nobody could tell whether the effect happened, because the
	// backend stopped answering. The intent is open, to be settled by
	// [Store.Reconcile].
	ErrInDoubt = driver.ErrInDoubt
	// ErrBusy: another request is completing or aborting the same ticket at this
	// moment. Nothing is lost; ask again.
	ErrBusy = errors.New("another request is completing or aborting this upload; ask again")
	// ErrDenied: the authoriser refused it.
	ErrDenied = errors.New("denied")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
)

// Error is what every method of [Store] fails with. Its text names the
// operation and the key, and never holds a secret.
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
