package blobhttp

// Uploads by HTML forms and by everything that can send one: what a host may set, whom the handler refuses, and what it
// answers. The form itself is read in form.go.

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// UploadOptions configure [Upload]. Nil and the zero value mean the defaults.
type UploadOptions struct {
	// Prefix is where the files go: the key of each is
	// blobstore.NewKey(Prefix, its name), unless Prepare sets another.
	Prefix string

	// MaxBytes limits each file, in bytes, beside the limit of the store. 0: no
	// limit.
	MaxBytes int64
	// MaxTotal limits the body of a request, in bytes. 0: no limit.
	MaxTotal int64
	// MaxFiles limits the files of a request. 0: 32.
	MaxFiles int
	// MaxFields limits the other fields of a request. 0: 64.
	MaxFields int
	// MaxFieldBytes limits their names and values together, in bytes. 0: 64 KiB.
	MaxFieldBytes int64
	// AllowedTypes are the MIME types that are allowed, such as "image/*", judged
	// by the content and never by the client's word. None: all.
	AllowedTypes []string

	// Prepare, if not nil, is called before each file is read. It may change
	// the file's key and options, and refuse it by an error: one that wraps
	// blobstore.ErrDenied, or a *Problem.
	Prepare func(r *http.Request, f *FormFile) error

	// Save, if not nil, is called when all files of a request are stored, for
	// the rows of the host's own database; see blobstore.Staged and
	// sqlaudit.CommitTx. If it returns an error, which it must not do after its
	// transaction was committed, the files are removed again. Whether it was can't
	// always be told, as when the connection broke during the commit: an error that
	// wraps blobstore.ErrInDoubt leaves the files to blobstore.Store.Reconcile,
	// which keeps those whose sqlaudit.CommitTx was committed. So does a panic.
	Save func(r *http.Request, files []*blobstore.Staged) error

	// Answer, if not nil, answers a request whose files are stored, in place of
	// 201 with u.
	Answer func(w http.ResponseWriter, r *http.Request, u *Uploaded)

	// Link, if not nil, asks for a link to each file.
	Link *blobstore.LinkOptions

	// Progress, if not nil, is called while a file is read, from the goroutine
	// that serves the request: about every 256 KiB, and when it is complete.
	Progress func(r *http.Request, p Progress)

	// CrossOrigin says which requests of browsers are refused because a page of
	// another origin sent them, which may be a forgery. Nil: all of those.
	CrossOrigin *http.CrossOriginProtection

	// Anonymous lets requests of nobody through. Without it a request whose
	// actor has no user is answered 401.
	Anonymous bool
}

// FormFile is a file of a form that is about to be stored.
type FormFile struct {
	Field    string     // the name of the form's field
	Filename string     // as the client calls it: not to be trusted, not safe as a path
	Fields   url.Values // the other fields that came before the file

	Key     string                  // where it will be stored; may be changed
	Options blobstore.UploadOptions // may be changed, but for Overwrite and Link
	// Attrs are attributes of the application for the trail; see audit.WithAttrs.
	Attrs map[string]string

	// Body is the content. It may be wrapped, such as in an io.TeeReader by
	// whoever wants to read along; what it yields is what is stored.
	Body io.Reader
}

// Progress tells how far a file has come.
type Progress struct {
	Field, Filename, Key string

	Bytes int64 // of the file, that were read
	Total int64 // of the request's body, that were announced; -1: unknown
	Done  bool  // the file is complete
}

// Uploaded is the answer of [Upload], as JSON.
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
	SHA256      string `json:"sha256,omitempty"` // hex; empty where it is not kept

	// The link, if the options asked for one.
	DownloadURL      string `json:"download_url,omitempty"`
	ExpiresInSeconds int64  `json:"expires_in_seconds,omitempty"`

	// Problem says why there is no link although the file is stored.
	Problem *Problem `json:"problem,omitempty"`
}

const (
	defaultMaxFiles      = 32
	defaultMaxFields     = 64
	defaultMaxFieldBytes = 64 << 10
	progressStep         = 256 << 10
)

