package audittest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
)

// The acknowledgment of a settlement is lost: the caller gets an error, although
// the entry is stored.
func ExampleFaults() {
	ctx := context.Background()
	var trail audit.Memory
	journal := audittest.NewFaults(&trail)
	journal.Add(audittest.Fault{Call: audittest.CallSettle, Nth: 1, After: true, Err: errors.New("connection reset")})

	intent, err := journal.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "invoices/42.pdf"}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}))
	fmt.Println(intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}))
	for e := range trail.Entries(ctx, audit.Query{}) {
		fmt.Println(e.Key, e.Outcome)
	}
	// Output:
	// connection reset
	// audit: the intent is no longer held
	// invoices/42.pdf ok
}

// A gate holds a call until the test opens it. Here, the program sees an open
// operation while its settlement waits.
func ExampleGate() {
	ctx := context.Background()
	var trail audit.Memory
	journal, gate := audittest.NewFaults(&trail), audittest.NewGate()
	journal.Add(audittest.Fault{Call: audittest.CallSettle, Gate: gate})

	intent, err := journal.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "invoices/42.pdf"}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	settled := make(chan error)
	go func() { settled <- intent.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) }()

	<-gate.Reached()
	fmt.Println("open:", trail.OpenIntents())
	gate.Open()
	fmt.Println("settled:", <-settled)
	fmt.Println("open:", trail.OpenIntents())
	// Output:
	// open: 1
	// settled: <nil>
	// open: 0
}
