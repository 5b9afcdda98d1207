package blobhttp

// This file implements the parser of forms. It reads the body once and stages
// each file directly in the store. At the end it commits all files, discards
// them, or leaves them to Reconcile.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// form is the state of one request.
type form struct {
	*formHandler
	r    *http.Request
	sent *sentBody

	fields     url.Values
	fieldBytes int64
	numFields  int
	files      []formUpload
}

type formUpload struct {
	field  string
	staged *blobstore.Staged
	done   bool // committed, discarded or left
}

// store stores either all files of the form or none.
func (f *form) store(mr *multipart.Reader) error {
	if err := f.read(mr); err != nil {
		return err
	}
	if len(f.files) == 0 {
		return errNoFile
	}
	if f.intake.Save != nil {
		if err := f.save(); err != nil {
			return err
		}
	}
	return f.commit()
}

// save calls Intake.Save. If the outcome of the application's transaction is
// unknown, save leaves the files to Reconcile.
func (f *form) save() (err error) {
	undecided := true // in case Save panics
	defer func() {
		if undecided {
			for i := range f.files {
				f.files[i].done = true
				f.files[i].staged.Leave()
			}
		}
	}()
	err = f.intake.Save(f.r.Context(), f.stored())
	undecided = errors.Is(err, blobstore.ErrInDoubt)
	return err
}

func (f *form) read(mr *multipart.Reader) error {
	for {
		part, err := mr.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return f.malformed(err)
		}
		if err := f.part(part); err != nil {
			return err
		}
	}
}

// malformed returns the error of an unreadable body.
func (f *form) malformed(err error) error {
	switch {
	case f.sent.err != nil:
		return f.sent.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return fmt.Errorf("%w: %w", errBadForm, err)
}

// sentBody saves the error of the request body, because the form parser may
// report a different error.
type sentBody struct {
	io.ReadCloser
	err error
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := clientBody{b.ReadCloser}.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// unnamed is the name of a file without a name.
const unnamed = "file"

// part reads one part of the form. A part is a file if it has a file name or a
// binary type. Otherwise it is a field.
func (f *form) part(part *multipart.Part) error {
	_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")) // params is empty if the header is malformed
	name, named := params["filename"]
	if !named && !binary(part.Header.Get("Content-Type")) {
		return f.field(part)
	}
	if baseName(name) != "" {
		return f.file(part, name, part)
	}
	content := bufio.NewReader(part)
	if _, err := content.Peek(1); err == io.EOF {
		return nil // browsers send this if no file was chosen
	}
	return f.file(part, unnamed, content)
}

// binary reports whether a part of this type is a file even without a file
// name. Some clients declare text, JSON or XML types for plain fields.
func binary(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if contentType == "" || err != nil {
		return false
	}
	for _, text := range [...]string{"text/", "application/json", "application/xml", "application/x-www-form-urlencoded"} {
		if strings.HasPrefix(t, text) {
			return false
		}
	}
	return !strings.HasSuffix(t, "+json") && !strings.HasSuffix(t, "+xml")
}

func (f *form) field(part *multipart.Part) error {
	name := part.FormName()
	left := f.opts.MaxFieldsSize - f.fieldBytes - int64(len(name))
	value, err := io.ReadAll(io.LimitReader(part, max(left, 0)+1))
	if err != nil {
		return f.malformed(err)
	}
	if len(value) == 0 && part.Header.Get("Content-Type") != "" {
		return nil // no file was chosen
	}
	f.fieldBytes += int64(len(name) + len(value))
	if f.numFields++; f.numFields > f.opts.MaxFields || f.fieldBytes > f.opts.MaxFieldsSize {
		return tooMany(fmt.Sprintf("at most %d fields with a total of %d bytes are allowed", f.opts.MaxFields, f.opts.MaxFieldsSize))
	}
	f.fields.Add(name, string(value))
	return nil
}

func tooMany(limit string) error {
	return &detailedError{fmt.Errorf("%w: %s", errTooMany, limit), errTooMany, sentence(limit)}
}

func (f *form) file(part *multipart.Part, name string, content io.Reader) error {
	if len(f.files) == f.opts.MaxFiles {
		return tooMany(fmt.Sprintf("at most %d files are allowed", f.opts.MaxFiles))
	}
	ctx := f.r.Context()
	file, err := f.intake.NewFile(ctx, File{
		Field: part.FormName(), Filename: name, ContentType: part.Header.Get("Content-Type"),
		Fields: f.fields, Body: clientBody{content},
	})
	if err != nil {
		return err
	}
	body := file.Body
	var watch *watcher
	if f.opts.Progress != nil {
		watch = &watcher{r: body, report: func(n int64, done bool) {
			f.opts.Progress(f.r, file, n, done)
		}}
		body = watch
	}
	staged, err := f.intake.Store.Stage(audit.WithAttrs(ctx, file.Attrs), file.Key, body, &file.Options)
	if err != nil {
		return err
	}
	f.files = append(f.files, formUpload{field: file.Field, staged: staged})
	if watch != nil {
		watch.report(watch.n, true)
	}
	return nil
}

func (f *form) stored() []Stored {
	out := make([]Stored, len(f.files))
	for i, file := range f.files {
		out[i] = Stored{Object: file.staged.Object, Staged: file.staged}
	}
	return out
}

func (f *form) commit() (err error) {
	for i := range f.files {
		f.files[i].done = true // even if Commit fails
		err = errors.Join(err, f.files[i].staged.Commit(f.r.Context()))
		if err != nil && f.intake.Save == nil {
			return err // the caller discards the others
		}
		// If Save is set, the rows exist, so all files must be committed.
	}
	return err
}

// discard removes the stored files of a failed form.
func (f *form) discard() (err error) {
	for i := range f.files {
		if !f.files[i].done {
			f.files[i].done = true
			err = errors.Join(err, f.files[i].staged.Discard(f.r.Context()))
		}
	}
	return err
}

// watcher reports the progress of a reader.
type watcher struct {
	r           io.Reader
	n, reported int64
	report      func(n int64, done bool)
}

func (w *watcher) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if w.n-w.reported >= progressStep {
		w.reported = w.n
		w.report(w.n, false)
	}
	return n, err
}
