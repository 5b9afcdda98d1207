package blobhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/limit"
)

// FormOptions configure [Intake.Form]. Nil and the zero value mean the defaults.
type FormOptions struct {
	// MaxTotalSize limits the body of a request, in bytes. 0: no limit.
	MaxTotalSize int64
	// MaxFiles limits the files of a request. 0: 32.
	MaxFiles int
	// MaxFields limits the other fields of a request. 0: 64.
	MaxFields int
	// MaxFieldsSize limits the names and values of the other fields together, in
	// bytes. 0: 64 KiB.
	MaxFieldsSize int64

	// Progress, if not nil, is called while a file is read, from the goroutine that
	// serves the request: about every 256 KiB, and when the file is complete. received
	// counts the bytes of the file; r.ContentLength is the size of the whole form.
	Progress func(r *http.Request, f *File, received int64, complete bool)

	// Respond, if not nil, responds to a request whose files are stored, instead of
	// 201 with u.
	Respond func(w http.ResponseWriter, r *http.Request, u *Uploaded)
}

const (
	defaultMaxFiles      = 32
	defaultMaxFields     = 64
	defaultMaxFieldsSize = 64 << 10
	progressStep         = 256 << 10
)

// Form returns a handler that stores the files of a multipart form, sent by POST,
// and responds with 201 and [Uploaded]. It makes no temporary file and holds no
// file in memory. A field must come before the file for Prepare to see it. A file
// without a name is stored under the name "file".
//
// Either all files of a request are stored or none: if one fails, those before it
// are removed again. Only if the trail fails when all files are stored, some of
// them may stay. The response then has the code "audit", and the trail lists them.
// [WriteError] responds to errors.
//
// The actor must be in the request's context; see [Middleware]. Form panics if the
// intake has no store.
func (in *Intake) Form(opts *FormOptions) http.Handler {
	in.need("Form")
	h := &formHandler{intake: in}
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
	if o.MaxFieldsSize == 0 {
		o.MaxFieldsSize = defaultMaxFieldsSize
	}
	return h
}

type formHandler struct {
	intake *Intake
	opts   FormOptions
}

// ServeHTTP implements [http.Handler].
func (h *formHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveUpload(w, r, h.serve)
}

func (h *formHandler) serve(w http.ResponseWriter, r *http.Request) error {
	if err := h.intake.admit(r); err != nil {
		return err
	}
	if most := h.opts.MaxTotalSize; most > 0 {
		if r.ContentLength > most {
			return limit.Size(blobstore.ErrTooLarge, fmt.Sprintf("a body of %d bytes", r.ContentLength), most)
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
	}
	sent := &sentBody{ReadCloser: r.Body}
	r.Body = sent
	mr, err := r.MultipartReader()
	if err != nil {
		return fmt.Errorf("%w: %w", errNotForm, err)
	}
	f := &form{formHandler: h, r: r, sent: sent, fields: make(url.Values)}
	defer f.discard() //nolint:errcheck // if a function of the application panics; otherwise there is nothing left to discard
	if err := f.store(mr); err != nil {
		return errors.Join(err, f.discard())
	}
	if h.opts.Respond != nil {
		h.opts.Respond(w, r, f.uploaded())
		return nil
	}
	writeJSON(w, http.StatusCreated, f.uploaded())
	return nil
}

// uploaded describes the stored files, with their links.
func (f *form) uploaded() *Uploaded {
	out := &Uploaded{Files: make([]UploadedFile, len(f.files))}
	for i, file := range f.files {
		out.Files[i] = f.intake.describe(f.r, file.staged.Object)
		out.Files[i].Field = file.field
	}
	return out
}
