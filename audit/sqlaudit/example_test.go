package sqlaudit_test

import (
	"context"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // the driver for "sqlite:"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func ExampleOpen() {
	ctx := context.Background()
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil) // a program would name a file: "sqlite:trail.db"
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
		log.Fatal(err) // not recorded: the download must not happen
	}

	for entry, err := range journal.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Actor.UserID, entry.Action, entry.Key, entry.Outcome)
	}
	// Output: alice download invoices/42.pdf ok
}

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
		log.Fatal(err) // not recorded: nothing may be deleted
	}
	// The intent is durable. Delete the file here, then say how it ended.
	if err := intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}); err != nil {
		log.Fatal(err) // the intent stays, and Dangling will find it
	}
	fmt.Println("deleted and recorded")
	// Output: deleted and recorded
}

func ExampleJournal_Dangling() {
	ctx := context.Background()
	journal, err := sqlaudit.Open(ctx, "sqlite::memory:", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)

	// What a process left open that was killed more than a lease ago.
	for intent, err := range journal.Dangling(ctx, audit.DanglingQuery{Backend: "local"}) {
		if err != nil {
			log.Fatal(err)
		}
		// Look in the bucket what became of intent.Event(), then settle it.
		err = intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
}
