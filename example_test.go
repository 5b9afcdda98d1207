package blobtrail_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

// Open needs only a configuration. A program usually passes nil and sets
// environment variables instead.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "blobtrail")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg, err := config.LoadFrom(map[string]string{
		"LOCAL_STORAGE_PATH": dir + "/files",
		"AUDIT_DATABASE_URL": "sqlite:" + dir + "/blobtrail.db",
		"LINK_SIGNING_KEYS":  signurl.GenerateKey().Encode(),
	})
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close(ctx)

	ctx = audit.WithActor(ctx, audit.Actor{UserID: "anna"})
	if _, err := app.Store.Upload(ctx, "notes/1.txt", strings.NewReader("hello"), nil); err != nil {
		log.Fatal(err)
	}
	report, err := app.Verify(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Verdict, report.Entries)
	// Output: sound, but not anchored 1
}

// This is the code of the README: one call stores the file, issues a link and
// records both.
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
