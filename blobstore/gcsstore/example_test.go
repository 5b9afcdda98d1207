package gcsstore_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/blobtrail/blobtrail/blobstore/gcsstore"
)

// This example opens a bucket of an emulator without credentials. The emulator
// is a stub with one empty bucket.
func ExampleOpen() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"storage#objects"}`)
	}))
	defer service.Close()

	bucket, err := gcsstore.Open(context.Background(), &gcsstore.Options{
		Bucket:    "files",
		Endpoint:  service.URL,
		Anonymous: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	c := bucket.Info().Capabilities
	fmt.Println("create-only is exact:", c.ExactCreate)
	fmt.Println("links:", c.Links.Methods) // an anonymous client cannot sign
	// Output:
	// create-only is exact: true
	// links: []
}

// Open refuses contradictory options before it connects.
func ExampleOptions() {
	_, err := gcsstore.Open(context.Background(), &gcsstore.Options{
		Bucket:          "files",
		CredentialsFile: "/etc/app/gcs.json",
		Anonymous:       true,
	})
	fmt.Println(err)
	// Output: gcs bucket "files": Options.CredentialsFile and Options.Anonymous are both set: want one of them
}
