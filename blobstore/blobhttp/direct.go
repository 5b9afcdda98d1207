package blobhttp

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// DirectBegin is the JSON request that begins a direct upload. Every field is
// optional.
type DirectBegin struct {
	Filename    string            `json:"filename"`
	ContentType string            `json:"content_type"` // which must then be sent with the bytes too
	Size        int64             `json:"size"`         // bytes, exact; 0: not known
	SHA256      string            `json:"sha256"`       // hex
	Fields      map[string]string `json:"fields"`       // for Intake.Prepare
}

// DirectTicket is the JSON response to [DirectBegin]. It says how to send the bytes.
// Treat the URL as a secret.
type DirectTicket struct {
	DirectEnd // to complete or to abort the upload with

	Method  string            `json:"method"` // PUT with the bytes as the body, or POST with a form
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // to be sent as they are
	Fields  map[string]string `json:"fields,omitempty"`  // with POST: come before the file, whose field is "file"

	ExpiresInSeconds int64 `json:"expires_in_seconds"`
}

// DirectEnd is the JSON request that completes or aborts a direct upload.
type DirectEnd struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// maxDirectBody limits the JSON that a client sends, in bytes.
const maxDirectBody = 64 << 10

// Direct returns a handler for uploads that go straight to the backend, or to the
// handler of [Links] if the backend signs no links. The last segment of the path
// is the step; mount the handler as "/uploads/", for instance. Each step is a POST
// with JSON:
//
//	/uploads/begin      DirectBegin -> 201 DirectTicket
//	/uploads/complete   DirectEnd   -> 200 UploadedFile; 404 until something has arrived;
//	                                   409 and "busy" if another request works on it: repeat it
//	/uploads/abort      DirectEnd   -> 204
//
// After begin the client sends the bytes as the ticket says. They are unreadable
// until complete has accepted them. Reconcile of package blobstore removes uploads
// that are never completed. Each step may run in another process. Treat the ID of
// a ticket as a secret: any user who knows it can complete or abort the upload.
//
// A page can send to another origin only if that origin allows it: see
// LinksOptions.AllowedOrigins, and docs/cors.md for the services.
//
// The actor must be in the request's context; see [Middleware]. [WriteError]
// responds to errors. Direct panics if the intake has no store.
func (in *Intake) Direct() http.Handler {
	in.need("Direct")
	return &directHandler{in}
}

type directHandler struct{ *Intake }

// ServeHTTP implements [http.Handler].
func (h *directHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveUpload(w, r, h.serve)
}

func (h *directHandler) serve(w http.ResponseWriter, r *http.Request) error {
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
	if err := h.admit(r); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDirectBody)
	return step(w, r)
}

func (h *directHandler) begin(w http.ResponseWriter, r *http.Request) error {
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
	fields := make(url.Values, len(in.Fields))
	for name, value := range in.Fields {
		fields.Set(name, value)
	}
	f, err := h.NewFile(r.Context(), File{
		Filename: in.Filename, ContentType: in.ContentType, Size: in.Size, Fields: fields,
		Options: blobstore.UploadOptions{ContentType: in.ContentType, Size: in.Size, SHA256: sum},
	})
	if err != nil {
		return err
	}
	t, err := h.Store.BeginUpload(audit.WithAttrs(r.Context(), f.Attrs), f.Key, h.Expiry, &f.Options)
	if err != nil {
		return err
	}
	out := DirectTicket{
		DirectEnd: DirectEnd{t.ID, t.Key}, Method: t.Link.Method, URL: t.Link.URL(), Fields: t.Link.Form(), ExpiresInSeconds: secondsLeft(t.Link),
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

func (h *directHandler) complete(w http.ResponseWriter, r *http.Request) error {
	var in DirectEnd
	if err := readJSON(r, &in); err != nil {
		return err
	}
	obj, err := h.Store.Ticket(in.Key, in.ID).Complete(r.Context())
	if err != nil {
		return err
	}
	if h.Save != nil {
		if err := h.Save(r.Context(), []Stored{{Object: obj}}); err != nil {
			return err
		}
	}
	writeJSON(w, http.StatusOK, h.describe(r, obj))
	return nil
}

func (h *directHandler) abort(w http.ResponseWriter, r *http.Request) error {
	var in DirectEnd
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if err := h.Store.Ticket(in.Key, in.ID).Abort(r.Context()); err != nil {
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
