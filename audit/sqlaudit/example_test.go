package sqlaudit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	_ "modernc.org/sqlite" // the driver for "sqlite:"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore" // the provider for "mem:"
)

// Open a journal, record a download before it happens, and read it back.
func ExampleOpen() {
	ctx := context.Background()
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil) // in production: "sqlite:trail.db"
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)

	err = journal.Log(ctx, audit.Event{
		Action: audit.ActionDownload,
		Actor:  audit.Actor{UserID: "alice", IP: "192.0.2.7"},
		Key:    "invoices/42.pdf",
	})
	if err != nil {
		log.Fatal(err) // not recorded: do not serve the file
	}

	for entry, err := range journal.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Actor.UserID, entry.Action, entry.Key, entry.Outcome)
	}
	// Output: alice download invoices/42.pdf ok
}

// Record an operation that changes a file: first the intent, then the outcome.
func ExampleJournal_Begin() {
	ctx := context.Background()
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)

	intent, err := journal.Begin(ctx, audit.Event{
		Action: audit.ActionDelete,
		Actor:  audit.Actor{UserID: "alice"},
		Key:    "invoices/42.pdf",
	}, 0)
	if err != nil {
		log.Fatal(err) // not recorded: do not delete the file
	}
	// The intent is durable. Delete the file here, then settle the intent.
	if err := intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}); err != nil {
		log.Fatal(err) // the intent stays open until Dangling yields it
	}
	fmt.Println("deleted and recorded")
	// Output: deleted and recorded
}

// Settle the operations that killed processes left open.
func ExampleJournal_Dangling() {
	ctx := context.Background()
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)

	settled := 0
	for intent, err := range journal.Dangling(ctx, audit.DanglingQuery{Backend: "local"}) {
		if err != nil {
			log.Fatal(err)
		}
		// Look up in the bucket what happened to intent.Event(), then settle it.
		err = intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler})
		if err != nil {
			log.Fatal(err)
		}
		settled++
	}
	fmt.Println(settled, "operations settled")
	// Output: 0 operations settled
}

// Read the newest entries about one resource, page by page.
func ExampleJournal_Entries() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	invoice := audit.Resource{Type: "invoice", ID: "42"}
	for _, action := range []audit.Action{audit.ActionUpload, audit.ActionDownload, audit.ActionDelete} {
		if err := journal.Log(ctx, audit.Event{Action: action, Resource: invoice}); err != nil {
			log.Fatal(err)
		}
	}

	q := audit.Query{Resource: invoice, NewestFirst: true, Limit: 2}
	for page := 1; ; page++ {
		n := 0
		for entry, err := range journal.Entries(ctx, q) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("page", page, entry.Action)
			q.After = entry.ID
			n++
		}
		if n < q.Limit {
			break
		}
	}
	// Output:
	// page 1 delete
	// page 1 download
	// page 2 upload
}

// Store a file and a row of the application together: both exist afterwards, or
// neither does, even if the process crashes in between.
func ExampleJournal_CommitTx() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	db := journal.DB()
	if _, err := db.ExecContext(ctx, "CREATE TABLE notes (file_key TEXT)"); err != nil {
		log.Fatal(err)
	}
	store, err := blobstore.Open(ctx, "mem://", journal, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)

	save := func(key, content string) error {
		staged, err := store.Stage(ctx, key, strings.NewReader(content), nil)
		if err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return errors.Join(err, staged.Discard(ctx))
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO notes (file_key) VALUES (?)", key)
		if err == nil {
			err = journal.CommitTx(ctx, tx, staged)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback(), staged.Discard(ctx))
		}
		if err := tx.Commit(); err != nil {
			staged.Leave() // the row may be committed: Reconcile determines the outcome
			return err
		}
		return staged.Commit(ctx)
	}
	if err := save("notes/1.txt", "Buy milk."); err != nil {
		log.Fatal(err)
	}

	var rows int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM notes").Scan(&rows); err != nil {
		log.Fatal(err)
	}
	obj, err := store.Stat(ctx, "notes/1.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows, "row and a file of", obj.Size, "bytes")
	// Output: 1 row and a file of 9 bytes
}

// Count the operations of each kind, for a dashboard or a report.
func ExampleJournal_Counts() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	for _, e := range []audit.Event{
		{Action: audit.ActionDownload},
		{Action: audit.ActionDownload},
		{Action: audit.ActionDownload, Outcome: audit.OutcomeDenied},
		{Action: audit.ActionDelete},
	} {
		if err := journal.Log(ctx, e); err != nil {
			log.Fatal(err)
		}
	}

	counts, err := journal.Counts(ctx, audit.Query{UserID: "alice"}, sqlaudit.Total)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range counts {
		fmt.Println(c.Action, c.Outcome, c.Entries)
	}
	// Output:
	// delete ok 1
	// download denied 1
	// download ok 2
}
