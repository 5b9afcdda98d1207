package storetest_test

// A provider that is written as one outside this module, with exported names only.
// docs/writing-a-provider.md shows the same steps.

import (
	"context"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
	"github.com/blobtrail/blobtrail/secret"
)

// outside embeds the bucket of any Go CDK bucket and overrides Write.
type outside struct {
	driver.Bucket
	writes, prechecks atomic.Int32
}

var opened atomic.Pointer[outside]

func init() {
	driver.Register("outside", func(_ context.Context, u *url.URL, _ driver.Credentials) (driver.Bucket, error) {
		opened.Store(&outside{Bucket: driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "outside", Bucket: u.Host})})
		return opened.Load(), nil
	}, "SecretKey")
}

func (b *outside) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	b.writes.Add(1)
	return b.Bucket.Write(ctx, key, r, o)
}

func (b *outside) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	return driver.CopyThrough(ctx, b, dst, src, o)
}

// Precheck is an optional method.
func (b *outside) Precheck(context.Context, string) error {
	b.prechecks.Add(1)
	return nil
}

func TestProviderOutsideTheModule(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket: func(tb testing.TB) driver.Bucket {
			b, err := driver.Open(context.Background(), "outside://files", driver.Credentials{SecretKey: secret.New("s")})
			require.NoError(tb, err)
			return b
		},
		HeapLimit: 256 << 20, // memblob keeps objects in memory
	})
}

// The store uses the methods that the provider overrides or adds.
func TestProviderOutsideTheModuleIsAsked(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	store, err := blobstore.Open(ctx, "outside://files", audit.Discard, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close(context.Background())) }()
	_, err = store.Upload(ctx, "a", strings.NewReader("content"), nil)
	require.NoError(t, err)
	err = store.Copy(ctx, "b", "a", nil)
	require.NoError(t, err)
	assert.EqualValues(t, 2, opened.Load().writes.Load(), "an upload and a copy")
	assert.EqualValues(t, 2, opened.Load().prechecks.Load())
	assert.Equal(t, "outside", store.Info().Backend)
}
