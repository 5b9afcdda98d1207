package storetest_test

import (
	"testing"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
	"github.com/blobtrail/blobtrail/signurl"
)

// The test of a provider, here of memstore.
func ExampleRun() {
	TestConformance := func(t *testing.T) {
		storetest.Run(t, storetest.Harness{
			Bucket:    func(testing.TB) driver.Bucket { return memstore.New() },
			HeapLimit: 200 << 20, // the objects are in memory
		})
	}
	_ = TestConformance
	// Output:
}

// The test of an implementation of signurl.Grants.
func ExampleRunGrants() {
	TestGrants := func(t *testing.T) {
		shared := new(signurl.MemoryGrants)
		storetest.RunGrants(t, func(testing.TB) signurl.Grants { return shared })
	}
	_ = TestGrants
	// Output:
}
