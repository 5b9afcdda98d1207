package blobhttp

// Uploads that go straight from the browser to where the files are kept. The host's server only hears of their
// beginning and their end, each a small piece of JSON.

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// DirectOptions configure [DirectUpload]. Nil and the zero value mean the
// defaults.
type DirectOptions struct {
	// Prefix is where the files go: the key of each is
	// blobstore.NewKey(Prefix, its name), unless Prepare sets another.
	Prefix string

	// MaxBytes limits each file, in bytes, beside the limit of the store. 0: no
	// limit.
	MaxBytes int64
	// AllowedTypes are the MIME types that are allowed, such as "image/*", judged
	// by the content when it is there, and by the client's word before. None: all.
	AllowedTypes []string
	// Expiry is how long an upload may be begun. 0: the default of the store.
	Expiry time.Duration

	// Prepare, if not nil, is called before each upload. It may change the
	// file's key and options, and refuse it by an error, such as one that wraps
	// blobstore.ErrDenied.
	Prepare func(r *http.Request, f *DirectFile) error

	// Save, if not nil, is called when an upload is complete, for the rows of the
	// host's own database. If it returns an error the client is told so and may
	// ask again, upon which Save is called again for the same object.
	Save func(r *http.Request, obj *blobstore.Object) error

	// Link, if not nil, asks for a link to each file that is complete.
	Link *blobstore.LinkOptions

	// CrossOrigin says which requests of browsers are refused because a page of
	// another origin sent them, which may be a forgery. Nil: all of those.
	CrossOrigin *http.CrossOriginProtection

	// Anonymous lets requests of nobody through. Without it a request whose
	// actor has no user is answered 401.
	Anonymous bool
}

// DirectFile is a file that a client is about to upload.
type DirectFile struct {
	Filename string            // as the client calls it: not to be trusted, not safe as a path
	Fields   map[string]string // what else the client says of it

	Key     string                  // where it will be stored; may be changed
	Options blobstore.UploadOptions // what the client announced, within the limits; may be changed
	// Attrs are attributes of the application for the trail; see audit.WithAttrs.
	Attrs map[string]string
}

// DirectBegin is what a client sends to begin a direct upload, as JSON. Everything
// may be left out.
type DirectBegin struct {
	Filename    string            `json:"filename"`
	ContentType string            `json:"content_type"` // which must then be sent with the bytes too
	Size        int64             `json:"size"`         // bytes, exact; 0: not known
	SHA256      string            `json:"sha256"`       // hex
	Fields      map[string]string `json:"fields"`       // for DirectOptions.Prepare
}

// DirectTicket is the answer to [DirectBegin], as JSON: how to send the bytes. The
// URL is a secret.
type DirectTicket struct {
	ID  string `json:"id"`
	Key string `json:"key"`

	Method  string            `json:"method"` // PUT with the bytes as the body, or POST with a form
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // to be sent as they are
	Fields  map[string]string `json:"fields,omitempty"`  // with POST: come before the file, whose field is "file"

	ExpiresInSeconds int64 `json:"expires_in_seconds"`
}

// DirectEnd is what a client sends to complete or to abort a direct upload, as
// JSON.
type DirectEnd struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// maxDirectBody limits the JSON that a client sends, in bytes.
const maxDirectBody = 64 << 10

// DirectUpload returns a handler for uploads that go straight to the backend, or,
// where it signs no links, to the handler of [Links]. What it does is told by the
// last segment of the path; mount it, for instance, as "/uploads/". All are POST
// with JSON:
//
//	/uploads/begin      DirectBegin -> 201 DirectTicket
//	/uploads/complete   DirectEnd   -> 200 UploadedFile; 404 as long as nothing has arrived;
//	                                   409 and "busy" if another request is at it: repeat it
//	/uploads/abort      DirectEnd   -> 204
//
// Between them the client sends the bytes as the ticket says. Nothing can be read
// before it is complete and was found to be what was allowed; what is never
// completed is removed by blobstore.Store.Reconcile. Each of the three may be
// answered by another process. The id of a ticket is a secret of whom it was given
// to: with it anybody whom the host lets through may complete or abort the upload.
//
// A page can send to another origin only if that allows it: see
// LinksOptions.AllowedOrigins, and docs/cors.md for the services.
//
// The actor must be in the request's context; see [Middleware]. What fails is
// answered by [WriteError].
func DirectUpload(store *blobstore.Store, opts *DirectOptions) http.Handler {
	if store == nil {
		panic("blobhttp: DirectUpload needs a store")
	}
	h := &directs{store: store}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.CrossOrigin == nil {
		h.opts.CrossOrigin = http.NewCrossOriginProtection()
	}
	return h
}

