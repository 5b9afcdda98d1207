// Package storetest checks that a provider keeps the contract of
// blobstore.Store: the same keys, errors, constraints, results and records on
// every backend. Whoever writes a provider runs it from a test of their own:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Bucket: func(tb testing.TB) driver.Bucket { return openEmptyBucket(tb) },
//		})
//	}
//
// Every case is a clause of the contract, named as a MUST. A case is skipped
// only where [driver.Capabilities] says that the backend cannot do it, and the
// message names the capability. [RunGrants] does the same for an implementation
// of signurl.Grants.
//
// The package imports testing and testify: import it from tests only.
package storetest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// Harness is what the suite needs to know of a backend.
type Harness struct {
	// Bucket opens a bucket: an empty one for each case, or, if Shared, one for
	// the whole run. The suite closes it.
	Bucket func(tb testing.TB) driver.Bucket

	// Shared runs all cases in one bucket, each below a prefix of its own that
	// it leaves full, for backends where opening is slow. Whatever else is in
	// the bucket is left alone.
	Shared bool

	// Store makes the store of a bucket that a case runs on; nil means
	// blobstore.New. Closing the store may close the bucket.
	Store func(b driver.Bucket, journal audit.Journal, opts *blobstore.Options) (*blobstore.Store, error)

	// Residue names what is left below a prefix of keys beside the objects and
	// what belongs to them, such as temporary files or unfinished multipart
	// uploads. It is asked after every case, when nothing runs any more, and
	// MUST then find nothing. Nil: nothing can be left.
	Residue func(tb testing.TB, b driver.Bucket, prefix string) []string

	// HeapLimit is by how many bytes the heap may grow while 32 MiB are
	// streamed in and out again. 0: 24 MiB. Only a backend that keeps its objects
	// in memory needs more than the object's size.
	HeapLimit int64

	// Client fetches the links that the service signs; nil means
	// http.DefaultClient.
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
