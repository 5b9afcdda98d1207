package blobhttp

// This file implements Deliver. A handler of the application, which knows the
// user and the object, calls it to send the file or a link to it.

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

// DeliverMode selects the form of the response of [Deliver].
type DeliverMode int

const (
	// DeliverBytes sends the content of the file. It works on every backend.
	DeliverBytes DeliverMode = iota
	// DeliverAuto sends JSON like DeliverJSON if the backend signs links
	// itself. On other backends, such as local files, it sends the content.
	// Clients must support both.
	DeliverAuto
	// DeliverJSON sends a link as JSON, see [Delivered]:
	// {"download_url": "…", "expires_in_seconds": 3600}.
	DeliverJSON
	// DeliverRedirect redirects to a link, with status 302.
	DeliverRedirect
)

// DeliverOptions configures [Deliver]. Nil and the zero value select the
// defaults.
type DeliverOptions struct {
	// Mode selects the form of the response. The default is DeliverBytes.
	Mode DeliverMode

	// Expiry is the lifetime of the link. Zero means the default of the store.
	// It requires a Mode other than DeliverBytes.
	Expiry time.Duration
	// Filename is the name of the saved file. If empty, the original name of
	// the upload is used.
	Filename string
	// Inline asks the browser to display the file instead of saving it. It
	// applies only to the types in InlineTypes.
	Inline bool
	// ResponseType is the Content-Type of the response. If empty, the type of
	// the object is used.
	ResponseType string
	// InlineTypes lists the types for display; see LinksOptions.InlineTypes. It
	// applies to content, and to links served by the backend. Nil means
	// [DefaultInlineTypes].
	InlineTypes []string

	// Resource identifies the application's record of the file, such as an
	// invoice. It is recorded in the trail.
	Resource audit.Resource

	// AllowAnonymous allows unauthenticated requests. If false, a request whose
	// actor has no user gets status 401.
	AllowAnonymous bool
}

// Delivered is a link in JSON. It is the response of [Deliver] with
// DeliverJSON, and part of [UploadedFile].
type Delivered struct {
	DownloadURL      string `json:"download_url,omitempty"`
	ExpiresInSeconds int64  `json:"expires_in_seconds,omitempty"`
}

// Deliver responds to a GET or HEAD request with the object under key, or with
// a link to it, depending on DeliverOptions.Mode. It sends content in the same
// way as [Links]. It records the download or the link in the trail, for the
// actor in the request's context; see [Middleware]. [WriteError] responds to
// errors.
//
// Check the user's access before calling Deliver, or set
// blobstore.Options.Authorize.
//
// Deliver does not verify signed links. It refuses a request with a link; see
// [RefuseLink]. Mount Deliver and [Links] at different paths.
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

// check returns an error about a mode that does not exist, or an option that does
// not apply to the mode.
func (o *DeliverOptions) check() error {
	switch {
	case o.Mode < DeliverBytes || o.Mode > DeliverRedirect:
		return fmt.Errorf("%w: invalid DeliverMode %d: want DeliverBytes, DeliverAuto, DeliverJSON or DeliverRedirect", blobstore.ErrUnsupported, o.Mode)
	case o.Mode == DeliverBytes && o.Expiry != 0:
		return mistake(mistakeExpiry, blobstore.ErrUnsupported)
	}
	return nil
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
	if err := o.check(); err != nil {
		return err
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

	// Store.Link does not check whether the object exists, so check it here.
	obj, err := store.Stat(ctx, key)
	if err != nil {
		return err
	}
	h := w.Header()
	if r.Method == http.MethodHead { // issue no link, because the response has no body
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

// redirect redirects the client to a link.
func redirect(w http.ResponseWriter, link string) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h.Set("Location", link)
	w.WriteHeader(http.StatusFound)
}

// harmless reports whether a service may display an object. A service does not
// send the protective headers of this package.
func harmless(o *blobstore.Object, responseType string, inlineTypes []string) bool {
	if responseType == "" {
		responseType = o.ContentType
	}
	base, ok := baseType(responseType)
	return ok && slices.Contains(inlineTypes, base)
}