type directs struct {
	store *blobstore.Store
	opts  DirectOptions
}

// ServeHTTP implements [http.Handler].
func (h *directs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.serve(w, r); err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", http.MethodPost)
		}
		WriteError(w, r, err)
	}
}

func (h *directs) serve(w http.ResponseWriter, r *http.Request) error {
	if err := RefuseLink(r); err != nil {
		return err
	}
	var step func(http.ResponseWriter, *http.Request) error
	switch path.Base(r.URL.Path) {
	case "begin":
		step = h.begin
	case "complete":
		step = h.complete
	case "abort":
		step = h.abort
	default:
		return fmt.Errorf("%w: the path ends in begin, complete or abort", fs.ErrNotExist)
	}
	if r.Method != http.MethodPost {
		return errMethod
	}
	if err := h.opts.CrossOrigin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", errCrossOrigin, err)
	}
	if err := needUser(r.Context(), h.opts.Anonymous); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDirectBody)
	return step(w, r)
}

func (h *directs) begin(w http.ResponseWriter, r *http.Request) error {
	var in DirectBegin
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if in.Size < 0 {
		return fmt.Errorf("%w: size %d", errBadRequest, in.Size)
	}
	if in.ContentType != "" {
		if _, ok := baseType(in.ContentType); !ok || len(in.ContentType) > maxType {
			return fmt.Errorf("%w: content type %.100q", errBadRequest, in.ContentType)
		}
	}
	sum, err := hex.DecodeString(in.SHA256)
	if err != nil || len(sum) != 0 && len(sum) != 32 {
		return fmt.Errorf("%w: SHA-256 %.100q", errBadRequest, in.SHA256)
	}
	if len(sum) == 0 {
		sum = nil
	}
	f := &DirectFile{
		Filename: in.Filename, Fields: in.Fields,
		Key: blobstore.NewKey(h.opts.Prefix, in.Filename),
		Options: blobstore.UploadOptions{
			Filename: in.Filename, ContentType: in.ContentType, Size: in.Size, SHA256: sum,
			MaxSize: h.opts.MaxBytes, AllowedTypes: h.opts.AllowedTypes,
		},
	}
	if h.opts.Prepare != nil {
		if err := h.opts.Prepare(r, f); err != nil {
			return err
		}
	}
	t, err := h.store.BeginUpload(audit.WithAttrs(r.Context(), f.Attrs), f.Key, h.opts.Expiry, &f.Options)
	if err != nil {
		return err
	}
	out := DirectTicket{
		ID: t.ID, Key: t.Key, Method: t.Link.Method, URL: t.Link.URL(), Fields: t.Link.Form(), ExpiresInSeconds: secondsLeft(t.Link),
	}
	for name, values := range t.Link.Header {
		if name == "Content-Length" || name == "Host" {
			continue // which clients set themselves, and pages may not
		}
		if out.Headers == nil {
			out.Headers = make(map[string]string)
		}
		out.Headers[name] = strings.Join(values, ", ")
	}
	writeJSON(w, http.StatusCreated, out)
	return nil
}

func (h *directs) complete(w http.ResponseWriter, r *http.Request) error {
	var in DirectEnd
	if err := readJSON(r, &in); err != nil {
		return err
	}
	obj, err := h.store.Ticket(in.Key, in.ID).Complete(r.Context())
	if err != nil {
		return err
	}
	if h.opts.Save != nil {
		if err := h.opts.Save(r, obj); err != nil {
			return err
		}
	}
	writeJSON(w, http.StatusOK, describe(r, h.store, obj, h.opts.Link))
	return nil
}

func (h *directs) abort(w http.ResponseWriter, r *http.Request) error {
	var in DirectEnd
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if err := h.store.Ticket(in.Key, in.ID).Abort(r.Context()); err != nil {
		return err
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readJSON reads a request's body, which must be one JSON value that fits into.
func readJSON(r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return errNotJSON
	}
	body, err := io.ReadAll(progress.Reader(clientBody{r.Body}))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return nil
}
