// A program that stores local files and keeps its trail in SQLite. It exists to be weighed.
package main

import (
	"context"
	"fmt"
	"os"

	_ "modernc.org/sqlite"

	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/internal/bench/size/weigh"
)

func main() {
	if err := weigh.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
