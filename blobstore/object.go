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
	Filename     string // the name it was uploaded under; may be empty
	ContentType  string
	CacheControl string
	// ContentEncoding is the coding of the stored bytes, such as "gzip"; empty
	// for none. Size and SHA256 are those of the stored bytes, and so is all
	// content that a Store reads: it never decodes.
	ContentEncoding string
	SHA256          []byte // of the content; nil where it is not kept
	ETag            string // as the backend gives it, with its quotes
	ModTime         time.Time
	Metadata        map[string]string // the host's own
	OpID            string            // the operation that wrote it, as in the trail; empty if not written through a Store

	// IsPrefix reports that a listing with a delimiter folded keys into this
	// element. Key is then their common prefix, and no other field is set.
	IsPrefix bool

	// Link is set by an upload that asked for one.
	Link *Link
}

// LogValue implements [slog.LogValuer]: what the object is, and its link without
// the URL. A handler that wrote the fields as they are would log that.
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

// object makes an Object of what the backend says of it. Where the digest kept
// with it is none, it returns both the rest and ErrChecksum.
func object(key string, a *blob.Attributes) (*Object, error) {
	sum, err := provider.StoredSHA256(a.Metadata)
	obj := &Object{
		Key: key, Size: a.Size, Filename: a.Metadata[provider.MetaFilename], ContentType: a.ContentType,
		CacheControl: a.CacheControl, ContentEncoding: storedEncoding(a.ContentEncoding), SHA256: sum, ETag: a.ETag, ModTime: a.ModTime, OpID: a.Metadata[provider.MetaOp],
		Metadata: hostMetadata(a.Metadata),
	}
	return obj, err
}

// storedEncoding returns the codings of the stored bytes without those that say
// nothing about them: "aws-chunked" is how a request was sent, which some
// services store.
func storedEncoding(s string) string {
	var codings []string
	for c := range strings.SplitSeq(s, ",") {
		if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, "identity") && !strings.EqualFold(c, "aws-chunked") {
			codings = append(codings, c)
		}
	}
	return strings.Join(codings, ", ")
}

// Stat describes an object; fs.ErrNotExist if there is none. Since no content is
// served, only a refusal by the authoriser is recorded.
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

// ListOptions are the options of [Store.List].
type ListOptions struct {
	// Prefix selects the keys that begin with it. It need not end at a slash.
	Prefix string
	// Delimiter, if not empty (commonly "/"), folds the keys that have it after
	// the prefix into one element for each "directory", an Object with IsPrefix and
	// a Key that ends in the delimiter.
	Delimiter string
}

// List yields the objects in the order of their keys, as bytes. Of an object it
// sets Key, Size and ModTime. It ends after the first error. The listing is
// read in pages; what is written or deleted meanwhile may or may not be in it.
// It is recorded as Stat is.
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
			if ctx.Err() != nil { // of which a page that is there already knows nothing
				err = context.Cause(ctx)
			}
			if err != nil {
				fail(ended(ctx, err))
				return
			}
			if strings.HasPrefix(item.Key, keyrule.Private+"/") {
				continue // the library's own
			}
			if !yield(&Object{Key: item.Key, Size: item.Size, ModTime: item.ModTime, IsPrefix: item.IsDir}, nil) {
				return
			}
		}
	}
}
