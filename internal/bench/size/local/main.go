// A program that stores local files and its trail in SQLite. It only serves to
// measure its size.
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
