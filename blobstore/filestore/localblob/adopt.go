// Adopting: an object gets another key without its content being written again.

package localblob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"time"
)

// Adopt makes an object dst of the content of the version of src that has this ETag; if src has another one, the error is
// ErrReplaced. The content is not written again: dst is another name of the same file. dst gets the content type and the
// metadata, with names in lower case, and no attribute of src. Adopt never replaces an object: if dst exists, the error
// is that of a create-only writer. A nil error means that dst is as durable as after a write. src stays, but its ETag may
// change, and is to be deleted afterwards. The errors work with errors.Is.
func (bk *Bucket) Adopt(ctx context.Context, dst, src, etag, contentType string, metadata map[string]string) error {
	b := bk.b
	to, err := fileName(dst, true)
	if err != nil {
		return err
	}
	from, err := fileName(src, false)
	if err != nil {
		return err
	}
	rec := record{ContentType: contentType, Metadata: maps.Clone(metadata)}
	w := &writer{ctx: ctx, b: b, key: dst, name: to, ifNotExist: true, rec: rec}
	unlock, err := b.lock(ctx, to)
	if err != nil {
		return keyError("write", dst, err)
	}
	defer unlock()
	// Under the lock only one call at a time changes the time of the shared file, and none does when dst exists.
	if _, err := w.present(); err != nil {
		return err
	}
	if err := w.share(src, from, etag); err != nil {
		return err
	}
	defer w.temp.discard()
	return w.adopt()
}

// share gives the version of src that has this ETag a second name among the temporary files.
func (w *writer) share(src, from, etag string) error {
	b := w.b
	f, err := b.fs.root.OpenFile(from, openFlags|os.O_RDWR, 0)
	if err != nil {
		return keyError("open", src, err)
	}
	fail := func(err error) error {
		f.Close()
		return keyError("write", w.key, err)
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
		return fail(err)
	case !fi.Mode().IsRegular():
		return fail(fs.ErrNotExist)
	case tagOf(fi).etag() != etag:
		f.Close()
		return ErrReplaced
	}
	if s, err := b.readSidecar(from); err == nil && b.opts.MD5 {
		if r, exact := s.pick(tagOf(fi)); exact {
			w.rec.MD5 = r.MD5
		}
	}
	// It is locked before it has its name there, so that no sweep takes it.
	if err := flock(f, true); err != nil {
		return fail(err)
	}
	t := &tempFile{File: f, fs: &b.fs, name: tempDir + "/" + rand.Text()}
	err = b.fs.link(from, t.name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = b.fs.makeTemp(b.opts.DirMode); err == nil {
			err = b.fs.link(from, t.name)
		}
	}
	if err != nil {
		return fail(err)
	}
	// The name may have passed to another file since it was opened.
	switch linked, err := b.fs.root.Lstat(t.name); {
	case err != nil:
		t.discard()
		return keyError("write", w.key, err)
	case !os.SameFile(linked, fi):
		t.discard()
		return ErrReplaced
	}
	w.temp = t
	return nil
}

// adopt gives the shared file its final name, with its attributes; the key is locked.
func (w *writer) adopt() error {
	if err := w.b.fs.chtimes(w.temp.name, time.Now()); err != nil {
		return keyError("write", w.key, err)
	}
	p, err := w.prepare()
	if err != nil {
		return err
	}
	defer p.discard()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.install(p); err != nil {
		return err
	}
	if err := w.b.fs.syncDir(path.Dir(w.name)); err != nil {
		err = keyError("write", w.key, err)
		if w.takeBack(p) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrNotSynced, err)
	}
	return nil
}
