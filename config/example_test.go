package config_test

import (
	"fmt"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

// A program reads its configuration from variables, and the defaults fill in the
// rest.
func ExampleLoadFrom() {
	cfg, err := config.LoadFrom(map[string]string{
		"STORAGE_BACKEND":  "s3",
		"S3_BUCKET_NAME":   "invoices",
		"S3_REGION":        "eu-central-1",
		"MAX_UPLOAD_BYTES": "10485760",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	location, err := cfg.StorageURL()
	fmt.Println(location, err)
	fmt.Println(cfg.MaxUploadSize, cfg.LinkExpiry)
	// Output:
	// s3://invoices?region=eu-central-1&sse=AES256 <nil>
	// 10485760 1h0m0s
}

// LoadFrom reports all mistakes at once.
func ExampleLoadFrom_mistakes() {
	_, err := config.LoadFrom(map[string]string{
		"STORAGE_BACKEND":               "s3",
		"S3_ACCESS_KEY":                 "AKIAIOSFODNN7EXAMPLE",
		"SIGNED_URL_EXPIRATION_SECONDS": "1h",
	})
	fmt.Println(err)
	// Output:
	// S3_BUCKET_NAME: not set: want the bucket's name
	// S3_SECRET_KEY: not set, but S3_ACCESS_KEY is: want both S3_ACCESS_KEY and S3_SECRET_KEY, or neither for the default credential chain
	// SIGNED_URL_EXPIRATION_SECONDS: "1h" is invalid: want a whole number of seconds, 1 to 604800
}

// A Config can be logged, because secrets print as "[redacted]".
func ExampleConfig() {
	cfg := config.Config{AuditDatabaseURL: secret.New("postgres://app:hunter2@db/files")}
	fmt.Println(cfg.AuditDatabaseURL)
	// Output: postgres:[redacted]
}
