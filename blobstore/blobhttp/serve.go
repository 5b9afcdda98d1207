package blobhttp

// This file implements GET and HEAD responses: conditions, ranges, headers and
// content.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"strconv"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/httprange"
)

// view describes the requested response.
type view struct {
	// open calls DownloadRanges of the object.
	open func(context.Context, *blobstore.RangesOptions) (*blobstore.RangeReader, error)

	resource     audit.Resource
	filename     string // default: the original name of the upload
	inline       bool
	responseType string // default: the type of the object
	inlineTypes  []string
}

// serve responds with the object. If it returns an error, the response has not
// started, and the caller responds to the error. If the content fails later,
// serve aborts the connection, so that the client detects the incomplete
// response.
func serve(w http.ResponseWriter, r *http.Request, v view) error {
	ctx := r.Context()
	a := answer{r: r, v: &v}
	opts := &blobstore.RangesOptions{Choose: a.choose, Head: r.Method == http.MethodHead, Resource: v.resource}
	if !opts.Head && !conditional(r.Header) {
		if p, ok := httprange.Expect(r.Header.Get("Range")); ok {
			opts.Expect = &p
		}
	}
	parts, err := v.open(ctx, opts)
	if err != nil {
		if errors.Is(err, blobstore.ErrRange) && a.object != nil {
			w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(a.object.Size, 10))
		}
		return err
	}
	defer parts.Close()
	if a.status == http.StatusPreconditionFailed {
		return errPrecondition
	}
	a.writeHeader(w.Header())
	if a.status == http.StatusNotModified || r.Method == http.MethodHead {
		w.WriteHeader(a.status)
		return nil
	}
	if err := a.writeBody(ctx, w, parts); err != nil {
		if ctx.Err() == nil {
			report(r, err)
		}
		if r.Context().Value(http.ServerContextKey) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

// answer describes the response, once the object is known.
type answer struct {
	r *http.Request
	v *view

	object *blobstore.Object
	tag    string
	status int
	parts  []blobstore.Range
}

// choose selects the ranges of the object. The store calls it with the
// attributes of the object.
func (a *answer) choose(o *blobstore.Object) ([]blobstore.Range, error) {
	a.object, a.tag, a.parts = o, objectTag(o), nil
	h := a.r.Header
	if a.status = precondition(h, a.tag, o.ModTime); a.status != 0 {
		return nil, nil
	}
	a.status = http.StatusOK
	if a.r.Method == http.MethodHead {
		return nil, nil
	}
	if v := h.Get("Range"); v != "" && rangeHolds(h, a.tag, o.ModTime) {
		parts, err := httprange.Parse(v, o.Size)
		if err != nil && o.Size > 0 {
			return nil, fmt.Errorf("%w: %w", blobstore.ErrRange, err)
		}
		if len(parts) > 0 {
			a.status, a.parts = http.StatusPartialContent, parts
			return parts, nil
		}
	}
	if o.Size > 0 {
		a.parts = []blobstore.Range{{Length: o.Size}}
	}
	return a.parts, nil
}

func (a *answer) writeHeader(h http.Header) {
	o := a.object
	if a.tag != "" {
		h["Etag"] = []string{a.tag}
	}
	if !o.ModTime.IsZero() {
		h["Last-Modified"] = []string{o.ModTime.UTC().Format(http.TimeFormat)}
	}
	if a.status == http.StatusNotModified {
		h["Cache-Control"] = noStore
		return
	}
	name := nameOf(a.v.filename, o)
	t := a.v.responseType
	if t == "" {
		t = o.ContentType
	}
	secure(h, t, name, a.v.inline, a.v.inlineTypes)
	if o.ContentEncoding != "" && visible(o.ContentEncoding) {
		h["Content-Encoding"] = []string{o.ContentEncoding} // the stored content is sent unchanged
	}
	h["Accept-Ranges"] = bytesUnit
	if o.SHA256 != nil {
		h["Repr-Digest"] = []string{digest(o.SHA256)}
	}
	length := o.Size
	if a.status == http.StatusPartialContent && len(a.parts) == 1 {
		length = a.parts[0].Length
		h["Content-Range"] = []string{contentRange(a.parts[0], o.Size)}
	}
	h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
}

// nameOf returns the name for saving an object: the requested name, the
// original name of the upload, or the last segment of the key.
func nameOf(asked string, o *blobstore.Object) string {
	switch {
	case asked != "":
		return asked
	case o.Filename != "":
		return o.Filename
	}
	return path.Base(o.Key)
}

func contentRange(p blobstore.Range, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", p.Offset, p.Offset+p.Length-1, size)
}

// writeBody sends the status and the content.
func (a *answer) writeBody(ctx context.Context, w http.ResponseWriter, parts *blobstore.RangeReader) error {
	if len(a.parts) > 1 {
		return a.writeMultipart(ctx, w, parts)
	}
	w.WriteHeader(a.status)
	if len(a.parts) == 0 {
		return nil
	}
	return copyPart(ctx, w, parts)
}

// copyPart sends the next range.
func copyPart(ctx context.Context, w io.Writer, parts *blobstore.RangeReader) error {
	r, err := parts.Next(ctx)
	if err != nil {
		return err
	}
	n, err := r.WriteTo(w)
	if err == nil && n != r.Range.Length {
		err = fmt.Errorf("%w: sent %d bytes, want %d", io.ErrUnexpectedEOF, n, r.Range.Length)
	}
	return errors.Join(err, r.Close())
}

// writeMultipart sends several ranges as multipart/byteranges.
func (a *answer) writeMultipart(ctx context.Context, w http.ResponseWriter, parts *blobstore.RangeReader) error {
	h := w.Header()
	types := h["Content-Type"]
	header := func(p blobstore.Range) textproto.MIMEHeader {
		return textproto.MIMEHeader{"Content-Range": {contentRange(p, a.object.Size)}, "Content-Type": types}
	}
	// The length is the sum of the part headers and the ranges.
	var size counter
	mw := multipart.NewWriter(&size)
	for _, p := range a.parts {
		if _, err := mw.CreatePart(header(p)); err != nil {
			return err
		}
		size += counter(p.Length)
	}
	if err := mw.Close(); err != nil {
		return err
	}
	boundary := mw.Boundary()
	mw = multipart.NewWriter(w)
	if err := mw.SetBoundary(boundary); err != nil {
		return err
	}
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}
	h["Content-Length"] = []string{strconv.FormatInt(int64(size), 10)}
	w.WriteHeader(a.status)
	for _, p := range a.parts {
		pw, err := mw.CreatePart(header(p))
		if err != nil {
			return err
		}
		if err := copyPart(ctx, pw, parts); err != nil {
			return err
		}
	}
	return mw.Close()
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
