package blobstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/limit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// UploadOptions configures [Store.Upload], [Store.Stage] and
// [Store.BeginUpload]. Nil and the zero value select the defaults. Stage and
// BeginUpload return [ErrUnsupported] for the options that they do not accept.
type UploadOptions struct {
	// Filename is the file's original name, for display and for downloads. It
	// does not have to be safe as a path. Names longer than 255 bytes are
	// truncated.
	Filename string
	// ContentType is the MIME type to store. If empty, the store detects the
	// type from the content.
	ContentType string
	// CacheControl is stored with the object, for handlers and services that
	// serve it.
	CacheControl string
	// ContentEncoding is the encoding that the content already has, such as
	// "gzip". The store keeps the bytes unchanged, and handlers serve them with
	// this encoding. SHA256, Size and AllowedTypes refer to the encoded bytes,
	// so AllowedTypes sees a gzip file. If ContentEncoding is set and
	// ContentType is empty, the type is application/octet-stream.
	ContentEncoding string
	// Metadata is stored with the object. Its total size is limited to about
	// 1,800 bytes, the limit of S3, which is the smallest of all backends. The
	// size is computed in the same way on every backend: an ASCII letter or
	// digit counts as 1 byte, any other byte as 3, and each name adds 11. If
	// Metadata leaves too little room for Filename, the stored Filename is
	// truncated. Names are converted to lower case. Names that begin with
	// "blobtrail" are reserved.
	Metadata map[string]string
	// Resource identifies the application's record that the file belongs to,
	// such as an invoice. It is recorded in the trail.
	Resource audit.Resource

	// Overwrite allows an existing object to be replaced. If false, uploading
	// to an existing key fails with fs.ErrExist. Stage and BeginUpload do not
	// accept Overwrite.
	Overwrite bool
	// Size is the exact length of the content in bytes. Zero means unknown. A
	// known size saves memory and requests on some backends.
	Size int64
	// SHA256 is the expected digest of the content. Nil means that the content
	// is not compared with a digest.
	SHA256 []byte
	// MaxSize limits the upload, in bytes. [Options.MaxSize] applies as well,
	// and the smaller limit wins. Zero means no additional limit.
	MaxSize int64
	// AllowedTypes lists the accepted MIME types, such as "application/pdf" or
	// "image/*". The store detects the type from the content. If ContentType is
	// set, it must be in the list too. An empty list accepts all types.
	AllowedTypes []string

	// Link requests a link to the new object. The link is issued and recorded
	// together with the upload. Stage and BeginUpload do not accept Link.
	Link *LinkOptions
}

// Upload stores the content of r under key and returns the new object. Use
// [NewKey] to create a key. If UploadOptions.Link is set, Upload also issues a
// link to the object. When Upload returns a nil error, the object and its
// record are durable.
//
// Upload streams the content and computes its SHA-256 in the same pass. If r
// returns an error, ctx ends, or the content violates an option, no new object
// remains and the existing object is unchanged.
//
// Upload reads r to the end but does not close it. Canceling ctx does not
// interrupt a call to r.Read that blocks.
//
// The returned object has no ETag and no ModTime; use [Store.Stat] to get them.
// If the object was stored and recorded but its link could not be issued,
// Upload returns both the object and an [*Error] whose Op is "link".
func (s *Store) Upload(ctx context.Context, key string, r io.Reader, opts *UploadOptions) (*Object, error) {
	return s.uploadBy(ctx, key, r, opts, nil)
}

// uploadBy uploads on behalf of a link, or of the store if by is nil.
func (s *Store) uploadBy(ctx context.Context, key string, r io.Reader, opts *UploadOptions, by *redeemed) (*Object, error) {
	ctx, span := s.trace(ctx, audit.ActionUpload)
	obj, err := s.upload(ctx, key, r, opts, by)
	if span.end(err) != nil {
		op := "upload"
		if obj != nil {
			op = "link"
		}
		return obj, &Error{Op: op, Key: key, Err: err}
	}
	return obj, nil
}

func (s *Store) upload(ctx context.Context, key string, r io.Reader, opts *UploadOptions, by *redeemed) (*Object, error) {
	p, err := s.planUpload(key, r, opts, by)
	if err != nil {
		return nil, err
	}
	if err := s.enterBy(ctx, &p.event, by.permit(http.MethodPut)); err != nil {
		return nil, err
	}
	defer s.leave()
	if p.Link != nil {
		issue := p.event
		issue.Action, issue.GrantID = linkAction(p.Link.Method), ""
		if err := s.authorize(ctx, &issue, nil); err != nil {
			return nil, err
		}
	}
	if by != nil && by.ticket != "" {
		return s.uploadByTicket(ctx, p, by.ticket)
	}

	var (
		obj     *Object
		linkErr error
	)
	err = s.change(ctx, p.event, func(ctx context.Context, intent audit.Intent) (effect, error) {
		if obj, err = s.write(ctx, p, p.event.Key, intent.OpID()); err != nil {
			return effect{}, err
		}
		eff := effect{result: resultOf(obj)}
		if p.Link != nil {
			var issued audit.Event
			if obj.Link, issued, linkErr = s.sign(ctx, p.event, p.Link); linkErr == nil {
				issued.RefOpID = intent.OpID()
				eff.also = []audit.Event{issued}
			}
		}
		return eff, nil
	})
	switch {
	case err != nil:
		return nil, err
	case linkErr != nil:
		return obj, fmt.Errorf("the object was stored, but its link could not be issued: %w", linkErr)
	}
	return obj, nil
}

