// A program with a trail and signed links, but without storage. It only serves
// to measure its size.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

func main() {
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var trail audit.Memory
	if err := trail.Log(context.Background(), audit.Event{Action: audit.ActionIssueLink, Actor: audit.Actor{UserID: "weight"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := signer.Sign(signurl.Grant{Key: "a", Expires: time.Now().Add(time.Hour)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
