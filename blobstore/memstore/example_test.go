package memstore_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

// This example opens a store in memory, with a trail in memory, as a test would.
func ExampleNew() {
	trail := new(audit.Memory)
	store, err := blobstore.New(memstore.New(), trail, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	defer store.Close(ctx)

	if _, err := store.Upload(ctx, "invoices/march.txt", strings.NewReader("paid"), nil); err != nil {
		log.Fatal(err)
	}
	for obj, err := range store.List(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(obj.Key, obj.Size)
	}
	// Output: invoices/march.txt 4
}