// uploadPlan is an upload with checked options.
type uploadPlan struct {
	UploadOptions
	body  io.Reader
	meta  map[string]string // stored with the object
	size  int64             // exact, or -1
	limit int64             // in bytes, or -1
	event audit.Event
}

// planUpload checks the options before the upload has any effect.
func (s *Store) planUpload(key string, r io.Reader, opts *UploadOptions, by *redeemed) (*uploadPlan, error) {
	p := &uploadPlan{size: -1}
	if opts != nil {
		p.UploadOptions = *opts
	}
	if r == nil {
		return nil, errors.New("the reader is nil: pass the content to upload")
	}
	var err error
	if p.body, err = by.constrain(&p.UploadOptions, r); err != nil {
		return nil, err
	}
	if p.meta, err = p.metadata(); err != nil {
		return nil, err
	}
	if p.Size > 0 {
		p.size = p.Size
	}
	if p.limit, err = s.limitOf(&p.UploadOptions); err != nil {
		return nil, err
	}
	if by != nil && by.ticket != "" {
		if err := p.forReceipt(); err != nil {
			return nil, err
		}
	}
	if p.Link != nil {
		if err := s.checkLink(p.Link); err != nil {
			return nil, fmt.Errorf("link: %w", err)
		}
	}
	p.event = audit.Event{
		Action: audit.ActionUpload, Key: key, Resource: p.Resource,
		ContentType: p.ContentType, Details: p.details(),
	}
	return p, nil
}

// write stores the whole object under key, or nothing. No other write may use
// the same opID.
func (s *Store) write(ctx context.Context, p *uploadPlan, key, opID string) (*Object, error) {
	head, body, err := peek(provider.ContextReader(ctx, p.body))
	if err != nil {
		return nil, err
	}
	contentType, err := p.contentType(head)
	if err != nil {
		return nil, err
	}
	p.meta[provider.MetaOp] = opID
	content := provider.NewContent(body, p.size, p.limit, p.SHA256)
	err = s.bucket.Write(ctx, key, content, &driver.WriteOptions{
		IfNotExist: !p.Overwrite, Size: p.size, SHA256: p.SHA256,
		ContentType: contentType, CacheControl: p.CacheControl, ContentEncoding: p.ContentEncoding, Metadata: p.meta,
		Final: func() map[string]string {
			return map[string]string{provider.MetaSHA256: hex.EncodeToString(content.SHA256())}
		},
	})
	if err != nil {
		err = s.afterFailedWrite(ctx, key, p.meta, content.Complete(), p.Overwrite, err)
	}
	if err != nil {
		return nil, err
	}
	return &Object{
		Key: key, Filename: p.meta[provider.MetaFilename], ContentType: contentType, CacheControl: p.CacheControl,
		ContentEncoding: p.ContentEncoding, Size: content.Size(), SHA256: content.SHA256(), Metadata: appMetadata(p.meta), OpID: opID,
	}, nil
}

// resultOf returns the description of a new object for the trail.
func resultOf(obj *Object) audit.Result {
	return audit.Result{Size: &obj.Size, SHA256: obj.SHA256, ContentType: obj.ContentType}
}

// limitOf returns the limit of an upload in bytes, or -1. It rejects a declared
// size above the limit.
func (s *Store) limitOf(o *UploadOptions) (int64, error) {
	if o.MaxSize < 0 {
		return 0, fmt.Errorf("invalid MaxSize %d: want a positive number, or 0 for no limit", o.MaxSize)
	}
	most := s.uploadLimit(o.MaxSize)
	if most >= 0 && o.Size > most {
		return 0, limit.Size(ErrTooLarge, fmt.Sprintf("%d bytes", o.Size), most)
	}
	return most, nil
}

// uploadLimit returns the smaller of the limits of the store and of the call,
// or -1 if neither is set.
func (s *Store) uploadLimit(call int64) int64 {
	limit := s.opts.MaxSize
	if call > 0 && (limit <= 0 || call < limit) {
		limit = call
	}
	if limit <= 0 {
		return -1
	}
	return limit
}

// afterFailedWrite determines the result of a write that failed with cause. A
// backend may store the object and return an error all the same.
//
// It returns nil if the complete object exists after all. It returns cause if
// nothing of this operation is left, and an error that wraps ErrInDoubt if the
// backend does not respond. meta identifies the object of this operation.
func (s *Store) afterFailedWrite(ctx context.Context, key string, meta map[string]string, complete, overwrite bool, cause error) error {
	if errors.Is(cause, ErrInDoubt) || errors.Is(cause, ErrPath) { // after ErrPath, nothing was stored
		return cause
	}
	// A service that does not support the request may have stored something
	// else.
	complete = complete && !errors.Is(cause, ErrUnsupported)
	// If the lease was lost, another process may have found the object and
	// recorded it.
	wanted := ctx.Err() == nil || errors.Is(context.Cause(ctx), ErrAudit)
	q := unwantedWrite
	if complete && (wanted || overwrite) {
		// If the upload is canceled after the old object was replaced, removing
		// the new object would lose both.
		q = wantedWrite
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	at, a, err := s.look(ctx, subject{key: key, opID: meta[provider.MetaOp]})
	switch next(q, state{object: at}) {
	case done:
		return nil // only the response was lost
	case leave:
		return inDoubt(cause, err)
	case takeBack:
		if err := s.removeVersion(ctx, key, a.ETag); err != nil {
			return inDoubt(cause, err)
		}
		cause = undoneError{cause}
	}
	// Reconcile sweeps again if this fails.
	_ = s.bucket.Sweep(ctx, key)
	return cause
}

// undoneError is the cause of a failed write whose object existed until it was
// removed again.
type undoneError struct{ error }

func (e undoneError) Unwrap() error { return e.error }
