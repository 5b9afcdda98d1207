// This file implements Adopt, which gives an object another key without writing
// its content again.

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

// Adopt creates the object dst with the content of one version of src. It does
// not write the content again: dst becomes a second name of the same file. dst
// gets contentType and metadata, with names in lowercase, and no attributes of
// src.
//
// If the ETag of src is not etag, the error is ErrReplaced. Adopt never
// replaces an object: if dst exists, the error is that of a create-only writer.
// Errors match with errors.Is.
//
// A nil error means that dst is as durable as after a write. src remains, but
// its ETag may change. The caller should delete src afterwards.
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
	// The lock ensures that only one call at a time changes the modification
	// time of the shared file, and only if dst does not exist.
	if _, err := w.present(); err != nil {
		return err
	}
	if err := w.share(src, from, etag); err != nil {
		return err
	}
	defer w.temp.discard()
	return w.adopt()
}

// share links the version of src with the given ETag into the temporary folder.
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
	// Lock the file before it is linked there, so that no sweep removes it.
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
	// The name may refer to another file since the file was opened.
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

// adopt gives the shared file its final name and its attributes. The key must
// be locked.
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
