package blobstore

// This file implements the checks of content uploaded under a ticket.

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

// received describes the content uploaded under a ticket, or returns nil if
// nothing was uploaded.
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

// unjudged returns the error for content that could not be checked or stored at
// the moment. The ticket remains valid.
func unjudged(err error) error { return provider.As(ErrInDoubt, err) }

// judge compares the uploaded content with the constraints of the ticket. It
// returns the content type for the object, and the digest if the content was
// read.
func (s *Store) judge(ctx context.Context, e audit.Event, a *blob.Attributes) (contentType string, sum []byte, err error) {
	most := a.Size
	if e.Details.MaxSize != nil {
		most = *e.Details.MaxSize
	}
	switch {
	case e.Size != nil && a.Size < *e.Size:
		return "", nil, fmt.Errorf("%w: uploaded %d bytes, expected %d", io.ErrUnexpectedEOF, a.Size, *e.Size)
	case e.Size != nil && a.Size > *e.Size:
		return "", nil, fmt.Errorf("%w: uploaded %d bytes, expected %d", ErrTooLarge, a.Size, *e.Size)
	case a.Size > most:
		return "", nil, limit.Size(ErrTooLarge, fmt.Sprintf("%d bytes", a.Size), most)
	case e.ContentType != "" && !sameType(e.ContentType, a.ContentType):
		return "", nil, fmt.Errorf("%w: uploaded as %.100q, expected %.100q", ErrContentType, a.ContentType, e.ContentType)
	}
	if contentType, err = s.judgeType(ctx, e, a); err != nil {
		return "", nil, err
	}
	if e.SHA256 == nil && s.signsItself(&LinkOptions{Method: http.MethodPut, ticket: true}) {
		return contentType, nil, nil // reading the content would cost as much as receiving it
	}
	r, err := s.openStaged(ctx, e, a, -1)
	if err != nil {
		return "", nil, err
	}
	if sum, err = s.digestOf(r); err != nil {
		return "", nil, unjudged(err)
	}
	if e.SHA256 != nil && string(sum) != string(e.SHA256) {
		return "", nil, fmt.Errorf("%w: SHA-256 is %x, expected %x", ErrChecksum, sum, e.SHA256)
	}
	return contentType, sum, nil
}

// judgeType returns the content type for the object: the type from the ticket,
// otherwise the type sent by the client, otherwise the detected type. It reads
// the beginning of the content only if necessary.
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
	if len(head) > 0 { // reading a range of an empty object would fail
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

// openStaged opens the uploaded content of a ticket if it is still the version
// described by a.
func (s *Store) openStaged(ctx context.Context, e audit.Event, a *blob.Attributes, length int64) (*driver.Reader, error) {
	r, err := s.bucket.Read(ctx, stagingOf(e), 0, length)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrReplaced // or removed: the caller looks again
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
