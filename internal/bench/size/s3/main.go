// The program in ../local, which can store in S3 too. It exists to be weighed.
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
