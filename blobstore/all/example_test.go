package all_test

import (
	"context"
	"fmt"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
)

// The URL selects one of the imported providers.
func Example() {
	ctx := context.Background()
	store, err := blobstore.Open(ctx, "mem://", audit.Discard, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(ctx)
	fmt.Println(store.Info().Backend)
	// Output: mem
}
