package blobhttp

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/blobtrail/blobtrail/blobstore"
)

// Uploaded is the JSON response of [Intake.Form].
type Uploaded struct {
	Files []UploadedFile `json:"files"`
}

// UploadedFile describes a stored file.
type UploadedFile struct {
	Field       string `json:"field,omitempty"` // field of the form
	Key         string `json:"key"`
	Filename    string `json:"filename"`
	Size        int64  `json:"size"` // bytes
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256,omitempty"` // hexadecimal; empty if the object has no stored digest

	// Delivered is the link, if Intake.Link is set.
	Delivered

	// Problem is set if the link could not be issued. The file is stored
	// anyway.
	Problem *Problem `json:"problem,omitempty"`
}

// describe returns the description of a stored object, with a link if
// Intake.Link is set.
func (in *Intake) describe(r *http.Request, obj *blobstore.Object) UploadedFile {
	u := UploadedFile{
		Key: obj.Key, Filename: obj.Filename, Size: obj.Size,
		ContentType: obj.ContentType, SHA256: hex.EncodeToString(obj.SHA256),
	}
	if in.Link == nil {
		return u
	}
	link, err := in.Store.Link(r.Context(), obj.Key, in.Link)
	if err != nil {
		report(r, err)
		u.Problem = ProblemOf(err).identified(r)
		return u
	}
	u.Delivered = Delivered{link.URL(), secondsLeft(link)}
	return u
}

// secondsLeft returns the remaining lifetime of a link, rounded up because
// links expire on full seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

// serveUpload calls serve and responds to its error.
func serveUpload(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request) error) {
	if err := serve(w, r); err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", http.MethodPost)
		}
		WriteError(w, r, err)
	}
}

// writeJSON responds with v as JSON. The response is not cached.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // unreachable: every type in use can be marshaled
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	w.WriteHeader(status)
	_, _ = w.Write(body) // ignore a disconnected client
}
