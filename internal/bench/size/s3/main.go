// The program in ../local with S3 in addition. It only serves to measure its
// size.
package main

import (
	"context"
	"fmt"
	"os"

	_ "modernc.org/sqlite"

	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	_ "github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/internal/bench/size/weigh"
)

func main() {
	if err := weigh.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
