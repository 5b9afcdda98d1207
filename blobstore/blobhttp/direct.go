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

// DirectBegin is the JSON request for the first step of a direct upload. Every
// field is optional.
type DirectBegin struct {
	Filename    string            `json:"filename"`
	ContentType string            `json:"content_type"` // if set, the upload must have this Content-Type
	Size        int64             `json:"size"`         // exact size in bytes; 0 means unknown
	SHA256      string            `json:"sha256"`       // hexadecimal
	Fields      map[string]string `json:"fields"`       // passed to Intake.Prepare
}

// DirectTicket is the JSON response to [DirectBegin]. It describes the request
// that uploads the content. Treat the URL as a secret.
type DirectTicket struct {
	DirectEnd // request for completing or aborting the upload

	Method  string            `json:"method"` // PUT sends the content as the body, POST sends a form
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // send them unchanged
	Fields  map[string]string `json:"fields,omitempty"`  // for POST: form fields to send before the field "file" with the content

	ExpiresInSeconds int64 `json:"expires_in_seconds"`
}

// DirectEnd is the JSON request for completing or aborting a direct upload.
type DirectEnd struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// maxDirectBody limits the JSON request, in bytes.
const maxDirectBody = 64 << 10

// Direct returns a handler for direct uploads. The client sends the content
// straight to the backend, or to the handler of [Links] if the backend cannot
// sign links.
//
// The last segment of the path selects the step. Mount the handler at a path
// such as "/uploads/". Each step is a POST request with JSON:
//
//	/uploads/begin      DirectBegin -> 201 DirectTicket
//	/uploads/complete   DirectEnd   -> 200 UploadedFile
//	/uploads/abort      DirectEnd   -> 204
//
// After begin, the client sends the content as described by the ticket, and
// then calls complete. The content is unreadable until complete has accepted
// it. While nothing has been uploaded, complete responds with status 404. If
// another request completes or aborts the same upload, the response has status
// 409 and the code "busy"; repeat the request.
//
// Each step may run in a different process. Treat the ID of a ticket as a
// secret: any user with the ID and the key can complete or abort the upload.
// blobstore.Store.Reconcile removes uploads that are never completed.
//
// A page can upload to another origin only if that origin allows it; see
// LinksOptions.AllowedOrigins, and docs/cors.md for storage services.
//
// The request's context must have an actor; see [Middleware]. [WriteError]
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
		return fmt.Errorf("%w: want a path that ends in begin, complete or abort", fs.ErrNotExist)
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
		return fmt.Errorf("%w: invalid size %d: want a positive number, or 0 if unknown", errBadRequest, in.Size)
	}
	if in.ContentType != "" {
		if _, ok := baseType(in.ContentType); !ok || len(in.ContentType) > maxType {
			return fmt.Errorf("%w: invalid content type %.100q: want type/subtype", errBadRequest, in.ContentType)
		}
	}
	sum, err := hex.DecodeString(in.SHA256)
	if err != nil || len(sum) != 0 && len(sum) != 32 {
		return fmt.Errorf("%w: invalid SHA-256 %.100q: want 64 hexadecimal digits", errBadRequest, in.SHA256)
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
			continue // clients set them, and scripts in pages cannot
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

// readJSON decodes the request body, a single JSON value, into the given
// variable.
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
