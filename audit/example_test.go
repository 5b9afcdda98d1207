package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// Middleware, or the start of a job, sets the actor once.
func ExampleWithActor() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "u-7", TenantID: "acme", IP: "192.0.2.1"})

	if actor, ok := audit.ActorFrom(ctx); ok {
		fmt.Println(actor.UserID, "of", actor.TenantID)
	}
	_, ok := audit.ActorFrom(context.Background())
	fmt.Println(ok)
	// Output:
	// u-7 of acme
	// false
}

// Attributes of the context are added to every event recorded with it.
func ExampleWithAttrs() {
	var trail audit.Memory
	ctx := audit.WithAttrs(context.Background(), map[string]string{"ticket": "T-1042"})

	err := trail.Log(ctx, audit.Event{
		Action: audit.ActionDownload,
		Actor:  audit.Actor{UserID: "u-7"},
		Key:    "invoices/42.pdf",
		Attrs:  map[string]string{"reason": "tax audit"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range trail.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		fmt.Println(e.Actor.UserID, e.Action, e.Attrs, err)
	}
	// Output: u-7 download map[reason:tax audit ticket:T-1042] <nil>
}

// For an operation that changes a file, the intent is durable before the
// effect. One entry then settles it, together with the entry of the issued
// link.
func ExampleJournal() {
	ctx := context.Background()
	var trail audit.Memory

	intent, err := trail.Begin(ctx, audit.Event{
		Action: audit.ActionUpload,
		Actor:  audit.Actor{UserID: "u-7"},
		Key:    "invoices/42.pdf",
	}, time.Minute)
	if err != nil {
		fmt.Println(err) // nothing was recorded, so the operation must not proceed
		return
	}
	fmt.Println("open:", trail.OpenIntents())

	// ... the effect: write the file ...

	err = intent.Settle(ctx,
		audit.Result{Outcome: audit.OutcomeOK, Size: new(int64(1024))},
		audit.Event{Action: audit.ActionIssueLink, RefOpID: intent.OpID(), Actor: intent.Event().Actor, Key: "invoices/42.pdf"},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open:", trail.OpenIntents())
	for e, err := range trail.Entries(ctx, audit.Query{OpID: intent.OpID()}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Seq, e.Actor.UserID, e.Action, e.Key, e.Outcome)
	}
	// Output:
	// open: 1
	// open: 0
	// 0 u-7 upload invoices/42.pdf ok
	// 1 u-7 generate_url invoices/42.pdf ok
}

// If a process dies, its open intents become dangling when their leases expire.
// A reconciler finds and settles them.
func ExampleJournal_Dangling() {
	ctx, now := context.Background(), time.Now()
	trail := audit.Memory{Now: func() time.Time { return now }}

	_, err := trail.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "invoices/42.pdf"}, time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	now = now.Add(2 * time.Minute) // the lease has expired

	for intent, err := range trail.Dangling(ctx, audit.DanglingQuery{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		// ... check whether the file is in the bucket ...
		err = intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: "crashed", SettledBy: audit.SettledByReconciler})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	for e := range trail.Entries(ctx, audit.Query{}) {
		fmt.Println(e.Action, e.Key, e.Outcome, e.ErrorCode, "by", e.SettledBy)
	}
	// Output: upload invoices/42.pdf failed crashed by reconciler
}

// An export has one JSON object for each entry, with the columns of the SQL
// journal.
func ExampleWriteJSONL() {
	ctx := context.Background()
	trail := audit.Memory{Now: func() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) }}
	err := trail.Log(ctx, audit.Event{Action: audit.ActionDownload, Actor: audit.Actor{UserID: "u-7", TenantID: "acme"}, Key: "invoices/42.pdf"})
	if err != nil {
		fmt.Println(err)
		return
	}

	var export strings.Builder // or a file, or a response
	n, err := audit.WriteJSONL(&export, trail.Entries(ctx, audit.Query{TenantID: "acme"}))
	fmt.Println(n, err)
	var entry struct {
		OccurredAt string `json:"occurred_at"`
		User       string `json:"user_id"`
		Key        string `json:"file_key"`
	}
	err = json.Unmarshal([]byte(export.String()), &entry)
	fmt.Println(entry.OccurredAt, entry.User, entry.Key, err)
	// Output:
	// 1 <nil>
	// 2026-03-01T09:30:00.000000Z u-7 invoices/42.pdf <nil>
}

// A logger mirrors each entry of the trail to the program's log.
func ExampleMulti() {
	ctx := context.Background()
	lines := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "op_id" {
				return slog.Attr{} // different in each run
			}
			return a
		},
	}))
	var trail audit.Memory
	log := audit.Multi(&trail, audit.Slog{Logger: lines})

	err := log.Log(ctx, audit.Event{Action: audit.ActionDownload, Actor: audit.Actor{UserID: "u-7"}, Key: "invoices/42.pdf"})
	if err != nil {
		fmt.Println(err) // a failure of the mirror is an error too
		return
	}
	for e := range trail.Entries(ctx, audit.Query{Key: "invoices/42.pdf"}) {
		fmt.Println(e.Actor.UserID, e.Action, e.Outcome)
	}
	// Output:
	// level=INFO msg=audit event.action=download event.outcome=ok event.user_id=u-7 event.file_key=invoices/42.pdf
	// u-7 download ok
}
