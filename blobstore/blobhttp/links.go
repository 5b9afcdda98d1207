package blobhttp

// The handler of signed links: it checks the link, records its use, and does what it allows and nothing else.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// LinksOptions configure [Links]. Nil and the zero value mean the defaults.
type LinksOptions struct {
	// MaxBytes limits each upload, in bytes, beside the link's own limit and
	// that of the store. 0: no limit.
	MaxBytes int64

	// InlineTypes are the types that may be shown rather than saved, if the link
	// asks for it. Nil: [DefaultInlineTypes]. A type in which scripts can hide
	// (HTML, SVG, XML) is safe only on a host of its own.
	InlineTypes []string

	// AllowedOrigins are the origins, such as "https://app.example.com", whose
	// pages may use the links by scripts, as a direct upload does from another
	// origin than that of this handler; "*" is all. Cookies are never asked for. A
	// middleware in front must let preflight requests pass: they have the method
	// OPTIONS and carry no credentials. None: only pages of the same origin.
	AllowedOrigins []string

	// RedirectFor answers GET, on a backend that signs links itself, with a
	// redirect to a link of the service that holds for so long, rather than with
	// the bytes; a minute suffices. The use is recorded and counted before; while
	// the service's link holds it can be used again and not be withdrawn. What must
	// not be shown by a browser is not redirected to be shown. 0: bytes.
	RedirectFor time.Duration
}

// Links returns the handler of the links that signer signs and store issues, on
// any backend. signer must be the very Signer of the store's Options; with another
// one each link is answered 500 and the mistake is reported. The handler is
// mounted where the base URL of signer points to. The path of
// a request is nothing but what its signature says; there is nothing to list or
// guess.
//
// GET and HEAD answer the object with single and multiple ranges, conditional
// requests, and an ETag that is the SHA-256 of the content where it is kept. PUT
// stores the body under the link's constraints and answers 201 with the ETag, also
// where it replaced a file; a key that is taken is 409, or 412 if the request says
// "If-None-Match: *". DELETE answers 204. Each use is in the trail, as redeem under
// the link's grant, before its first effect or byte; so is each refusal of a link
// that was truly issued. What fails is answered by [WriteError].
//
// A link may be bound to a user or an address, withdrawn (410), or good for a
// number of uses only, of which every GET, PUT and DELETE is one, whether it
// succeeds or not, and HEAD none; see blobstore.LinkOptions and
// blobstore.Options.Grants.
//
// The actor is the one that [Middleware] put into the context, or else an
// anonymous one with the address of the connection.
//
// Without a signer no link can be valid: each request is answered 404 and
// reported to MiddlewareOptions.OnError, and Links logs that once with slog.Default. A nil store
// panics.
func Links(store *blobstore.Store, signer *signurl.Signer, opts *LinksOptions) http.Handler {
	if store == nil {
		panic("blobhttp: Links needs a store")
	}
	h := &links{store: store, signer: signer}
	if opts != nil {
		h.opts = *opts
	}
	if signer == nil {
		return unsigned(h.opts)
	}
	if h.opts.InlineTypes == nil {
		h.opts.InlineTypes = DefaultInlineTypes
	}
	return h
}

var errNoSigner = fmt.Errorf("%w: the program serves no links: blobhttp.Links was given no signer", fs.ErrNotExist)

// unsigned is the handler of a program that has no signer.
func unsigned(opts LinksOptions) http.Handler {
	slog.Error("blobhttp: Links was given no signer and answers each link 404: want the signer of blobstore.Options, as config.App has it")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowOrigin(w, r, opts.AllowedOrigins) {
			return
		}
		ctx, _ := withActor(r)
		r = r.WithContext(ctx)
		WriteError(w, r, errNoSigner)
	})
}

type links struct {
	store  *blobstore.Store
	signer *signurl.Signer
	opts   LinksOptions
}

// ServeHTTP implements [http.Handler].
func (h *links) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if allowOrigin(w, r, h.opts.AllowedOrigins) {
		return
	}
	ctx, actor := withActor(r)
	link, use, err := h.check(ctx, r, actor)
	if err == nil {
		switch r.Method {
		case http.MethodPut:
			err = h.put(ctx, w, r, link, use)
		case http.MethodDelete:
			err = h.delete(ctx, w, r, link, use)
		case http.MethodGet:
			if h.redirects() {
				err = h.redirect(ctx, w, link, use)
				break
			}
			fallthrough
		default:
			err = serve(ctx, w, r, h.store, view{
				key: link.Key, use: use,
				filename: link.Filename, inline: link.Inline, responseType: link.ResponseType, inlineTypes: h.opts.InlineTypes,
			})
		}
	}
	if err != nil {
		r = r.WithContext(ctx) // which names the request as the trail does
		if errors.Is(err, signurl.ErrMethod) {
			w.Header().Set("Allow", allowed(link.Method))
		}
		WriteError(w, r, err)
	}
}

