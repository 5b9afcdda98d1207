package secret_test

import (
	"fmt"

	"github.com/blobtrail/blobtrail/secret"
)

// A configuration with secrets can be printed.
func Example() {
	type config struct {
		Database secret.Text
		Key      secret.Text
		note     secret.Text //nolint:unused // fmt calls no methods here, and finds only the address of a function
	}
	c := config{Database: secret.New("postgres://app:hunter2@db/files"), Key: secret.New("hunter2")}
	fmt.Printf("%+v\n", c)
	fmt.Println(c.Key.Reveal())
	// Output:
	// {Database:postgres:[redacted] Key:[redacted] note:{reveal:<nil>}}
	// hunter2
}
