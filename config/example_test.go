package config_test

import (
	"fmt"

	"github.com/blobtrail/blobtrail/config"
)

// Every mistake is reported at once, by the name of its variable.
func ExampleLoadFrom() {
	_, err := config.LoadFrom(map[string]string{
		"STORAGE_BACKEND":               "s3",
		"S3_ACCESS_KEY":                 "AKIA…",
		"SIGNED_URL_EXPIRATION_SECONDS": "soon",
	})
	fmt.Println(err)
	// Output:
	// S3_BUCKET_NAME: it is not set: want the bucket's name
	// S3_SECRET_KEY: it is not set but S3_ACCESS_KEY is: want both S3_ACCESS_KEY and S3_SECRET_KEY, or neither for the default credential chain
	// SIGNED_URL_EXPIRATION_SECONDS: "soon" can't be read: want a whole number of seconds, 1 to 604800
}
