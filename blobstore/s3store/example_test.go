package s3store_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/secret"
)

// This example opens a bucket of a compatible service with explicit
// credentials. The service is a stub with one empty bucket.
func ExampleOpen() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, `<ListBucketResult><Name>files</Name><KeyCount>0</KeyCount></ListBucketResult>`)
	}))
	defer service.Close()

	bucket, err := s3store.Open(context.Background(), &s3store.Options{
		Bucket:       "files",
		Region:       "us-east-1",
		Endpoint:     service.URL,
		UsePathStyle: true,
		AccessKey:    secret.New("example"),
		SecretKey:    secret.New("example-secret"),
		StallTimeout: 20 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	c := bucket.Info().Capabilities
	fmt.Println("links:", c.Links.Methods, "for at most", c.Links.MaxExpiry)
	fmt.Println("create-only is exact:", c.ExactCreate) // until Store.Check has tested it
	// Output:
	// links: [GET HEAD PUT DELETE] for at most 168h0m0s
	// create-only is exact: false
}

// Open refuses contradictory options before it connects.
func ExampleOptions() {
	_, err := s3store.Open(context.Background(), &s3store.Options{
		Bucket:   "files",
		KMSKeyID: "alias/files",
	})
	fmt.Println(err)
	// Output: s3 bucket "files": a KMS key is set, but the encryption is "": want aws:kms or aws:kms:dsse
}
