package config_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

// A program that takes its whole set-up from the environment.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "blobtrail")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	cfg, err := config.LoadFrom(map[string]string{ // config.Load reads the environment
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"),
		"AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := config.Open(ctx, cfg, &config.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close(ctx)

	ctx = audit.WithActor(ctx, audit.Actor{UserID: "anna"})
	obj, err := app.Store.Upload(ctx, "invoices/42.txt", strings.NewReader("12.50 EUR"), &blobstore.UploadOptions{
		Link: &blobstore.LinkOptions{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	link, _, _ := strings.Cut(obj.Link.URL(), "?")
	fmt.Println(obj.Size, "bytes at", link)
	// Output: 9 bytes at http://localhost:8080/links/invoices/42.txt
}

// Every mistake is reported at once.
func ExampleLoadFrom_mistakes() {
	_, err := config.LoadFrom(map[string]string{
		"STORAGE_BACKEND":               "s3",
		"S3_ACCESS_KEY":                 "AKIAIOSFODNN7EXAMPLE",
		"SIGNED_URL_EXPIRATION_SECONDS": "1h",
	})
	fmt.Println(err)
	// Output:
	// S3_BUCKET_NAME: it is not set: want the bucket's name
	// S3_SECRET_KEY: it is not set but S3_ACCESS_KEY is: want both S3_ACCESS_KEY and S3_SECRET_KEY, or neither for the default credential chain
	// SIGNED_URL_EXPIRATION_SECONDS: "1h" can't be read: want a whole number of seconds, 1 to 604800
}

// A Config can be logged as a whole.
func ExampleConfig() {
	cfg := config.Config{AuditDatabaseURL: secret.New("postgres://app:hunter2@db/files")}
	fmt.Println(cfg.AuditDatabaseURL)
	// Output: postgres:[redacted]
}
