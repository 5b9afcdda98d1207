package sqlaudit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"gocloud.dev/blob/memblob"
	_ "modernc.org/sqlite" // the driver for "sqlite:"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// Publish checkpoints to a bucket, and verify the trail against them.
func ExampleJournal_Verify() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	if err != nil {
		log.Fatal(err)
	}
	bucket := memblob.OpenBucket(nil) // in production: a bucket with object lock
	defer bucket.Close()
	checkpoints := sqlaudit.Checkpoints{Bucket: bucket}
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", &sqlaudit.Options{
		DeploymentKey: signing,
		Publish:       &sqlaudit.PublishOptions{To: checkpoints},
		Acknowledge:   sqlaudit.AfterPublish, // no entry can be cut off unnoticed
	})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	for range 3 {
		if err := journal.Log(ctx, audit.Event{Action: audit.ActionDownload}); err != nil {
			log.Fatal(err)
		}
	}

	report, err := journal.Verify(ctx, &sqlaudit.VerifyOptions{Keys: []string{verifying}, Published: checkpoints})
	if err != nil {
		log.Fatal(err) // the database or the bucket could not be read
	}
	fmt.Println(report.Verdict, report.Entries, "entries", report.Unpublished(), "unpublished")
	// Output: sound 3 entries 0 unpublished
}

// Prove one entry to an auditor, who checks the proof without the database.
func ExampleJournal_Prove() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	if err != nil {
		log.Fatal(err)
	}
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", &sqlaudit.Options{DeploymentKey: signing})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	if err := journal.Log(ctx, audit.Event{Action: audit.ActionDelete, Key: "invoices/42.pdf"}); err != nil {
		log.Fatal(err)
	}

	var document []byte // give this to the auditor
	for entry, err := range journal.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		if err != nil {
			log.Fatal(err)
		}
		p, err := journal.Prove(ctx, entry.ID)
		if err != nil {
			log.Fatal(err)
		}
		if document, err = json.Marshal(p); err != nil {
			log.Fatal(err)
		}
	}

	// The auditor needs only the document and the verifier key.
	var p proof.Proof
	if err := json.Unmarshal(document, &p); err != nil {
		log.Fatal(err)
	}
	entry, err := proof.Verify(&p, verifying)
	if err != nil {
		log.Fatal(err) // wraps proof.ErrTampered
	}
	fmt.Println("proven:", entry.Actor.UserID, entry.Action, entry.Key)
	// Output: proven: alice delete invoices/42.pdf
}

// Export old entries to a file and remove them from the database. The export can
// be verified at any time.
func ExampleJournal_Purge() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "retention"})
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	if err != nil {
		log.Fatal(err)
	}
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", &sqlaudit.Options{DeploymentKey: signing})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	for range 3 {
		if err := journal.Log(ctx, audit.Event{Action: audit.ActionDownload}); err != nil {
			log.Fatal(err)
		}
	}
	archive, err := os.CreateTemp("", "archive-*.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(archive.Name())
	defer archive.Close()

	result, err := journal.Purge(ctx, sqlaudit.PurgeOptions{
		Before: time.Now(), // in production: time.Now().AddDate(-10, 0, 0)
		Export: archive,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Entries, "entries exported and removed")

	if _, err := archive.Seek(0, 0); err != nil {
		log.Fatal(err)
	}
	report, err := proof.VerifyExport(archive, verifying)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("archive:", report.Verdict, report.Entries, "entries")
	// Output:
	// 3 entries exported and removed
	// archive: sound 3 entries
}

// Erase the personal fields of a user. The entries and their proof remain.
func ExampleJournal_Erase() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "privacy-officer"})
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	err = journal.Log(ctx, audit.Event{
		Action: audit.ActionDownload,
		Actor:  audit.Actor{UserID: "anna", IP: "192.0.2.7"},
		Key:    "invoices/42.pdf",
	})
	if err != nil {
		log.Fatal(err)
	}

	erased, err := journal.Erase(ctx, audit.Query{UserID: "anna"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("erased in", erased, "entry")
	for entry, err := range journal.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s by %q from %q\n", entry.Action, entry.Actor.UserID, entry.Actor.IP)
	}
	// Output:
	// erased in 1 entry
	// download by "" from ""
}
