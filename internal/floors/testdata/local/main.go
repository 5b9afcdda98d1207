// A program with the whole local set-up: store, local files, the journal and
// SQLite. Only its size matters.
package main

import (
	"context"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

func main() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "size"})
	journal, err := sqlaudit.Open(ctx, "sqlite:trail.db", nil)
	if err != nil {
		panic(err)
	}
	store, err := blobstore.Open(ctx, "local://./files?create=true", journal, nil)
	if err != nil {
		panic(err)
	}
	if _, err := store.Upload(ctx, "a", strings.NewReader("a"), nil); err != nil {
		panic(err)
	}
}
