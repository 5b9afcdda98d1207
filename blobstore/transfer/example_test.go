package transfer_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/transfer"
)

// openBoth opens two stores in memory. The source has two objects.
func openBoth(ctx context.Context) (dst, src *blobstore.Store) {
	var stores [2]*blobstore.Store
	for i := range stores {
		var err error
		if stores[i], err = blobstore.Open(ctx, "mem://", new(audit.Memory), nil); err != nil {
			panic(err)
		}
	}
	dst, src = stores[0], stores[1]
	for _, month := range []string{"march", "april"} {
		if _, err := src.Upload(ctx, "invoices/"+month+".txt", strings.NewReader(month), nil); err != nil {
			panic(err)
		}
	}
	return dst, src
}

// Copy objects from one store to another. A repeated call copies only the
// objects still missing.
func ExampleCopy() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "operator"})
	dst, src := openBoth(ctx)
	defer src.Close(ctx)
	defer dst.Close(ctx)

	for range 2 {
		report, err := transfer.Copy(ctx, dst, src, &transfer.Options{Prefix: "invoices/"})
		if err != nil {
			panic(err)
		}
		fmt.Println(report.Copied, "copied,", report.Present, "there already")
	}
	// Output:
	// 2 copied, 0 there already
	// 0 copied, 2 there already
}

// Change the keys, and report the objects without copying them.
func ExampleCopy_dryRun() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "operator"})
	dst, src := openBoth(ctx)
	defer src.Close(ctx)
	defer dst.Close(ctx)

	_, err := transfer.Copy(ctx, dst, src, &transfer.Options{
		DryRun:   true,
		Parallel: 1,
		Key: func(source string) (string, bool) {
			return "archive/" + source, source != "invoices/march.txt"
		},
		Each: func(r transfer.Result) { fmt.Println(r.Source, r.Status, r.Key) },
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// invoices/april.txt copied archive/invoices/april.txt
	// invoices/march.txt skipped archive/invoices/march.txt
}

// Count the objects to copy, for example to show progress.
func ExampleCount() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "operator"})
	dst, src := openBoth(ctx)
	defer src.Close(ctx)
	defer dst.Close(ctx)

	objects, bytes, err := transfer.Count(ctx, src, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(objects, "objects,", bytes, "bytes")
	// Output:
	// 2 objects, 10 bytes
}
