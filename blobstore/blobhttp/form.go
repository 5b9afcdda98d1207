package blobhttp

// A form that is uploaded. Its body is read once, as it comes: each file goes straight to the store, staged, and nowhere
// else. Then all files of the form are committed, removed, or left to the reconciler.

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// form is a form that is being read.
type form struct {
	*uploads
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

// store stores the files of the form, all or none.
func (f *form) store(mr *multipart.Reader) error {
	if err := f.read(mr); err != nil {
		return err
	}
	if len(f.files) == 0 {
		return errNoFile
	}
	if f.opts.Save != nil {
		if err := f.save(); err != nil {
			return err
		}
	}
	return f.commit()
}

// save has the host save its rows. If nobody can tell whether they stand, the
// files are left to the reconciler.
func (f *form) save() (err error) {
	undecided := true // if it panics
	defer func() {
		if undecided {
			for i := range f.files {
				f.files[i].done = true
				f.files[i].staged.Leave()
			}
		}
	}()
	err = f.opts.Save(f.r, f.staged())
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
		if name := part.FileName(); name != "" {
			err = f.file(part, name)
		} else {
			err = f.field(part)
		}
		if err != nil {
			return err
		}
	}
}

// malformed is the error of a body that could not be read on.
func (f *form) malformed(err error) error {
	switch {
	case f.sent.err != nil:
		return f.sent.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", errBody, err)
	}
	return fmt.Errorf("%w: %w", errBadForm, err)
}

// sentBody keeps why a request's body could not be read on. Who parses it may
// find fault with what came before.
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

func (f *form) field(part *multipart.Part) error {
	name := part.FormName()
	left := f.opts.MaxFieldBytes - f.fieldBytes - int64(len(name))
	value, err := io.ReadAll(io.LimitReader(part, max(left, 0)+1))
	if err != nil {
		return f.malformed(err)
	}
	if len(value) == 0 && part.Header.Get("Content-Type") != "" {
		return nil // a browser's field for a file, of which none was chosen
	}
	f.fieldBytes += int64(len(name) + len(value))
	if f.numFields++; f.numFields > f.opts.MaxFields || f.fieldBytes > f.opts.MaxFieldBytes {
		return fmt.Errorf("%w: at most %d fields of %d bytes", errTooMany, f.opts.MaxFields, f.opts.MaxFieldBytes)
	}
	f.fields.Add(name, string(value))
	return nil
}

func (f *form) file(part *multipart.Part, name string) error {
	if len(f.files) == f.opts.MaxFiles {
		return fmt.Errorf("%w: at most %d files", errTooMany, f.opts.MaxFiles)
	}
	ff := &FormFile{
		Field: part.FormName(), Filename: name, Fields: f.fields,
		Key:     blobstore.NewKey(f.opts.Prefix, name),
		Options: blobstore.UploadOptions{Filename: name, MaxSize: f.opts.MaxBytes, AllowedTypes: f.opts.AllowedTypes},
		Body:    clientBody{part},
	}
	if f.opts.Prepare != nil {
		if err := f.opts.Prepare(f.r, ff); err != nil {
			return err
		}
	}
	body := ff.Body
	var watch *watcher
	if f.opts.Progress != nil {
		watch = &watcher{r: body, tell: func(n int64, done bool) {
			f.opts.Progress(f.r, Progress{ff.Field, ff.Filename, ff.Key, n, f.r.ContentLength, done})
		}}
		body = watch
	}
	staged, err := f.uploads.store.Stage(audit.WithAttrs(f.r.Context(), ff.Attrs), ff.Key, body, &ff.Options)
	if err != nil {
		return err
	}
	f.files = append(f.files, formUpload{field: ff.Field, staged: staged})
	if watch != nil {
		watch.tell(watch.n, true)
	}
	return nil
}

func (f *form) staged() []*blobstore.Staged {
	out := make([]*blobstore.Staged, len(f.files))
	for i, file := range f.files {
		out[i] = file.staged
	}
	return out
}

func (f *form) commit() (err error) {
	for i := range f.files {
		f.files[i].done = true // whatever comes of it
		err = errors.Join(err, f.files[i].staged.Commit(f.r.Context()))
		if err != nil && f.opts.Save == nil {
			return err // the others are removed
		}
		// Where there are rows, they stand by now, and so must all files.
	}
	return err
}

// discard removes what was stored of a form that failed.
func (f *form) discard() (err error) {
	for i := range f.files {
		if !f.files[i].done {
			f.files[i].done = true
			err = errors.Join(err, f.files[i].staged.Discard(f.r.Context()))
		}
	}
	return err
}

// watcher tells how much was read.
type watcher struct {
	r       io.Reader
	n, told int64
	tell    func(n int64, done bool)
}

func (w *watcher) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if w.n-w.told >= progressStep {
		w.told = w.n
		w.tell(w.n, false)
	}
	return n, err
}
