package blobstore

// Judging what clients sent straight to the service, and making an object of it.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// acceptTries is how often what was sent is judged that is sent again meanwhile.
const acceptTries = 4

// accept makes an object of the bytes that the service took for a ticket. The
// client may use its link until it expires, so what is copied must be the very
// version that was judged.
func (s *Store) accept(ctx context.Context, e audit.Event) (obj *Object, err error) {
	staging := e.Attrs[attrStagingKey]
	if staging == "" {
		return s.arrived(ctx, e.Key, e.OpID) // not settled by the handler that took it
	}
	for try := 1; ; try++ {
		obj, err = s.acceptVersion(ctx, e, staging)
		if try == acceptTries || !errors.Is(err, ErrReplaced) || errors.Is(err, ErrInDoubt) {
			break
		}
	}
	if errors.Is(err, errNotArrived) || errors.Is(err, ErrInDoubt) {
		return nil, err
	}
	if err != nil {
		// Unless it was sent anew, and is the object already, which could not be settled.
		made, lookErr := s.arrived(ctx, e.Key, e.OpID)
		switch {
		case lookErr == nil:
			obj, err = made, nil
		case !errors.Is(lookErr, errNotArrived):
			return nil, both(err, unjudged(lookErr))
		}
	}
	if err := both(err, s.removeStaged(ctx, staging)); err != nil {
		return nil, err
	}
	return obj, nil
}

// acceptVersion is accept for what is there now, which it leaves there.
func (s *Store) acceptVersion(ctx context.Context, e audit.Event, staging string) (*Object, error) {
	a, err := s.attributes(ctx, staging)
	if err != nil {
		return nil, unjudged(err)
	}
	if a == nil {
		// Or it is the object already, and that could not be settled.
		obj, err := s.arrived(ctx, e.Key, e.OpID)
		if err != nil && !errors.Is(err, errNotArrived) {
			err = unjudged(err)
		}
		return obj, err
	}
	if err := s.judge(ctx, e, a); err != nil {
		return nil, err
	}
	meta := map[string]string{driver.MetaOp: e.OpID}
	if e.SHA256 != nil {
		meta[driver.MetaSHA256] = hex.EncodeToString(e.SHA256)
	}
	name := e.Attrs[audit.AttrFilename]
	if name != "" {
		meta[driver.MetaFilename] = name
	}
	err = s.bucket.Copy(ctx, e.Key, staging, &driver.CopyOptions{IfNotExist: true, IfMatch: a.ETag, Metadata: meta})
	failed := err != nil
	if failed && !errors.Is(err, ErrReplaced) {
		err = s.afterFailedWrite(ctx, e.Key, meta, true, false, err)
	}
	if err == nil {
		err = s.judgeCopy(ctx, e, a)
	}
	if err != nil {
		return nil, err
	}
	if failed { // but it stands: perhaps from an earlier call, which copied what was there then
		obj, err := s.arrived(ctx, e.Key, e.OpID)
		return obj, driver.As(ErrInDoubt, err)
	}
	return &Object{
		Key: e.Key, Filename: name, ContentType: a.ContentType, CacheControl: a.CacheControl,
		Size: a.Size, SHA256: e.SHA256, OpID: e.OpID,
	}, nil
}

// judgeCopy looks at the type of the new object, if the ticket does not allow
// all: the ETag of some services is of the content alone, and the client may have
// sent the same content as another type.
func (s *Store) judgeCopy(ctx context.Context, e audit.Event, judged *blob.Attributes) error {
	if e.ContentType == "" && e.Attrs[attrTypes] == "" {
		return nil
	}
	a, err := s.attributes(ctx, e.Key)
	if err != nil {
		return driver.As(ErrInDoubt, err)
	}
	if a == nil || sameType(declaredType(a.ContentType), declaredType(judged.ContentType)) {
		return nil
	}
	return both(ErrReplaced, s.removeOwn(ctx, e.Key, e.OpID))
}

// errUnjudged: what was sent could not be looked at.
var errUnjudged = errors.New("what was sent can't be looked at now")

func unjudged(err error) error { return driver.As(errUnjudged, driver.As(ErrInDoubt, err)) }

// judge compares what arrived with what the ticket allows.
func (s *Store) judge(ctx context.Context, e audit.Event, a *blob.Attributes) error {
	most, err := strconv.ParseInt(e.Attrs[attrMaxSize], 10, 64)
	if err != nil {
		most = a.Size
	}
	switch {
	case e.Size != nil && a.Size < *e.Size:
		return fmt.Errorf("%w: %d bytes of the %d that were announced", io.ErrUnexpectedEOF, a.Size, *e.Size)
	case e.Size != nil && a.Size > *e.Size:
		return fmt.Errorf("%w: %d bytes instead of %d", ErrTooLarge, a.Size, *e.Size)
	case a.Size > most:
		return fmt.Errorf("%w: %d bytes: the limit is %d", ErrTooLarge, a.Size, most)
	case e.ContentType != "" && !sameType(e.ContentType, a.ContentType):
		return fmt.Errorf("%w: sent as %.100q instead of %.100q", ErrType, a.ContentType, e.ContentType)
	}
	if err := s.judgeType(ctx, e, a); err != nil {
		return err
	}
	if e.SHA256 == nil {
		return nil
	}
	r, err := s.openStaged(ctx, e, a, -1)
	if err != nil {
		return err
	}
	sum, err := s.digestOf(r)
	if err != nil {
		return unjudged(err)
	}
	if string(sum) != string(e.SHA256) {
		return fmt.Errorf("%w: SHA-256 is %x, not %x", ErrChecksum, sum, e.SHA256)
	}
	return nil
}

// judgeType looks at the beginning of what arrived, if the ticket allows some
// types only.
func (s *Store) judgeType(ctx context.Context, e audit.Event, a *blob.Attributes) error {
	types := e.Attrs[attrTypes]
	if types == "" {
		return nil
	}
	up := UploadOptions{ContentType: declaredType(a.ContentType), AllowedTypes: strings.Split(types, ",")}
	head := make([]byte, min(a.Size, sniffBytes))
	if len(head) > 0 { // nothing can't be read as a part
		r, err := s.openStaged(ctx, e, a, int64(len(head)))
		if err != nil {
			return err
		}
		_, err = io.ReadFull(progress.Reader(r), head)
		if err = errors.Join(err, r.Close()); err != nil {
			return unjudged(s.bucket.MapError(err))
		}
	}
	_, err := up.contentType(head)
	return err
}

// declaredType returns the type that something was sent as, or "": services say
// octet-stream of what was sent without one.
func declaredType(t string) string {
	switch baseType(t) {
	case "application/octet-stream", "binary/octet-stream":
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
	r, err := s.bucket.Read(ctx, e.Attrs[attrStagingKey], 0, length)
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
