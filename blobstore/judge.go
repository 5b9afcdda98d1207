package blobstore

// Judging what clients sent under a ticket, and making an object of it.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// acceptTries bounds how often accept judges an upload that the client keeps
// replacing.
const acceptTries = 4

// accept makes an object of the bytes that lie under a ticket's private key. The
// client may use its link until it expires, so the object must be made of the very
// version that was judged.
func (s *Store) accept(ctx context.Context, intent audit.Intent) (obj *Object, err error) {
	e := intent.Event()
	for try := 1; ; try++ {
		obj, err = s.acceptVersion(ctx, intent, e)
		if try == acceptTries || !errors.Is(err, ErrReplaced) || errors.Is(err, ErrInDoubt) {
			break
		}
	}
	if err == nil || errors.Is(err, errNotArrived) || errors.Is(err, ErrInDoubt) {
		return obj, err
	}
	// Unless it was sent anew, and is the object already, which could not be settled.
	made, lookErr := s.arrived(ctx, e.Key, e.OpID)
	switch {
	case lookErr == nil:
		return made, nil
	case !errors.Is(lookErr, errNotArrived):
		return nil, both(err, unjudged(lookErr))
	}
	return nil, err
}

// acceptVersion is accept for what is there now, which it leaves there.
func (s *Store) acceptVersion(ctx context.Context, intent audit.Intent, e audit.Event) (*Object, error) {
	a, err := s.received(ctx, e)
	if err != nil {
		return nil, err
	}
	if a == nil {
		// Or it is the object already, and that could not be settled.
		obj, err := s.arrived(ctx, e.Key, e.OpID)
		if err != nil && !errors.Is(err, errNotArrived) {
			err = unjudged(err)
		}
		return obj, err
	}
	contentType, sum, err := s.judge(ctx, e, a)
	if err != nil {
		return nil, err
	}
	if err := s.renew(ctx, intent); err != nil {
		return nil, unjudged(err) // whoever took the ticket over since decides
	}
	obj := &Object{Key: e.Key, Filename: e.Details.Filename, ContentType: contentType, Size: a.Size, SHA256: sum, OpID: e.OpID}
	meta := map[string]string{driver.MetaOp: e.OpID}
	if sum != nil {
		meta[driver.MetaSHA256] = hex.EncodeToString(sum)
	}
	if obj.Filename != "" {
		meta[driver.MetaFilename] = obj.Filename
	}
	err = s.bucket.Copy(ctx, e.Key, stagingOf(e), &driver.CopyOptions{
		IfNotExist: true, IfMatch: a.ETag, ContentOnly: true, ContentType: contentType, Metadata: meta,
	})
	switch {
	case err == nil:
		return obj, s.judgeCopy(ctx, e, contentType)
	case errors.Is(err, ErrReplaced), errors.Is(err, ErrChecksum):
		return nil, ErrReplaced // since it was judged
	}
	return s.afterFailedAccept(ctx, e, err)
}

// judgeCopy looks at the type of the new object, if the ticket limits it: a
// provider that takes more than the content along must not get past the limit.
func (s *Store) judgeCopy(ctx context.Context, e audit.Event, contentType string) error {
	if e.ContentType == "" && len(e.Details.AllowedTypes) == 0 {
		return nil
	}
	a, err := s.attributes(ctx, e.Key)
	if err != nil {
		return driver.As(ErrInDoubt, err)
	}
	if a == nil || sameType(a.ContentType, contentType) {
		return nil
	}
	return both(ErrReplaced, s.removeOwn(ctx, e.Key, e.OpID))
}

// afterFailedAccept finds out whether the ticket's object exists after a copy that
// failed with cause. If it does, this request may have made it, or one that was
// overtaken: so it is never taken back here.
func (s *Store) afterFailedAccept(ctx context.Context, e audit.Event, cause error) (*Object, error) {
	ctx = context.WithoutCancel(ctx)
	a, err := s.attributes(ctx, e.Key)
	switch {
	case err != nil:
		return nil, inDoubt(cause, err)
	case a == nil && errors.Is(cause, fs.ErrNotExist):
		return nil, ErrReplaced // it was removed since it was judged
	case a == nil:
		return nil, unjudged(cause)
	case !isOwn(a, e.OpID):
		return nil, driver.As(fs.ErrExist, cause)
	}
	rctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if _, err := s.bucket.Received(rctx, e.Key); err != nil { // the service may be still at it
		return nil, inDoubt(cause, err)
	}
	obj, err := object(e.Key, a)
	if obj.SHA256 == nil {
		obj.SHA256 = e.SHA256
	}
	return obj, driver.As(ErrInDoubt, err)
}

