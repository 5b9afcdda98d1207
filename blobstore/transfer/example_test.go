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

func ExampleCopy() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "operator"})
	var trail audit.Memory
	src, err := blobstore.Open(ctx, "mem://", &trail, nil)
	if err != nil {
		panic(err)
	}
	defer src.Close(context.Background())
	dst, err := blobstore.Open(ctx, "mem://", &trail, nil)
	if err != nil {
		panic(err)
	}
	defer dst.Close(context.Background())
	for _, month := range []string{"march", "april"} {
		if _, err := src.Upload(ctx, "invoices/"+month+".txt", strings.NewReader(month), nil); err != nil {
			panic(err)
		}
	}
	for range 2 { // the second call finds that nothing is left to do
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
