// A program without a storage provider: it prints what Open says of that. Built
// with the tag sqlite it has the SQL driver at least.
package main

import (
	"context"
	"fmt"

	"github.com/blobtrail/blobtrail/config"
)

func main() {
	cfg, err := config.Load()
	if err == nil {
		_, err = config.Open(context.Background(), cfg, nil)
	}
	fmt.Println(err)
}
