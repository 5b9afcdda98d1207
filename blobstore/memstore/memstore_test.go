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

// Objects are stored in memory, and some are copied while they grow. This needs
// several times the 32 MiB of the streaming test.
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

// Use one bucket for all cases, like tests of a slow service.
func TestConformanceShared(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Bucket:    func(testing.TB) driver.Bucket { return memstore.New() },
		Shared:    true,
		HeapLimit: heap,
	})
}

// Test a bucket of the Go CDK without a provider.
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
