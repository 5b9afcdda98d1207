package secret_test

import (
	"encoding/json"
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

// A printed configuration cannot be read back by mistake.
func ExampleText_UnmarshalText() {
	type config struct{ Key secret.Text }
	var c config
	fmt.Println(json.Unmarshal([]byte(`{"Key":"hunter2"}`), &c), c.Key.Reveal())

	printed, err := json.Marshal(c)
	fmt.Println(string(printed), err)
	fmt.Println(json.Unmarshal(printed, &c))
	// Output:
	// <nil> hunter2
	// {"Key":"[redacted]"} <nil>
	// secret: the text is redacted: want the secret itself
}
