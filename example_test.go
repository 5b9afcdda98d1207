package blobtrail_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/signurl"
)

// The code of the README: file, link and record in one call.
func Example() {
	dir, err := os.MkdirTemp("", "blobtrail")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	journal, err := sqlaudit.Open(ctx, "sqlite:"+dir+"/blobtrail.db", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		log.Fatal(err)
	}
	store, err := blobstore.Open(ctx, "local://"+dir+"/files?create=true", journal, &blobstore.Options{Signer: signer})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(context.Background())

	ctx = audit.WithActor(ctx, audit.Actor{UserID: "anna", IP: "203.0.113.7"})
	obj, err := store.Upload(ctx, blobstore.NewKey("invoices", "March.pdf"), strings.NewReader("%PDF-1.7 …"),
		&blobstore.UploadOptions{
			Resource: audit.Resource{Type: "invoice", ID: "42"},
			Link:     &blobstore.LinkOptions{Expiry: time.Hour},
		})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(obj.Size, "bytes,", obj.ContentType, "with a", obj.Link.Method, "link")

	for e, err := range journal.Entries(ctx, audit.Query{Resource: audit.Resource{Type: "invoice", ID: "42"}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Actor.UserID, e.Action, e.Outcome)
	}
	// Output:
	// 12 bytes, application/pdf with a GET link
	// anna upload ok
	// anna generate_url ok
}
