package blobstore

// This file implements the checks of the bytes that a client sent under a ticket.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/limit"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// received describes what was sent under a ticket; nil if nothing was.
func (s *Store) received(ctx context.Context, e audit.Event) (*blob.Attributes, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	a, err := s.bucket.Received(ctx, stagingOf(e))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, ErrUnsupported):
		return nil, provider.As(ErrContentType, err)
	case errors.Is(err, ErrReplaced):
		return nil, ErrReplaced
	case err != nil:
		return nil, unjudged(err)
	}
	return a, nil
}

// unjudged is the error of what could not be looked at or stored: the ticket stays
// good.
func unjudged(err error) error { return provider.As(ErrInDoubt, err) }

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
		return "", nil, limit.Size(ErrTooLarge, fmt.Sprintf("%d bytes", a.Size), most)
	case e.ContentType != "" && !sameType(e.ContentType, a.ContentType):
		return "", nil, fmt.Errorf("%w: sent as %.100q instead of %.100q", ErrContentType, a.ContentType, e.ContentType)
	}
	if contentType, err = s.judgeType(ctx, e, a); err != nil {
		return "", nil, err
	}
	if e.SHA256 == nil && s.signsItself(&LinkOptions{Method: http.MethodPut, ticket: true}) {
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
			return "", unjudged(err)
		}
	}
	return up.contentType(head)
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
