// A program that stores local files and keeps its trail in SQLite. It exists to be weighed.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
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
	trail, err := sqlaudit.Open(ctx, "sqlite:weight.db", nil)
	if err != nil {
		return err
	}
	defer trail.Close(ctx) //nolint:errcheck // it is never run
	store, err := blobstore.Open(ctx, "local://./weight?create=true", trail,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "weight"}})
	if err != nil {
		return err
	}
	defer store.Close(ctx) //nolint:errcheck // it is never run
	_, err = store.Upload(ctx, "a", strings.NewReader("a"), nil)
	return err
}
