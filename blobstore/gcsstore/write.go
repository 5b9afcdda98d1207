package gcsstore

// This file implements writes. Small content is sent in one request, with its
// digest in the metadata. The Go CDK would allocate 16 MiB for it.

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	chunkBytes = 8 << 20 // of a resumable upload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Write implements [driver.Bucket].
func (b *bucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	w := &writing{b: b, key: key, o: o, src: provider.NewSource(ctx, r)}
	// Content that fits into a buffer needs one request.
	head, release, whole, err := w.src.Head(provider.SmallBuffers, provider.BlockBuffers)
	defer release()
	if err == nil {
		if whole {
			err = w.once(ctx, head)
		} else {
			err = w.resumable(ctx, head)
		}
	}
	switch {
	case err == nil:
		return nil
	case w.src.Err() != nil:
		return w.src.Err()
	case ctx.Err() != nil:
		return provider.As(context.Cause(ctx), b.mapError(err))
	}
	return b.missing(ctx, err)
}

// writing is the state of one write.
type writing struct {
	b   *bucket
	key string
	o   *driver.WriteOptions
	src *provider.Source

	failures atomic.Int32 // consecutive failed requests, since content was last accepted
}

// Read implements [io.Reader] for the content.
func (w *writing) Read(p []byte) (int, error) {
	w.failures.Store(0) // the service accepted all earlier content
	return w.src.Read(p)
}

// writer returns a writer for the object.
func (w *writing) writer(ctx context.Context, meta map[string]string) *storage.Writer {
	obj := w.b.handle.Object(w.key)
	if w.o.IfNotExist {
		obj = obj.If(storage.Conditions{DoesNotExist: true})
	}
	// A repeated write has the same effect as a single one. Any object written
	// in between would have been replaced anyway.
	sw := obj.Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithErrorFunc(w.again)).NewWriter(ctx)
	sw.ContentType, sw.CacheControl, sw.ContentEncoding, sw.Metadata = w.o.ContentType, w.o.CacheControl, w.o.ContentEncoding, meta
	return sw
}

// again reports whether to repeat a request. It is necessary because the
// library's limits do not apply to resumable uploads, and it would repeat those
// forever.
func (w *writing) again(err error) bool {
	return w.failures.Add(1) < cloud.Attempts && storage.ShouldRetry(err)
}

// final returns the metadata, including the values known only after the last
// byte.
func (w *writing) final() map[string]string {
	return provider.WithFinal(w.o.Metadata, w.o.Final)
}

// once sends content in one request. It implements repetitions, because the
// library would need a copy of the content for them.
func (w *writing) once(ctx context.Context, content []byte) error {
	meta := w.final()
	for try := 1; ; try++ {
		err := w.tryOnce(ctx, content, meta)
		if err == nil || try == cloud.Attempts || ctx.Err() != nil || !storage.ShouldRetry(err) {
			return err
		}
		timer := time.NewTimer(cloud.RetryDelay << (try - 1))
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
		cancel(err) // makes Close abandon the upload
		_ = sw.Close()
		return err
	}
	return sw.Close()
}

// resumable sends content in chunks. head is the beginning of the content.
func (w *writing) resumable(ctx context.Context, head []byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sw := w.writer(ctx, w.o.Metadata)
	sw.ChunkSize = chunkBytes
	sum := crc32.New(castagnoli)
	both := io.MultiWriter(sum, sw)
	_, err := both.Write(head)
	if err == nil {
		_, err = provider.CopyBy(provider.SmallBuffers, both, w)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(err) // makes Close abandon the upload
		_ = sw.Close()
		return err
	}
	if err := sw.Close(); err != nil {
		return err
	}
	if sw.Attrs() == nil {
		return provider.As(driver.ErrInDoubt, errors.New("the response to the upload does not describe the object"))
	}
	if sw.Attrs().CRC32C != sum.Sum32() {
		return w.takeBack(ctx, sw.Attrs())
	}
	return w.amend(ctx, sw.Attrs())
}

// afterwards limits a request that must follow an upload even if the context of
// the upload has ended.
const afterwards = 30 * time.Second

// takeBack removes an object whose content differs from the sent content. The
// checksum of such an upload is known only at the end, so the service cannot
// check it.
func (w *writing) takeBack(ctx context.Context, attrs *storage.ObjectAttrs) error {
	err := fmt.Errorf("%w: the service stored %d bytes with CRC32C %08x, which differs from the sent content", driver.ErrChecksum, attrs.Size, attrs.CRC32C)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	obj := w.b.handle.Object(w.key).If(storage.Conditions{GenerationMatch: attrs.Generation})
	if deleteErr := obj.Delete(ctx); deleteErr != nil && status(deleteErr) != 404 && status(deleteErr) != 412 {
		return provider.As(driver.ErrInDoubt, fmt.Errorf("%w; removing the object failed: %w", err, w.b.mapError(deleteErr)))
	}
	return err
}

// amend adds the metadata known only at the end to the new object.
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
		return nil // or the object was replaced concurrently
	}
	return provider.As(driver.ErrInDoubt, fmt.Errorf("the object is stored, but without its digest: %w", w.b.mapError(err)))
}
