package config_test

import (
	"fmt"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

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