// check returns the request's link and the permission to use it, or the reason
// for which it is refused. The refusal of a link that was issued is recorded.
func (h *links) check(ctx context.Context, r *http.Request, actor audit.Actor) (signurl.Grant, *blobstore.Use, error) {
	link, err := h.signer.Verify(r)
	if errors.Is(err, signurl.ErrSignature) {
		return link, nil, err
	}
	if err == nil {
		if cause := link.CheckActor(actor.UserID, actor.IP); cause != nil {
			err = fmt.Errorf("%w: %w", errNotYours, cause)
			if _, ok := audit.ActorFrom(r.Context()); !ok && link.UserID != "" {
				err = mistake(mistakeNoActor, err)
			}
		}
	}
	var use *blobstore.Use
	if err == nil {
		use, err = h.store.UseLink(ctx, link)
		if errors.Is(err, signurl.ErrSignature) {
			err = mistake(mistakeSigner, fmt.Errorf("%w: %w", errSigner, err))
		}
	}
	if err == nil || !isRefusal(err) {
		return link, use, err
	}
	// The client may be gone already; the entry is made all the same.
	if denyErr := h.store.DenyLink(context.WithoutCancel(ctx), link, r.Method, err); denyErr != nil {
		report(r.WithContext(ctx), denyErr)
	}
	return link, nil, err
}

// isRefusal reports whether err is a reason to refuse a link that was issued,
// rather than that nobody can tell.
func isRefusal(err error) bool {
	for _, reason := range [...]error{signurl.ErrExpired, signurl.ErrMethod, signurl.ErrConstraint, signurl.ErrRevoked} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// allowed is the Allow header of a link's URL.
func allowed(method string) string {
	if method == http.MethodGet {
		return "GET, HEAD"
	}
	return method
}

// redirects reports whether GET is answered by the service.
func (h *links) redirects() bool {
	return h.opts.RedirectFor > 0 && slices.Contains(h.store.Info().Capabilities.Links.Methods, http.MethodGet)
}

// redirect answers with a link of the service.
func (h *links) redirect(ctx context.Context, w http.ResponseWriter, link signurl.Grant, use *blobstore.Use) error {
	to, err := h.store.RedeemLink(ctx, use, func(o *blobstore.Object) *blobstore.LinkOptions {
		return &blobstore.LinkOptions{
			Expiry: h.opts.RedirectFor, Filename: fileName(nameOf(link.Filename, o)), ResponseType: link.ResponseType,
			Inline: link.Inline && harmless(o, link.ResponseType, h.opts.InlineTypes),
		}
	})
	if err != nil {
		return err
	}
	redirect(w, to.URL())
	return nil
}

func (h *links) put(ctx context.Context, w http.ResponseWriter, r *http.Request, link signurl.Grant, use *blobstore.Use) error {
	createOnly, err := uploadConditions(r.Header)
	if err != nil {
		return err
	}
	opts := &blobstore.UploadOptions{
		ContentType: link.ContentType,
		Overwrite:   !link.CreateOnly && !createOnly,
		MaxSize:     h.opts.MaxBytes,
		Use:         use, // which holds the link's other constraints
	}
	if opts.ContentType == "" {
		opts.ContentType = declaredType(r.Header)
	}
	if r.ContentLength > 0 {
		opts.Size = r.ContentLength
	}
	obj, err := h.store.Upload(ctx, link.Key, clientBody{r.Body}, opts)
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

func (h *links) delete(ctx context.Context, w http.ResponseWriter, r *http.Request, link signurl.Grant, use *blobstore.Use) error {
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if len(r.Header[name]) > 0 {
			return fmt.Errorf("%w: %s with DELETE", blobstore.ErrUnsupported, name)
		}
	}
	if err := h.store.Delete(ctx, link.Key, &blobstore.DeleteOptions{Use: use}); err != nil {
		return err
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// uploadConditions refuses what a PUT must not ignore and can't be done, and
// reports whether the request itself demands that the key is free.
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

// declaredType is the type that a client gives its upload, if it says anything;
// else the content shall tell.
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
