package integration

// The one contract, on every backend.

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
)

// local are the backends that need no server.
var local = []backend{
	{name: "mem", open: func(testing.TB) driver.Bucket { return memstore.New() }},
	{name: "file", open: func(t testing.TB) driver.Bucket { return openURL(t, "file://"+t.TempDir()) }},
	{name: "local", open: func(t testing.TB) driver.Bucket { return openURL(t, "local://"+t.TempDir()) }},
}

func openURL(t testing.TB, u string) driver.Bucket {
	t.Helper()
	b, err := driver.Open(t.Context(), u)
	require.NoError(t, err)
	return b
}

func TestContract(t *testing.T) {
	table := newTable("storetest", "keeps the contract")
	for _, be := range append(append([]backend(nil), local...), backends...) {
		t.Run(be.name, func(t *testing.T) {
			top := t.Name() + "/"
			limit := int64(0)
			if be.name == "mem" {
				limit = 256 << 20
			}
			if be.name == "azure/azurite" || be.name == "gcs/fake+gate" {
				limit = 0
			}
			storetest.Run(t, storetest.Harness{
				Bucket: func(tb testing.TB) driver.Bucket {
					tb.Cleanup(func() { table.result(strings.TrimPrefix(tb.Name(), top), be.name, tb) })
					return be.open(tb)
				},
				Residue:   func(tb testing.TB, b driver.Bucket, _ string) []string { return be.left(tb, b) },
				HeapLimit: limit,
			})
		})
	}
	table.print(t)
}
