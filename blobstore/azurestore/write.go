package azurestore

// This file implements writes. The writer of the Go CDK panics on nearly every
// failed write, and allocates 40 MiB. This code fills and sends one block at a
// time.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	blockBytes    = 4 << 20
	maxBlockBytes = 8 << 20
	maxBlocks     = 50_000
	growAfter     = 25_000 // number of blocks before larger ones are used, if the size is unknown
)

// Write implements [driver.Bucket].
func (b *bucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	size := int64(blockBytes)
	if o.Size > blockBytes*maxBlocks {
		if size = maxBlockBytes; o.Size > maxBlockBytes*maxBlocks {
			return fmt.Errorf("%w: %d bytes: at most %d", driver.ErrTooLarge, o.Size, int64(maxBlockBytes)*maxBlocks)
		}
	}
	w := &writing{b: b, blob: b.container.NewBlockBlobClient(escapeKey(key)), o: o, src: provider.NewSource(ctx, r)}
	pooled := provider.BlockBuffers.Get()
	defer provider.BlockBuffers.Put(pooled)
	buf := *pooled
	if size > blockBytes {
		buf = make([]byte, size)
	}
	if err := w.send(ctx, buf); err != nil {
		if w.src.Err() != nil {
			return w.src.Err()
		}
		return w.explain(ctx, key, err)
	}
	return nil
}

// writing is the state of one write.
type writing struct {
	b    *bucket
	blob *blockblob.Client
	o    *driver.WriteOptions
	src  *provider.Source
	ids  []string
}

// send reads and sends all content.
func (w *writing) send(ctx context.Context, buf []byte) error {
	n, err := w.src.Fill(buf)
	if err != nil {
		return err
	}
	if w.src.Ended() {
		headers, meta := w.headers()
		_, err := w.blob.Upload(ctx, body(buf[:n]), &blockblob.UploadOptions{HTTPHeaders: headers, Metadata: meta, AccessConditions: w.conditions()})
		if err == nil || n == 0 || !w.o.IfNotExist || !errors.Is(w.b.mapError(err), fs.ErrExist) {
			return err
		}
		if _, headErr := w.blob.GetProperties(ctx, nil); !errors.Is(w.b.mapError(headErr), fs.ErrNotExist) {
			return err
		}
		// Blocks of a failed upload exist under this key, and some services
		// then report that the key exists. Committing a list of blocks works in
		// this case.
		id := newBlockName().id(0)
		if _, err := w.blob.StageBlock(ctx, id, body(buf[:n]), nil); err != nil {
			return err
		}
		_, err = w.blob.CommitBlockList(ctx, []string{id}, &blockblob.CommitBlockListOptions{HTTPHeaders: headers, Metadata: meta, AccessConditions: w.conditions()})
		return err
	}
	name := newBlockName()
	for n > 0 {
		if len(w.ids) == maxBlocks {
			return fmt.Errorf("%w: content exceeds the %d blocks of an upload of unknown size", driver.ErrTooLarge, maxBlocks)
		}
		id := name.id(len(w.ids))
		if _, err := w.blob.StageBlock(ctx, id, body(buf[:n]), nil); err != nil {
			return err
		}
		w.ids = append(w.ids, id)
		if len(w.ids) == growAfter && w.o.Size < 0 {
			buf = make([]byte, maxBlockBytes)
		}
		if n, err = w.src.Fill(buf); err != nil {
			return err
		}
	}
	headers, meta := w.headers()
	_, err = w.blob.CommitBlockList(ctx, w.ids, &blockblob.CommitBlockListOptions{HTTPHeaders: headers, Metadata: meta, AccessConditions: w.conditions()})
	return err
}

// blockName is the prefix of the block names of one write. It differs from that
// of any other write of the key.
type blockName [16]byte

func newBlockName() (n blockName) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}

func (n blockName) id(number int) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(n[:], uint32(number)))
}

func body(p []byte) io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader(p)) }

// headers returns the headers and metadata to store. Call it once, after the
// last byte has been read.
func (w *writing) headers() (*blob.HTTPHeaders, map[string]*string) {
	meta := provider.WithFinal(w.o.Metadata, w.o.Final)
	return &blob.HTTPHeaders{BlobContentType: &w.o.ContentType, BlobCacheControl: &w.o.CacheControl, BlobContentEncoding: &w.o.ContentEncoding}, encodeMetadata(meta)
}

func (w *writing) conditions() *blob.AccessConditions {
	if !w.o.IfNotExist {
		return nil
	}
	return ifAbsent()
}

func ifAbsent() *blob.AccessConditions {
	anything := azcore.ETagAny
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &anything}}
}

// explain converts an error of the service to the contract.
func (w *writing) explain(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return provider.As(context.Cause(ctx), w.b.mapError(err))
	}
	if bloberror.HasCode(err, bloberror.InvalidBlockList) {
		// Another upload of this key was committed, and the service discarded
		// all uncommitted blocks.
		err = fmt.Errorf("another upload of this key finished first: %w", w.b.mapError(err))
		if w.o.IfNotExist {
			if _, headErr := w.b.Blob().Attributes(ctx, key); headErr == nil {
				return provider.As(fs.ErrExist, err)
			}
		}
		return err
	}
	return w.b.missing(ctx, err)
}
