// Package storetest checks that a provider fulfills the contract of
// blobstore.Store: the same keys, errors, constraints, results and records on
// every backend. Authors of a provider run it from a test:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Bucket: func(tb testing.TB) driver.Bucket { return openEmptyBucket(tb) },
//		})
//	}
//
// Every case is a clause of the contract, named as a MUST. A case is skipped
// only if the backend cannot support it according to [driver.Capabilities]. The
// message then names the capability. [RunGrants] checks an implementation of
// signurl.Grants in the same way.
//
// The package imports testing and testify, so import it only from tests.
package storetest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// Harness describes a backend to the suite.
type Harness struct {
	// Bucket opens a bucket. If Shared is set, it is called once. Otherwise, it
	// is called for each case and must return an empty bucket. The suite closes
	// the bucket.
	Bucket func(tb testing.TB) driver.Bucket

	// Shared runs all cases in one bucket, each below a different prefix. Set
	// it for backends with slow opening. The cases do not remove their objects
	// and ignore all other content of the bucket.
	Shared bool

	// Store creates the store for a bucket. Closing the store may close the
	// bucket. If nil, blobstore.New is used.
	Store func(b driver.Bucket, journal audit.Journal, opts *blobstore.Options) (*blobstore.Store, error)

	// Residue returns the names of leftovers below a prefix of keys, such as
	// temporary files or unfinished multipart uploads, but not the objects and
	// their attributes. The suite calls it after every case, when no operation
	// is running, and it MUST return none. Leave it nil if the backend cannot
	// have leftovers.
	Residue func(tb testing.TB, b driver.Bucket, prefix string) []string

	// HeapLimit bounds the growth of the heap, in bytes, while 32 MiB are
	// uploaded and downloaded. Zero means 24 MiB. Only a backend with objects
	// in memory needs more than the size of the object.
	HeapLimit int64

	// Client fetches the links signed by the service. If nil,
	// http.DefaultClient is used.
	Client *http.Client
}

// Run runs every case as a subtest, one after the other.
func Run(t *testing.T, h Harness) {
	t.Helper()
	var shared driver.Bucket
	if h.Shared {
		shared = h.Bucket(t)
		t.Cleanup(func() {
			if err := shared.Close(); err != nil {
				t.Errorf("closing the bucket: %v", err)
			}
		})
	}
	for _, g := range allCases() {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.on(t, h, shared) })
			}
		})
	}
}

type group struct {
	name  string
	cases []testCase
}

type testCase struct {
	name string
	run  func(e *env)
}

func allCases() []group {
	return []group{
		{"upload", uploadCases()},
		{"failed upload", failedUploadCases()},
		{"download", downloadCases()},
		{"list", listCases()},
		{"view", viewCases()},
		{"copy", copyCases()},
		{"delete", deleteCases()},
		{"key", keyCases()},
		{"link", linkCases()},
		{"ticket", ticketCases()},
		{"trail", trailCases()},
		{"broken trail", brokenTrailCases()},
		{"reconcile", reconcileCases()},
		{"check", checkCases()},
		{"store", slices.Concat(storeCases(), crowdCases())},
	}
}