// received describes what was sent under a ticket; nil if nothing was.
func (s *Store) received(ctx context.Context, e audit.Event) (*blob.Attributes, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	a, err := s.bucket.Received(ctx, stagingOf(e))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, driver.ErrKind):
		return nil, driver.As(ErrContentType, err)
	case errors.Is(err, ErrReplaced):
		return nil, ErrReplaced
	case err != nil:
		return nil, unjudged(err)
	}
	return a, nil
}

// unjudged is the error of what could not be looked at or stored: the ticket stays
// good.
func unjudged(err error) error { return driver.As(ErrInDoubt, err) }

// judge compares what was received with what the ticket allows. It returns the
// content type of the object, and the digest of the content if it was read.
func (s *Store) judge(ctx context.Context, e audit.Event, a *blob.Attributes) (contentType string, sum []byte, err error) {
	most := a.Size
	if e.Details.MaxSize != nil {
		most = *e.Details.MaxSize
	}
	switch {
	case e.Size != nil && a.Size < *e.Size:
		return "", nil, fmt.Errorf("%w: %d bytes of the %d that were announced", io.ErrUnexpectedEOF, a.Size, *e.Size)
	case e.Size != nil && a.Size > *e.Size:
		return "", nil, fmt.Errorf("%w: %d bytes instead of %d", ErrTooLarge, a.Size, *e.Size)
	case a.Size > most:
		return "", nil, fmt.Errorf("%w: %d bytes: the limit is %d", ErrTooLarge, a.Size, most)
	case e.ContentType != "" && !sameType(e.ContentType, a.ContentType):
		return "", nil, fmt.Errorf("%w: sent as %.100q instead of %.100q", ErrContentType, a.ContentType, e.ContentType)
	}
	if contentType, err = s.judgeType(ctx, e, a); err != nil {
		return "", nil, err
	}
	if e.SHA256 == nil && s.signsItself(&LinkOptions{Method: http.MethodPut}) {
		return contentType, nil, nil // to read it would cost as much as to have received it
	}
	r, err := s.openStaged(ctx, e, a, -1)
	if err != nil {
		return "", nil, err
	}
	if sum, err = s.digestOf(r); err != nil {
		return "", nil, unjudged(err)
	}
	if e.SHA256 != nil && string(sum) != string(e.SHA256) {
		return "", nil, fmt.Errorf("%w: SHA-256 is %x, not %x", ErrChecksum, sum, e.SHA256)
	}
	return contentType, sum, nil
}

// judgeType returns the content type of the object: that of the ticket, else the
// one that the client sent, else one that is found from the content. It reads the
// beginning of the content if that is needed.
func (s *Store) judgeType(ctx context.Context, e audit.Event, a *blob.Attributes) (string, error) {
	up := UploadOptions{ContentType: e.ContentType}
	if up.ContentType == "" {
		up.ContentType = declaredType(a.ContentType)
	}
	up.AllowedTypes = e.Details.AllowedTypes
	if up.ContentType != "" && up.AllowedTypes == nil {
		return up.ContentType, nil
	}
	head := make([]byte, min(a.Size, sniffBytes))
	if len(head) > 0 { // nothing can't be read as a part
		r, err := s.openStaged(ctx, e, a, int64(len(head)))
		if err != nil {
			return "", err
		}
		_, err = io.ReadFull(progress.Reader(r), head)
		if err = errors.Join(err, r.Close()); err != nil {
			return "", unjudged(s.bucket.MapError(err))
		}
	}
	return up.contentType(head)
}

const maxContentType = 255 // bytes, as the trail keeps it

// declaredType returns the type that something was sent as, in the form in which
// every backend gives it back, or "" if that says nothing: services say
// octet-stream of what was sent without a type, and some clients say form of
// everything.
func declaredType(t string) string {
	base, params, err := mime.ParseMediaType(t)
	switch {
	case err != nil, !strings.Contains(base, "/"):
		return ""
	case base == "application/octet-stream", base == "binary/octet-stream", base == "application/x-www-form-urlencoded":
		return ""
	}
	if t = mime.FormatMediaType(base, params); len(t) > maxContentType {
		return ""
	}
	return t
}

// sameType reports whether two types are one, however they are written.
func sameType(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", ""))
}

// openStaged opens what was sent for a ticket, if it is still that of a.
func (s *Store) openStaged(ctx context.Context, e audit.Event, a *blob.Attributes, length int64) (*driver.Reader, error) {
	r, err := s.bucket.Read(ctx, stagingOf(e), 0, length)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrReplaced // or removed: it is to be looked at again
	}
	if err != nil {
		return nil, unjudged(err)
	}
	if r.Attributes.ETag != a.ETag {
		_ = r.Close() // nothing was read from it
		return nil, ErrReplaced
	}
	return r, nil
}
