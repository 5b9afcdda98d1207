package blobhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/limit"
)

// FormOptions configures [Intake.Form]. Nil and the zero value select the
// defaults.
type FormOptions struct {
	// MaxTotalSize limits the body of a request, in bytes. Zero means
	// unlimited.
	MaxTotalSize int64
	// MaxFiles limits the number of files per request. Zero means 32.
	MaxFiles int
	// MaxFields limits the number of other fields per request. Zero means 64.
	MaxFields int
	// MaxFieldsSize limits the total size of the names and values of the other
	// fields, in bytes. Zero means 64 KiB.
	MaxFieldsSize int64

	// Progress, if not nil, is called about every 256 KiB while a file is read,
	// and when the file is complete. It runs in the goroutine of the request.
	// received is the number of bytes of the file; r.ContentLength is the size
	// of the whole form.
	Progress func(r *http.Request, f *File, received int64, complete bool)

	// Respond, if not nil, replaces the response. It is called when all files
	// of the request are stored. The default response is status 201 with u as
	// JSON.
	Respond func(w http.ResponseWriter, r *http.Request, u *Uploaded)
}

const (
	defaultMaxFiles      = 32
	defaultMaxFields     = 64
	defaultMaxFieldsSize = 64 << 10
	progressStep         = 256 << 10
)

// Form returns a handler for multipart forms, sent by POST. It stores the files
// of the form and responds with status 201 and [Uploaded]. It streams each file
// to the store, without temporary files.
//
// Intake.Prepare receives only the fields before the file. A file without a
// name is stored under the name "file".
//
// Form stores either all files of a request or none. If one file fails, Form
// removes the others. There is one exception: if the trail fails after all
// files were stored, some files may remain. The response then has the code
// "audit", and the trail lists the remaining files.
//
// The request's context must have an actor; see [Middleware]. [WriteError]
// responds to errors. Form panics if the intake has no store.
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
			return limit.Size(blobstore.ErrTooLarge, fmt.Sprintf("request body of %d bytes", r.ContentLength), most)
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
	defer f.discard() //nolint:errcheck // only needed if a function of the application panics
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
