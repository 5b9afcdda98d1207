package localblob_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/filestore/localblob"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "localblob")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	bucket, err := localblob.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	ctx := context.Background()
	opts := &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true}
	fmt.Println(bucket.Upload(ctx, "notes/today.txt", strings.NewReader("durable"), opts))

	content, err := bucket.ReadAll(ctx, "notes/today.txt")
	fmt.Println(string(content), err)
	// Output:
	// <nil>
	// durable <nil>
}

// This example computes a checksum while streaming and stores it with the object.
func ExampleBucket_Write() {
	dir, err := os.MkdirTemp("", "localblob")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bucket, err := localblob.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	ctx := context.Background()
	sum := sha256.New()
	opts := &blob.WriterOptions{
		ContentType: "text/plain",
	}
	final := func() (map[string]string, error) {
		return map[string]string{"sha256": hex.EncodeToString(sum.Sum(nil))}, nil
	}
	if err := bucket.Write(ctx, "hello.txt", io.TeeReader(strings.NewReader("hello"), sum), opts, final); err != nil {
		log.Fatal(err)
	}
	attrs, err := bucket.Attributes(ctx, "hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(attrs.Metadata["sha256"][:16])
	// Output: 2cf24dba5fb0a30e
}

func ExampleBucket_Sweep() {
	dir, err := os.MkdirTemp("", "localblob")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bucket, err := localblob.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()

	removed, err := bucket.Sweep(context.Background(), "")
	fmt.Println(removed, err)
	// Output: 0 <nil>
}
