package blobhttp

// This file implements Deliver, for a handler that knows the user and the object: it sends the file or a link to it.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// DeliverMode is the form of the response of [Deliver].
type DeliverMode int

const (
	// DeliverBytes sends the file, from any backend.
	DeliverBytes DeliverMode = iota
	// DeliverAuto sends JSON if the backend signs links itself, and otherwise the
	// file, as for local files. Clients must handle both.
	DeliverAuto
	// DeliverJSON sends a [Delivered] with a link:
	// {"download_url": "…", "expires_in_seconds": 3600}.
	DeliverJSON
	// DeliverRedirect redirects to a link, with status 302.
	DeliverRedirect
)

// DeliverOptions are the options of [Deliver]. Nil and the zero value mean the
// defaults.
type DeliverOptions struct {
	Mode DeliverMode

	// Expiry is the time until a link expires. 0: the default of the store. It
	// does not apply to DeliverBytes, which refuses it.
	Expiry time.Duration
	// Filename is the name to save the file under. Empty: the one it was
	// uploaded under.
	Filename string
	// Inline asks for showing rather than saving, where that is safe.
	Inline bool
	// ResponseType is the content type to answer with. Empty: the object's.
	ResponseType string
	// InlineTypes is as LinksOptions.InlineTypes, for bytes and for links that the
	// backend itself honours.
	InlineTypes []string

	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource

	// AllowAnonymous allows requests without a user. Otherwise a request whose actor
	// has no user gets a 401.
	AllowAnonymous bool
}

// Delivered is the body of the response of [Deliver] with DeliverJSON, and the link
// of an [UploadedFile].
type Delivered struct {
	DownloadURL      string `json:"download_url,omitempty"`
	ExpiresInSeconds int64  `json:"expires_in_seconds,omitempty"`
}

// Deliver answers a GET or HEAD for the object key: with its bytes, as [Links]
// does, or with a link to it. The download or the link is recorded under the
// actor in the request's context; see [Middleware]. The host decides before
// whether this user may have this file, or by blobstore.Options.Authorize. What
// fails is answered by [WriteError].
//
// Deliver does not verify signed links and refuses a request that carries one;
// see [RefuseLink]. Mount it under another path than [Links].
func Deliver(w http.ResponseWriter, r *http.Request, store *blobstore.Store, key string, opts *DeliverOptions) {
	var o DeliverOptions
	if opts != nil {
		o = *opts
	}
	if err := deliver(w, r, store, key, &o); err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", "GET, HEAD")
		}
		WriteError(w, r, err)
	}
}

func deliver(w http.ResponseWriter, r *http.Request, store *blobstore.Store, key string, o *DeliverOptions) error {
	ctx := r.Context()
	if err := RefuseLink(r); err != nil {
		return err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	if err := needUser(ctx, o.AllowAnonymous); err != nil {
		return err
	}
	if o.Mode == DeliverBytes && o.Expiry != 0 {
		return mistake(mistakeExpiry, blobstore.ErrUnsupported)
	}
	byService := slices.Contains(store.Info().Capabilities.Links.Methods, http.MethodGet)
	inlineTypes := o.InlineTypes
	if inlineTypes == nil {
		inlineTypes = defaultInlineTypes
	}
	mode := o.Mode
	if mode == DeliverAuto {
		mode = DeliverBytes
		if byService {
			mode = DeliverJSON
		}
	}
	if mode == DeliverBytes {
		return serve(w, r, view{
			open: func(ctx context.Context, opts *blobstore.RangesOptions) (*blobstore.RangeReader, error) {
				return store.DownloadRanges(ctx, key, opts)
			},
			resource: o.Resource,
			filename: o.Filename, inline: o.Inline, responseType: o.ResponseType, inlineTypes: inlineTypes,
		})
	}
	if mode != DeliverJSON && mode != DeliverRedirect {
		return fmt.Errorf("%w: invalid DeliverMode %d: want DeliverBytes, DeliverAuto, DeliverJSON or DeliverRedirect", blobstore.ErrUnsupported, mode)
	}

	// A link can be issued to a missing object, which the client would find out too late.
	obj, err := store.Stat(ctx, key)
	if err != nil {
		return err
	}
	h := w.Header()
	if r.Method == http.MethodHead { // no link is issued: the response has no body for it
		h.Set("Content-Type", "application/json")
		h["Cache-Control"] = noStore
		w.WriteHeader(http.StatusOK)
		return nil
	}
	name := o.Filename
	if name == "" {
		name = obj.Filename
	}
	if name != "" {
		name = fileName(name)
	}
	link, err := store.Link(ctx, key, &blobstore.LinkOptions{
		Expiry: o.Expiry, Filename: name, Inline: o.Inline && (!byService || harmless(obj, o.ResponseType, inlineTypes)), ResponseType: o.ResponseType, Resource: o.Resource,
	})
	if err != nil {
		return err
	}
	if mode == DeliverJSON {
		writeJSON(w, http.StatusOK, Delivered{link.URL(), secondsLeft(link)})
		return nil
	}
	redirect(w, link.URL())
	return nil
}

// redirect sends the client to a link.
func redirect(w http.ResponseWriter, link string) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h.Set("Location", link)
	w.WriteHeader(http.StatusFound)
}

// harmless reports whether a service may be told that a browser can show an
// object, which it would do without our headers.
func harmless(o *blobstore.Object, responseType string, inlineTypes []string) bool {
	if responseType == "" {
		responseType = o.ContentType
	}
	base, ok := baseType(responseType)
	return ok && slices.Contains(inlineTypes, base)
}
