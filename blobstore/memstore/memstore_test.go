package memstore_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
)

// Objects are kept in memory, some of them while they grow: several times the
// 32 MiB of the case about streams.
const heap = 256 << 20

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket: func(tb testing.TB) driver.Bucket {
			b, err := driver.Open(context.Background(), "mem://", driver.Credentials{})
			require.NoError(tb, err)
			return b
		},
		HeapLimit: heap,
	})
}

// One bucket for all cases, as a slow service is tested.
func TestConformanceShared(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket:    func(testing.TB) driver.Bucket { return memstore.New() },
		Shared:    true,
		HeapLimit: heap,
	})
}

// Any bucket of the Go CDK, without a provider.
func TestConformancePlain(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket: func(testing.TB) driver.Bucket {
			return driver.FromBlob(memblob.OpenBucket(nil), driver.Info{})
		},
		HeapLimit: heap,
	})
}

func TestURL(t *testing.T) {
	for _, bad := range []string{"mem://name", "mem:///path", "mem://?a=b"} {
		_, err := driver.Open(context.Background(), bad, driver.Credentials{})
		require.ErrorContains(t, err, "want only mem://", bad)
	}
	b, err := driver.Open(context.Background(), "mem:///", driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}
