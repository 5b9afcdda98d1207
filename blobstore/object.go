package blobstore

import (
	"context"
	"encoding/hex"
	"iter"
	"log/slog"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Object describes a stored object.
type Object struct {
	Key          string
	Size         int64  // bytes
	Filename     string // the original name; may be empty
	ContentType  string
	CacheControl string
	// ContentEncoding is the encoding of the stored bytes, such as "gzip", or
	// empty. A Store never decodes: Size, SHA256 and all content it reads are
	// those of the stored bytes.
	ContentEncoding string
	SHA256          []byte // of the content; nil if not stored
	ETag            string // as returned by the backend, including quotes
	ModTime         time.Time
	Metadata        map[string]string // set by the application
	OpID            string            // the operation that wrote the object, as in the trail; empty if no Store wrote it

	// IsPrefix reports that the element represents all keys folded by the
	// delimiter of a listing. Key is then their common prefix, and no other
	// field is set.
	IsPrefix bool

	// Link is set by [Store.Upload] if UploadOptions.Link requested it.
	Link *Link
}

// LogValue implements [slog.LogValuer]. It describes the object and omits the
// URL of its link.
func (o Object) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("key", o.Key), slog.Int64("size", o.Size), slog.String("content_type", o.ContentType)}
	if o.SHA256 != nil {
		attrs = append(attrs, slog.String("sha256", hex.EncodeToString(o.SHA256)))
	}
	if o.OpID != "" {
		attrs = append(attrs, slog.String("op_id", o.OpID))
	}
	if o.Link != nil {
		attrs = append(attrs, slog.Any("link", o.Link))
	}
	return slog.GroupValue(attrs...)
}

// object converts the attributes from the backend. If the stored digest is
// malformed, object returns both the remaining fields and ErrChecksum.
func object(key string, a *blob.Attributes) (*Object, error) {
	sum, err := provider.StoredSHA256(a.Metadata)
	obj := &Object{
		Key: key, Size: a.Size, Filename: a.Metadata[provider.MetaFilename], ContentType: a.ContentType,
		CacheControl: a.CacheControl, ContentEncoding: storedEncoding(a.ContentEncoding), SHA256: sum, ETag: a.ETag, ModTime: a.ModTime, OpID: a.Metadata[provider.MetaOp],
		Metadata: appMetadata(a.Metadata),
	}
	return obj, err
}

// storedEncoding returns the encodings of the stored bytes. It drops "identity"
// and "aws-chunked": the latter describes only the transfer, and some services
// store it.
func storedEncoding(s string) string {
	var codings []string
	for c := range strings.SplitSeq(s, ",") {
		if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, "identity") && !strings.EqualFold(c, "aws-chunked") {
			codings = append(codings, c)
		}
	}
	return strings.Join(codings, ", ")
}

// Stat describes an object. If the object does not exist, the error is
// fs.ErrNotExist. Stat serves no content, so the trail records it only if it is
// refused.
func (s *Store) Stat(ctx context.Context, key string) (*Object, error) {
	ctx, span := s.trace(ctx, audit.ActionStat)
	obj, err := s.stat(ctx, key)
	if span.end(err) != nil {
		return nil, &Error{Op: "stat", Key: key, Err: err}
	}
	return obj, nil
}

func (s *Store) stat(ctx context.Context, key string) (*Object, error) {
	if err := s.enter(ctx, &audit.Event{Action: audit.ActionStat, Key: key}); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.lookUp(ctx, key)
}

// lookUp asks the backend about an object; see object.
func (s *Store) lookUp(ctx context.Context, key string) (*Object, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	attrs, err := s.bucket.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return object(key, attrs)
}

// ListOptions configures [Store.List]. Nil and the zero value select all
// objects.
type ListOptions struct {
	// Prefix selects the keys beginning with it. It need not end in a slash.
	Prefix string
	// Delimiter groups keys into folders; it is usually "/". If set, the keys
	// that continue past the next delimiter after Prefix are folded into one
	// element for each folder: an Object with IsPrefix set and a Key ending in
	// the delimiter.
	Delimiter string
}

// List yields the objects in the byte order of their keys. Each has only Key,
// Size and ModTime; use [Store.Stat] for the rest. List ends after the first
// error.
//
// The listing is read in pages. Objects stored or deleted while it runs may or
// may not be included. List serves no content, so the trail records it only if
// it is refused.
func (s *Store) List(ctx context.Context, opts *ListOptions) iter.Seq2[*Object, error] {
	var o ListOptions
	if opts != nil {
		o = *opts
	}
	return func(yield func(*Object, error) bool) {
		ctx, span := s.trace(ctx, audit.ActionList)
		var failed error
		defer func() { _ = span.end(failed) }()
		fail := func(err error) {
			failed = err
			yield(nil, &Error{Op: "list", Key: o.Prefix, Err: err})
		}
		if err := s.enter(ctx, &audit.Event{Action: audit.ActionList, Key: o.Prefix}); err != nil {
			fail(err)
			return
		}
		defer s.leave()
		for item, err := range s.bucket.List(ctx, &blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter}) {
			if ctx.Err() != nil { // a page fetched earlier does not report it
				err = context.Cause(ctx)
			}
			if err != nil {
				fail(ended(ctx, err))
				return
			}
			if strings.HasPrefix(item.Key, keyrule.Private+"/") {
				continue // private to the library
			}
			if !yield(&Object{Key: item.Key, Size: item.Size, ModTime: item.ModTime, IsPrefix: item.IsDir}, nil) {
				return
			}
		}
	}
}
