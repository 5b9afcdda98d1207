// A program that stores local files. It exists to be weighed.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	store, err := blobstore.Open(ctx, "local://./weight?create=true", audit.Discard,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "weight"}})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it is never run
	_, err = store.Upload(ctx, "a", strings.NewReader("a"), nil)
	return err
}
