package gcsstore

// Writing. What is small enough is sent by one request, whose metadata holds
// the digest; the Go CDK would allocate 16 MiB for it.

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	smallBytes = 64 << 10 // the buffer that content is first read into
	onePut     = 4 << 20  // content up to it is one request
	chunkBytes = 8 << 20  // of a resumable upload
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBytes]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([onePut]byte) }}
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// Write implements [driver.Bucket].
func (b *bucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	w := &writing{b: b, key: key, o: o, ctx: ctx, r: r}
	head, release, err := w.head()
	defer release()
	if err == nil {
		if w.end {
			err = w.once(ctx, head)
		} else {
			err = w.resumable(ctx, head)
		}
	}
	switch {
	case err == nil:
		return nil
	case w.failed != nil:
		return w.failed
	case ctx.Err() != nil:
		return provider.As(context.Cause(ctx), b.mapError(err))
	}
	return b.missing(ctx, err)
}

// writing is one write on its way.
type writing struct {
	b      *bucket
	key    string
	o      *driver.WriteOptions
	ctx    context.Context
	r      io.Reader
	end    bool
	failed error // what r failed with
	empty  progress.Count

	failures atomic.Int32 // requests that failed since content was last taken
}

// head reads what can be sent as one request: all of it if w.end is then true.
// The buffer is valid until release is called.
func (w *writing) head() (buf []byte, release func(), err error) {
	small := smallBuffers.Get().(*[smallBytes]byte)
	n, err := w.fill(small[:])
	if err != nil || w.end {
		return small[:n], func() { smallBuffers.Put(small) }, err
	}
	large := largeBuffers.Get().(*[onePut]byte)
	copy(large[:], small[:n])
	smallBuffers.Put(small)
	m, err := w.fill(large[n:])
	if err == nil && !w.end {
		// The content may end right here.
		var next [1]byte
		var k int
		if k, err = w.fill(next[:]); k > 0 {
			w.r = io.MultiReader(oneByte(next[0]), w.r)
		}
	}
	return large[:n+m], func() { largeBuffers.Put(large) }, err
}

func oneByte(c byte) io.Reader { return &byteReader{c: c} }

type byteReader struct {
	c    byte
	done bool
}

func (b *byteReader) Read(p []byte) (int, error) {
	if b.done || len(p) == 0 {
		return 0, io.EOF
	}
	p[0], b.done = b.c, true
	return 1, nil
}