// Upload returns a handler that stores the files of a multipart form, sent by
// POST, and answers 201 with [Uploaded]. No temporary file is made and no file is
// held in memory. A field that shall be known to Prepare must come before the
// file.
//
// Either all files of a request are stored or none: if one fails, those before
// it are removed again. Only the trail may fail so late, when all are stored, that
// some stay; that is answered as the code "audit", and the trail shows which. What fails
// is answered by [WriteError].
//
// The actor must be in the request's context; see [Middleware].
func Upload(store *blobstore.Store, opts *UploadOptions) http.Handler {
	if store == nil {
		panic("blobhttp: Upload needs a store")
	}
	h := &uploads{store: store}
	if opts != nil {
		h.opts = *opts
	}
	o := &h.opts
	if o.MaxFiles == 0 {
		o.MaxFiles = defaultMaxFiles
	}
	if o.MaxFields == 0 {
		o.MaxFields = defaultMaxFields
	}
	if o.MaxFieldBytes == 0 {
		o.MaxFieldBytes = defaultMaxFieldBytes
	}
	if o.CrossOrigin == nil {
		o.CrossOrigin = http.NewCrossOriginProtection()
	}
	return h
}

type uploads struct {
	store *blobstore.Store
	opts  UploadOptions
}

// ServeHTTP implements [http.Handler].
func (h *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.upload(w, r)
	if err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", http.MethodPost)
		}
		WriteError(w, r, err)
		return
	}
	if h.opts.Answer != nil {
		h.opts.Answer(w, r, answer)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

func (h *uploads) upload(w http.ResponseWriter, r *http.Request) (*Uploaded, error) {
	if err := RefuseLink(r); err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return nil, errMethod
	}
	if err := h.opts.CrossOrigin.Check(r); err != nil {
		return nil, fmt.Errorf("%w: %w", errCrossOrigin, err)
	}
	if err := needUser(r.Context(), h.opts.Anonymous); err != nil {
		return nil, err
	}
	if h.opts.MaxTotal > 0 {
		if r.ContentLength > h.opts.MaxTotal {
			return nil, fmt.Errorf("%w: a body of %d bytes: the limit is %d", blobstore.ErrTooLarge, r.ContentLength, h.opts.MaxTotal)
		}
		r.Body = http.MaxBytesReader(w, r.Body, h.opts.MaxTotal)
	}
	sent := &sentBody{ReadCloser: r.Body}
	r.Body = sent
	mr, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotForm, err)
	}
	f := &form{uploads: h, r: r, sent: sent, fields: make(url.Values)}
	defer f.discard() //nolint:errcheck // if a function of the host panics; otherwise there is nothing left to discard
	if err := f.store(mr); err != nil {
		return nil, errors.Join(err, f.discard())
	}
	return f.answer(), nil
}

// needUser refuses a request of nobody. One without any actor is left to the
// store, which may have a default.
func needUser(ctx context.Context, anonymous bool) error {
	if a, ok := audit.ActorFrom(ctx); ok && a.UserID == "" && !anonymous {
		return errUnauthenticated
	}
	return nil
}

// answer describes the stored files, with their links.
func (f *form) answer() *Uploaded {
	out := &Uploaded{Files: make([]UploadedFile, len(f.files))}
	for i, file := range f.files {
		out.Files[i] = describe(f.r, f.uploads.store, file.staged.Object, f.opts.Link)
		out.Files[i].Field = file.field
	}
	return out
}

// describe tells of a stored object, with a link if one is asked for.
func describe(r *http.Request, store *blobstore.Store, obj *blobstore.Object, opts *blobstore.LinkOptions) UploadedFile {
	u := UploadedFile{
		Key: obj.Key, Filename: obj.Filename, Size: obj.Size,
		ContentType: obj.ContentType, SHA256: hex.EncodeToString(obj.SHA256),
	}
	if opts == nil {
		return u
	}
	link, err := store.Link(r.Context(), obj.Key, opts)
	if err != nil {
		report(r, err)
		u.Problem = ProblemOf(err).identified(r)
		return u
	}
	u.DownloadURL, u.ExpiresInSeconds = link.URL(), secondsLeft(link)
	return u
}

// secondsLeft is for how long a link holds, rounded up, since links end on full
// seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

// writeJSON answers with what is for this client alone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only of types of this package, which can be marshalled
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
