package blobhttp

// This file implements the handler of signed links. It redeems the link of a request and does what the link allows.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// LinksOptions configure [Links]. Nil and the zero value mean the defaults.
type LinksOptions struct {
	// MaxSize limits each upload, in bytes, in addition to the limits of the link and
	// of the store. 0: no limit.
	MaxSize int64

	// InlineTypes are the types that may be shown instead of saved, if the link asks
	// for it. Nil: [DefaultInlineTypes]. A type that can hold scripts (HTML, SVG, XML)
	// is safe only on a host name that serves nothing else.
	InlineTypes []string

	// AllowedOrigins are the origins, such as "https://app.example.com", whose pages
	// may use the links by scripts, as a direct upload does from another origin than
	// that of this handler; "*" allows all. Cookies are never requested. A middleware
	// in front must let preflight requests pass: they have the method OPTIONS and
	// carry no credentials. None: only pages of the same origin.
	AllowedOrigins []string

	// RedirectFor is the lifetime of the service's links to which GET is redirected,
	// on a backend that signs links itself. A minute is enough. The use of the link is
	// counted and recorded before. Until the service's link expires, it can be used
	// again and can't be revoked. Content that a browser must not show is saved. 0:
	// GET sends the bytes.
	RedirectFor time.Duration
}

// Links returns the handler of the links that store issues with the Signer of its
// Options, on any backend. Mount it at the path of the signer's base URL. The path of
// a request is covered by its signature: there is nothing to list or guess.
//
// GET and HEAD respond with the object: single and multiple ranges, conditional
// requests, and an ETag that is the SHA-256 of the content where it is stored. PUT
// stores the body under the link's constraints and responds 201 with the ETag, also
// if it replaced a file. A key that is taken is 409, or 412 if the request says
// "If-None-Match: *". DELETE responds 204. Each use is recorded, as redeem under the
// link's grant, before its first effect or byte, and so is each refusal of a link
// that was issued. [WriteError] responds to errors.
//
// A link may be bound to a user or an address, revoked (410), or limited to a number
// of uses. Every GET, PUT and DELETE counts, whether it succeeds or not, and HEAD
// does not; see blobstore.LinkOptions and blobstore.Options.Grants.
//
// The actor is that of [Middleware], or else an anonymous one with the address of
// the connection.
//
// If the store has no signer, no link is valid: Links logs that once with
// slog.Default, and each request is 404 and reported to MiddlewareOptions.OnError. A
// nil store panics.
func Links(store *blobstore.Store, opts *LinksOptions) http.Handler {
	if store == nil {
		panic("blobhttp: Links needs a store")
	}
	h := &links{store: store}
	if opts != nil {
		h.opts = *opts
	}
	// A request without a signature is refused before anything is recorded.
	if _, err := store.Redeem(&http.Request{URL: new(url.URL)}); errors.Is(err, blobstore.ErrUnsupported) {
		slog.Error("blobhttp: the store of Links has no signer, and each link is 404: want blobstore.Options.Signer, as blobtrail.Open sets it")
		h.unsigned = true
	}
	if h.opts.InlineTypes == nil {
		h.opts.InlineTypes = defaultInlineTypes
	}
	return h
}

var errNoSigner = fmt.Errorf("%w: the program serves no links: the store of blobhttp.Links has no signer", fs.ErrNotExist)

type links struct {
	store    *blobstore.Store
	opts     LinksOptions
	unsigned bool // the store has no signer
}

// ServeHTTP implements [http.Handler].
func (h *links) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if allowOrigin(w, r, h.opts.AllowedOrigins) {
		return
	}
	_, known := audit.ActorFrom(r.Context())
	ctx, _ := withActor(r)
	r = r.WithContext(ctx) // which names the request as the trail does
	err := errNoSigner
	if !h.unsigned {
		err = h.serve(w, r, known)
	}
	if err == nil {
		return
	}
	if m := (interface{ Allow() string })(nil); errors.As(err, &m) {
		w.Header().Set("Allow", m.Allow())
	}
	WriteError(w, r, err)
}