// fill fills p as far as there is content.
func (w *writing) fill(p []byte) (n int, err error) {
	for n < len(p) && !w.end {
		m, err := w.Read(p[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read reads the content, and notices when the context ends.
func (w *writing) Read(p []byte) (int, error) {
	switch {
	case w.failed != nil:
		return 0, w.failed
	case w.end:
		return 0, io.EOF
	case w.ctx.Err() != nil:
		w.failed = context.Cause(w.ctx)
		return 0, w.failed
	}
	w.failures.Store(0) // what was read before has been taken
	n, err := w.r.Read(p)
	err = w.empty.Check(p, n, err)
	switch err {
	case nil:
	case io.EOF:
		w.end = true
	default:
		w.failed = err
	}
	return n, err
}

// writer returns a writer of the object.
func (w *writing) writer(ctx context.Context, meta map[string]string) *storage.Writer {
	obj := w.b.handle.Object(w.key)
	if w.o.IfNotExist {
		obj = obj.If(storage.Conditions{DoesNotExist: true})
	}
	// Writing the same object twice is the same as once: who replaced it in
	// between would have lost anyway.
	sw := obj.Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithErrorFunc(w.again)).NewWriter(ctx)
	sw.ContentType, sw.CacheControl, sw.ContentEncoding, sw.Metadata = w.o.ContentType, w.o.CacheControl, w.o.ContentEncoding, meta
	return sw
}

// again reports whether to repeat a request. The library's own limits do not
// hold for resumable uploads, which it would go on with for ever.
func (w *writing) again(err error) bool {
	return w.failures.Add(1) < attempts && storage.ShouldRetry(err)
}

// final returns the metadata with what is known only after the last byte.
func (w *writing) final() map[string]string {
	meta := maps.Clone(w.o.Metadata)
	if meta == nil {
		meta = make(map[string]string)
	}
	if w.o.Final != nil {
		maps.Copy(meta, w.o.Final())
	}
	return meta
}

// once sends content that is all in memory with one request. It repeats it by
// itself, because the library would keep a copy of the content for that.
func (w *writing) once(ctx context.Context, content []byte) error {
	meta := w.final()
	for try := 1; ; try++ {
		err := w.tryOnce(ctx, content, meta)
		if err == nil || try == attempts || ctx.Err() != nil || !storage.ShouldRetry(err) {
			return err
		}
		timer := time.NewTimer(200 * time.Millisecond << (try - 1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

func (w *writing) tryOnce(ctx context.Context, content []byte, meta map[string]string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sw := w.writer(ctx, meta)
	sw.ChunkSize = 0 // one request
	sw.CRC32C, sw.SendCRC32C = crc32.Checksum(content, castagnoli), true
	if _, err := sw.Write(content); err != nil {
		cancel(err) // so that Close gives up
		_ = sw.Close()
		return err
	}
	return sw.Close()
}

// resumable sends content of which head was read already.
func (w *writing) resumable(ctx context.Context, head []byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sw := w.writer(ctx, w.o.Metadata)
	sw.ChunkSize = chunkBytes
	sum := crc32.New(castagnoli)
	both := io.MultiWriter(sum, sw)
	_, err := both.Write(head)
	if err == nil {
		buf := smallBuffers.Get().(*[smallBytes]byte)
		_, err = io.CopyBuffer(both, struct{ io.Reader }{w}, buf[:])
		smallBuffers.Put(buf)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(err) // so that Close gives up
		_ = sw.Close()
		return err
	}
	if err := sw.Close(); err != nil {
		return err
	}
	if sw.Attrs() == nil {
		return provider.As(driver.ErrInDoubt, errors.New("the service answered an upload without the object"))
	}
	if sw.Attrs().CRC32C != sum.Sum32() {
		return w.takeBack(ctx, sw.Attrs())
	}
	return w.amend(ctx, sw.Attrs())
}

// afterwards is how long a request may take that has to follow an upload, whatever
// became of the upload's context.
const afterwards = 30 * time.Second

// takeBack removes an object whose content is not what was sent. The checksum of
// content that is not known beforehand can't be sent with it.
func (w *writing) takeBack(ctx context.Context, attrs *storage.ObjectAttrs) error {
	err := fmt.Errorf("%w: the service stored %d bytes with CRC32C %08x, which is not what was sent", driver.ErrChecksum, attrs.Size, attrs.CRC32C)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	obj := w.b.handle.Object(w.key).If(storage.Conditions{GenerationMatch: attrs.Generation})
	if deleteErr := obj.Delete(ctx); deleteErr != nil && status(deleteErr) != 404 && status(deleteErr) != 412 {
		return provider.As(driver.ErrInDoubt, fmt.Errorf("%w; and it can't be removed: %w", err, w.b.mapError(deleteErr)))
	}
	return err
}

// amend adds to the object that was just written what was not known before.
func (w *writing) amend(ctx context.Context, attrs *storage.ObjectAttrs) error {
	meta := w.final()
	if maps.Equal(meta, w.o.Metadata) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	obj := w.b.handle.Object(w.key).If(storage.Conditions{GenerationMatch: attrs.Generation, MetagenerationMatch: attrs.Metageneration})
	_, err := obj.Update(ctx, storage.ObjectAttrsToUpdate{Metadata: meta})
	if code := status(err); err == nil || code == 412 || code == 404 {
		return nil // or somebody has replaced it since
	}
	return provider.As(driver.ErrInDoubt, fmt.Errorf("the object is stored, but without its digest: %w", w.b.mapError(err)))
}
