// Package weigh is the shared code of the programs below internal/bench/size,
// which only serve to measure their size. It stores a file and records it.
package weigh

import (
	"context"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// Run stores one file. The program imports the provider and the SQL driver.
func Run(ctx context.Context) error {
	trail, err := sqlaudit.Open(ctx, "sqlite:weight.db", nil)
	if err != nil {
		return err
	}
	defer trail.Close(ctx) //nolint:errcheck // never runs
	store, err := blobstore.Open(ctx, "local://./weight?create=true", trail,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "weight"}})
	if err != nil {
		return err
	}
	defer store.Close(ctx) //nolint:errcheck // never runs
	_, err = store.Upload(ctx, "a", strings.NewReader("a"), nil)
	return err
}