// serve redeems the request's link. known is whether the program identified the
// actor.
func (h *links) serve(w http.ResponseWriter, r *http.Request, known bool) error {
	red, err := h.store.Redeem(r)
	if err != nil {
		if errors.Is(err, signurl.ErrUser) || errors.Is(err, signurl.ErrAddress) {
			err = fmt.Errorf("%w: %w", errNotYours, err)
		}
		if errors.Is(err, signurl.ErrUser) && !known {
			err = mistake(mistakeNoActor, err)
		}
		return err
	}
	switch {
	case r.Method == http.MethodPut:
		return h.put(w, r, red)
	case r.Method == http.MethodDelete:
		return h.delete(w, r, red)
	case r.Method == http.MethodGet && h.redirects():
		return h.redirect(w, r, red)
	}
	return serve(w, r, view{
		open:     red.DownloadRanges,
		filename: red.Grant.Filename, inline: red.Grant.Inline, responseType: red.Grant.ResponseType, inlineTypes: h.opts.InlineTypes,
	})
}

// redirects reports whether GET is answered by the service.
func (h *links) redirects() bool {
	return h.opts.RedirectFor > 0 && slices.Contains(h.store.Info().Capabilities.Links.Methods, http.MethodGet)
}

// redirect responds with a link of the service.
func (h *links) redirect(w http.ResponseWriter, r *http.Request, red *blobstore.Redemption) error {
	g := &red.Grant
	to, err := red.Redirect(r.Context(), func(o *blobstore.Object) *blobstore.LinkOptions {
		return &blobstore.LinkOptions{
			Expiry: h.opts.RedirectFor, Filename: fileName(nameOf(g.Filename, o)), ResponseType: g.ResponseType,
			Inline: g.Inline && harmless(o, g.ResponseType, h.opts.InlineTypes),
		}
	})
	if err != nil {
		return err
	}
	redirect(w, to.URL())
	return nil
}

func (h *links) put(w http.ResponseWriter, r *http.Request, red *blobstore.Redemption) error {
	createOnly, err := uploadConditions(r.Header)
	if err != nil {
		return err
	}
	opts := &blobstore.UploadOptions{
		ContentType: red.Grant.ContentType,
		Overwrite:   !red.Grant.CreateOnly && !createOnly,
		MaxSize:     h.opts.MaxSize,
	}
	if opts.ContentType == "" {
		opts.ContentType = declaredType(r.Header)
	}
	if r.ContentLength > 0 {
		opts.Size = r.ContentLength
	}
	obj, err := red.Upload(r.Context(), clientBody{r.Body}, opts)
	if err != nil {
		if createOnly {
			err = asPrecondition(err)
		}
		return err
	}
	hd := w.Header()
	if tag := etag(obj.SHA256, ""); tag != "" {
		hd["Etag"] = []string{tag}
		hd["Repr-Digest"] = []string{digest(obj.SHA256)}
	}
	hd["Cache-Control"] = noStore
	hd["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h *links) delete(w http.ResponseWriter, r *http.Request, red *blobstore.Redemption) error {
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if len(r.Header[name]) > 0 {
			return fmt.Errorf("%w: %s with DELETE", blobstore.ErrUnsupported, name)
		}
	}
	if err := red.Delete(r.Context(), nil); err != nil {
		return err
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// uploadConditions refuses headers that a PUT must not ignore and the store can't
// honor, and reports whether the request itself demands that the key is free.
func uploadConditions(h http.Header) (createOnly bool, err error) {
	if len(h["Content-Range"]) > 0 {
		return false, fmt.Errorf("%w: PUT of a part, by Content-Range", errBadRequest)
	}
	if v, ok := list(h, "Content-Encoding"); ok && !strings.EqualFold(v, "identity") {
		return false, errCoding
	}
	for _, name := range [...]string{"If-Match", "If-Unmodified-Since"} {
		if len(h[name]) > 0 {
			return false, fmt.Errorf("%w: %s with PUT", blobstore.ErrUnsupported, name)
		}
	}
	v, ok := list(h, "If-None-Match")
	if ok && strings.TrimSpace(v) != "*" {
		return false, fmt.Errorf("%w: If-None-Match with PUT, other than *", blobstore.ErrUnsupported)
	}
	return ok, nil
}

const maxType = 255 // bytes of a media type

// declaredType returns the type that the client declares for its upload. It is empty
// if the type has to be found from the content.
func declaredType(h http.Header) string {
	t := h.Get("Content-Type")
	base, ok := baseType(t)
	if !ok || len(t) > maxType || base == unknownType || base == "application/x-www-form-urlencoded" { // which is what curl sends
		return ""
	}
	return t
}

// clientBody marks the errors of a request's body as the client's.
type clientBody struct{ io.Reader }

func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}
