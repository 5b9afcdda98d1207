package blobhttp

// This file implements the handler of signed links. It redeems the link in a
// request and performs the permitted operation.

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

// LinksOptions configures [Links]. Nil and the zero value select the defaults.
type LinksOptions struct {
	// MaxSize limits each upload, in bytes, in addition to the limits of the
	// link and of the store. Zero means no additional limit.
	MaxSize int64

	// InlineTypes lists the types a browser may display instead of saving, if
	// the link requests it. Nil means [DefaultInlineTypes]. Add types with
	// scripts (HTML, SVG, XML) only if the host name serves nothing else.
	InlineTypes []string

	// AllowedOrigins lists the origins, such as "https://app.example.com",
	// whose pages can use the links in scripts. A direct upload from a page of
	// another origin requires this. "*" allows all origins. If the list is
	// empty, only pages of the handler's own origin can use the links.
	//
	// Cookies are never requested. If a middleware wraps the handler, it must
	// accept preflight requests. They have the method OPTIONS and no
	// credentials.
	AllowedOrigins []string

	// RedirectFor makes GET redirect to a link of the storage service, on a
	// backend that signs links itself. It is the lifetime of that link; a
	// minute is enough. Zero sends the content through this handler.
	//
	// The use of the original link is counted and recorded before the redirect.
	// The service's link can be used repeatedly until it expires, and it cannot
	// be revoked. Its response displays only the InlineTypes; other types are
	// saved.
	RedirectFor time.Duration
}

// Links returns the handler for the links that a store issues with its
// blobstore.Options.Signer, on every backend. Mount it at the path of the
// signer's base URL. The signature covers the path of the request, so clients
// cannot list or guess keys.
//
// The method of the link selects the operation:
//
//   - GET and HEAD respond with the object. They support ranges and conditional
//     requests. The ETag is the stored SHA-256 of the content.
//   - PUT stores the body under the constraints of the link and responds with
//     status 201, even if it replaced an object. If the key exists and the link
//     does not permit overwriting, the status is 409, or 412 if the request has
//     the header "If-None-Match: *".
//   - DELETE removes the object and responds with status 204.
//
// Links records each use in the trail, with action redeem and the link's grant
// ID, before it changes an object or sends content. It also records refused
// uses of issued links. [WriteError] responds to errors.
//
// A link may be restricted to a user or an address. It may be revoked (status
// 410), or limited to a number of uses. Each GET, PUT and DELETE counts as a
// use, even if it fails. HEAD does not count. See blobstore.LinkOptions and
// blobstore.Options.Grants.
//
// The actor is the one set by [Middleware]. Without Middleware, the actor is
// anonymous and has the address of the connection.
//
// If the store has no signer, no link is valid. Links logs this once with
// slog.Default. Each request then gets status 404, and
// MiddlewareOptions.OnError receives the error. Links panics if store is nil.
func Links(store *blobstore.Store, opts *LinksOptions) http.Handler {
	if store == nil {
		panic("blobhttp: Links: the store is nil")
	}
	h := &links{store: store}
	if opts != nil {
		h.opts = *opts
	}
	// Redeem refuses this request, which has no signature, before recording it.
	if _, err := store.Redeem(&http.Request{URL: new(url.URL)}); errors.Is(err, blobstore.ErrUnsupported) {
		slog.Error("blobhttp: the store passed to Links has no signer, so every link gets status 404: set blobstore.Options.Signer, or use blobtrail.Open")
		h.unsigned = true
	}
	if h.opts.InlineTypes == nil {
		h.opts.InlineTypes = defaultInlineTypes
	}
	return h
}

var errNoSigner = fmt.Errorf("%w: the store passed to blobhttp.Links has no signer: set blobstore.Options.Signer", fs.ErrNotExist)

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
	r = r.WithContext(ctx) // use the same request ID as the trail
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

// serve redeems the request's link. known reports whether the context had an
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

// redirects reports whether GET redirects to a link of the service.
func (h *links) redirects() bool {
	return h.opts.RedirectFor > 0 && slices.Contains(h.store.Info().Capabilities.Links.Methods, http.MethodGet)
}

// redirect responds with a redirect to a link of the service.
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

// uploadConditions rejects headers of a PUT request that must not be ignored
// but are not supported. It reports whether the request requires a new key.
func uploadConditions(h http.Header) (createOnly bool, err error) {
	if len(h["Content-Range"]) > 0 {
		return false, fmt.Errorf("%w: PUT with Content-Range is not supported: send the whole content", errBadRequest)
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
		return false, fmt.Errorf("%w: invalid If-None-Match with PUT: want *", blobstore.ErrUnsupported)
	}
	return ok, nil
}

const maxType = 255 // maximum length of a media type, in bytes

// declaredType returns the client's Content-Type for an upload. It returns an
// empty string if the store should detect the type.
func declaredType(h http.Header) string {
	t := h.Get("Content-Type")
	base, ok := baseType(t)
	if !ok || len(t) > maxType || base == unknownType || base == "application/x-www-form-urlencoded" { // the default of curl
		return ""
	}
	return t
}

// clientBody marks the errors of a request body as the client's.
type clientBody struct{ io.Reader }

func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}
