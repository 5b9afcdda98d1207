package driver_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"strings"

	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// scratchBucket is a provider based on a Go CDK bucket. A real provider
// overrides the methods that its service can improve.
type scratchBucket struct {
	driver.Bucket
}

// Copy overrides the method of the embedded bucket, so that a copy uses the
// other methods of scratchBucket.
func (b scratchBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	return driver.CopyThrough(ctx, b, dst, src, o)
}

func openScratch(_ context.Context, u *url.URL, _ driver.Credentials) (driver.Bucket, error) {
	if u.RawQuery != "" {
		return nil, fmt.Errorf("scratch://%s: unknown parameters: want just scratch://name", u.Host)
	}
	return scratchBucket{driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "scratch", Bucket: u.Host})}, nil
}

func init() {
	driver.Register("scratch", openScratch)
}

// This example implements a provider for URLs such as scratch://invoices.
func Example() {
	ctx := context.Background()
	bucket, err := driver.Open(ctx, "scratch://invoices", driver.Credentials{})
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	err = bucket.Write(ctx, "march.txt", strings.NewReader("paid"), &driver.WriteOptions{ContentType: "text/plain", Size: 4})
	if err != nil {
		log.Fatal(err)
	}
	if err := bucket.Copy(ctx, "2026/march.txt", "march.txt", &driver.CopyOptions{IfNotExist: true}); err != nil {
		log.Fatal(err)
	}
	for obj, err := range bucket.List(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(obj.Key, obj.Size)
	}

	_, err = driver.Open(ctx, "s3://invoices", driver.Credentials{})
	fmt.Println(err)
	// Output:
	// 2026/march.txt 4
	// march.txt 4
	// no provider for s3:// URLs in this program: add import _ "github.com/blobtrail/blobtrail/blobstore/s3store"
}
