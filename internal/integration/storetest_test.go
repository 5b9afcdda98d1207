package integration

// This file runs the conformance suite on every backend.

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
)

// local lists the backends without a server.
var local = []backend{
	{name: "mem", open: func(testing.TB) driver.Bucket { return memstore.New() }},
	{name: "file", open: func(t testing.TB) driver.Bucket { return openURL(t, "file://"+t.TempDir()) }},
	{name: "local", open: func(t testing.TB) driver.Bucket { return openURL(t, "local://"+t.TempDir()) }},
}

func openURL(t testing.TB, u string) driver.Bucket {
	t.Helper()
	b, err := driver.Open(t.Context(), u, driver.Credentials{})
	require.NoError(t, err)
	return b
}

// exceptions lists cases that fail because of a server, not its provider, by
// the server and the end of the case's name, with the reason.
var exceptions = map[string]map[string]string{
	"s3/minio": {
		"key/an_object_below_another_MUST_either_work_or_be_refused_without_harm": "MinIO takes a/b beside a, but does not list it",
		"key/an_object_above_another_MUST_either_work_or_be_refused_without_harm": "MinIO takes a beside a/b, but does not list that",
	},
}

func TestContract(t *testing.T) {
	table := newTable("storetest", "keeps the contract")
	for _, be := range append(append([]backend(nil), local...), backends...) {
		t.Run(be.name, func(t *testing.T) {
			top := t.Name() + "/"
			limit := int64(0)
			if be.name == "mem" || be.name == "gcs/fake+gate" {
				limit = 512 << 20 // the objects are in the memory of this process
			}
			storetest.Run(t, storetest.Harness{
				Bucket: func(tb testing.TB) driver.Bucket {
					tb.Cleanup(func() { table.result(strings.TrimPrefix(tb.Name(), top), be.name, tb) })
					if why := exceptions[be.name][strings.TrimPrefix(tb.Name(), top)]; why != "" {
						tb.Skip(why)
					}
					return be.open(tb)
				},
				Residue:   func(tb testing.TB, b driver.Bucket, _ string) []string { return be.left(tb, b) },
				HeapLimit: limit,
			})
		})
	}
	table.print(t)
}
