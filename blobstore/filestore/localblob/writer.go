// This file implements writers. A writer streams into a private temporary file.
// See commit.go for the next step.

package localblob

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"gocloud.dev/blob/driver"

	"github.com/blobtrail/blobtrail/internal/progress"
)

// upload is provided to the BeforeWrite hook of Bucket.Write through its
// function as.
type upload struct {
	finish func() (map[string]string, error)
}

// tempFile is a file in the private folder. Its flock shows the sweepers of all
// processes that it is in use.
type tempFile struct {
	*os.File
	fs    *fsys
	name  string
	moved bool // it has its final name
}

func (b *bucket) createTemp() (*tempFile, error) {
	for {
		name := tempDir + "/" + rand.Text()
		f, err := b.fs.create(name, b.opts.FileMode)
		if errors.Is(err, fs.ErrNotExist) {
			if err = b.fs.makeTemp(b.opts.DirMode); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		t := &tempFile{File: f, fs: &b.fs, name: name}
		if err := flock(f, true); err != nil {
			t.discard()
			return nil, err
		}
		gone, err := removed(f)
		if err == nil && !gone {
			return t, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
		// A sweeper removed the file before it was locked.
	}
}

func (t *tempFile) Write(p []byte) (int, error) {
	if err := t.fs.before("write", t.name); err != nil {
		n, _ := t.File.Write(p[:len(p)/2])
		return n, err
	}
	return t.File.Write(p)
}

// discard closes the file. If the file does not have its final name, discard
// removes it.
func (t *tempFile) discard() {
	if t == nil {
		return
	}
	if !t.moved {
		_ = t.fs.remove(t.name) // if this fails, a sweep removes it
	}
	t.File.Close()
}

type writer struct {
	ctx        context.Context
	b          *bucket
	key, name  string
	ifNotExist bool
	upload     upload
	rec        record
	temp       *tempFile
	md5        hash.Hash // nil if disabled
	err        error     // first error; afterwards nothing is stored
	closed     bool
}

// NewTypedWriter implements driver.Bucket.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	w, err := b.newWriter(ctx, key, record{
		CacheControl:       opts.CacheControl,
		ContentDisposition: opts.ContentDisposition,
		ContentEncoding:    opts.ContentEncoding,
		ContentLanguage:    opts.ContentLanguage,
		ContentType:        contentType,
		Metadata:           opts.Metadata,
	}, opts)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (b *bucket) newWriter(ctx context.Context, key string, rec record, opts *driver.WriterOptions) (*writer, error) {
	name, err := fileName(key, true)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.fs.present(); err != nil {
		return nil, err
	}
	temp, err := b.createTemp()
	if err != nil {
		return nil, keyError("create", key, err)
	}
	w := &writer{ctx: ctx, b: b, key: key, name: name, ifNotExist: opts.IfNotExist, rec: rec.clone(), temp: temp}
	if b.opts.MD5 {
		w.md5 = md5.New()
	}
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(w.as); err != nil {
			temp.discard()
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) as(i any) bool {
	p, ok := i.(**upload)
	if ok {
		*p = &w.upload
	}
	return ok
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.temp.Write(p)
	if w.md5 != nil {
		w.md5.Write(p[:n])
	}
	w.err = keyError("write", w.key, err)
	return n, w.err
}

const (
	copyBuffer = 128 << 10 // in bytes; the memory of one streaming upload
	copyChunk  = 8 << 20   // bytes copied inside the kernel between two checks of the context
)

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Upload implements driver.Uploader. If the reader fails, Close stores nothing
// and returns the error. Upload does not return it, because the Go CDK adds
// code and key only to an error of Close.
func (w *writer) Upload(r io.Reader) error {
	if f, ok := r.(*os.File); ok && w.md5 == nil && w.b.fs.step == nil {
		w.copyFile(f)
		return nil
	}
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	var empty progress.Count
	for w.err == nil {
		n, err := r.Read(buf[:])
		err = empty.Check(buf[:], n, err)
		if n > 0 {
			_, _ = w.Write(buf[:n]) // w.err has the error
		}
		if err == io.EOF {
			break
		}
		if err != nil && w.err == nil {
			w.err = err
		}
	}
	return nil
}

// copyFile uses the kernel to copy, if possible.
func (w *writer) copyFile(f *os.File) {
	for w.err == nil {
		if w.err = w.ctx.Err(); w.err != nil {
			return
		}
		n, err := w.temp.File.ReadFrom(&io.LimitedReader{R: f, N: copyChunk})
		w.err = keyError("write", w.key, err)
		if n == 0 {
			return
		}
	}
}

// Close makes the object visible and durable. If it returns an error other than
// ErrNotSynced, it leaves nothing behind.
func (w *writer) Close() error {
	if w.closed {
		return keyError("close", w.key, fs.ErrClosed)
	}
	w.closed = true
	defer w.temp.discard()
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err == nil {
		w.err = w.b.explain("write", w.key, w.name, w.commit())
	}
	return w.err
}

// finish adds the values known only at the end to the record.
func (w *writer) finish() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.md5 != nil {
		w.rec.MD5 = w.md5.Sum(nil)
	}
	if w.upload.finish == nil {
		return nil
	}
	metadata, err := w.upload.finish()
	if err != nil {
		return err
	}
	if w.rec.Metadata == nil && len(metadata) > 0 {
		w.rec.Metadata = make(map[string]string, len(metadata))
	}
	for k, v := range metadata {
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("localblob: invalid metadata %q from final: want a name that is not empty, and valid UTF-8", k)
		}
		w.rec.Metadata[strings.ToLower(k)] = v
	}
	return nil
}
