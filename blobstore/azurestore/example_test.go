package azurestore_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/secret"
)

// This example opens a container with a connection string. The service is a
// stub with one empty container.
func ExampleOpen() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, `<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>`)
	}))
	defer service.Close()

	key := base64.StdEncoding.EncodeToString([]byte("example"))
	bucket, err := azurestore.Open(context.Background(), &azurestore.Options{
		Container:        "files",
		ConnectionString: secret.New("BlobEndpoint=" + service.URL + "/acme;AccountName=acme;AccountKey=" + key),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	info := bucket.Info()
	fmt.Println(info.Backend, info.Bucket)
	fmt.Println("links:", info.Capabilities.Links.Methods)
	// Output:
	// azure acme/files
	// links: [GET PUT DELETE]
}

// Open refuses contradictory options before it connects.
func ExampleOptions() {
	_, err := azurestore.Open(context.Background(), &azurestore.Options{
		Container: "files",
		Account:   "acme",
		Key:       secret.New("ZXhhbXBsZQ=="),
		SASToken:  secret.New("sv=2026-02-06&sig=example"),
	})
	fmt.Println(err)
	// Output: azure container "files": Options.Key and Options.SASToken are both set: want one of them
}
