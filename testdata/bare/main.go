// A program without a storage provider: it prints what Open says of that. Built
// with the tag sqlite it has the SQL driver at least.
package main

import (
	"context"
	"fmt"

	"github.com/blobtrail/blobtrail"
)

func main() {
	_, err := blobtrail.Open(context.Background(), nil)
	fmt.Println(err)
}
