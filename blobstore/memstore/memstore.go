// Package memstore is the provider of mem:// URLs. It stores objects in memory,
// for tests and experiments. Each call of Open creates a separate, empty
// bucket. Closing the bucket discards its objects. Memory use grows with the
// stored objects, unlike on any other backend.
//
// The URL mem:// takes no name and no parameters.
//
// Import the package for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/memstore"
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"sync"

	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func init() {
	driver.Register("mem", func(_ context.Context, u *url.URL, _ driver.Credentials) (driver.Bucket, error) {
		if u.Host != "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
			return nil, fmt.Errorf("invalid mem:// URL: want only mem://, without a name or parameters")
		}
		return New(), nil
	})
}

// New returns an empty bucket.
func New() driver.Bucket {
	return &bucket{Bucket: driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "mem", Capabilities: driver.Capabilities{
		ExactCreate: true, ExactDelete: true, AtomicReplace: true, KeepsSHA256: true,
	}})}
}

type bucket struct {
	driver.Bucket
	mu sync.Mutex // held while an object is stored or removed
}

// Write implements [driver.Bucket]. It reads all content before it stores the
// object, because the digest is part of the metadata.
func (b *bucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	content, err := io.ReadAll(provider.ContextReader(ctx, r))
	if err != nil {
		return err
	}
	with := *o
	with.Metadata = provider.WithFinal(o.Metadata, o.Final)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Bucket.Write(ctx, key, bytes.NewReader(content), &with)
}

// Delete implements [driver.Bucket].
func (b *bucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Bucket.Delete(ctx, key, o)
}

// Copy implements [driver.Bucket].
func (b *bucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	return driver.CopyThrough(ctx, b, dst, src, o)
}
