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

// Uploaded is the response of [Intake.Form], as JSON.
type Uploaded struct {
	Files []UploadedFile `json:"files"`
}

// UploadedFile is a stored file.
type UploadedFile struct {
	Field       string `json:"field,omitempty"` // of the form
	Key         string `json:"key"`
	Filename    string `json:"filename"`
	Size        int64  `json:"size"` // bytes
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256,omitempty"` // hex; empty if the object has no stored digest

	// Delivered is the link, if Intake.Link asks for one.
	Delivered

	// Problem is the reason for a missing link. The file is stored all the same.
	Problem *Problem `json:"problem,omitempty"`
}

// describe returns the description of a stored object, with a link if the intake
// has one.
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

// secondsLeft returns the remaining time of a link, rounded up, since links expire
// on full seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

// serveUpload runs an upload handler's function and responds to its error.
func serveUpload(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request) error) {
	if err := serve(w, r); err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", http.MethodPost)
		}
		WriteError(w, r, err)
	}
}

// writeJSON responds with a value for this client alone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only of types of this package, which can be marshaled
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no response
}
