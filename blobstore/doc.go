// Package blobstore stores files in a bucket and records every operation on
// them in an audit trail.
//
// A [Store] combines a bucket, a trail and a policy:
//
//	store, err := blobstore.Open(ctx, "local:///var/lib/app/files", journal, nil)
//	obj, err := store.Upload(ctx, blobstore.NewKey("invoices", name), r, &blobstore.UploadOptions{
//		Filename: name,
//		Resource: audit.Resource{Type: "invoice", ID: "42"},
//		Link:     &blobstore.LinkOptions{Expiry: time.Hour},
//	})
//	fmt.Println(obj.Link.URL())
//
// # Guarantees
//
// The store writes a durable record to the trail before it stores, changes or
// removes an object, issues a link, or serves a byte. If it cannot write the
// record, it refuses the operation.
//
// An operation that changes an object has three steps: the store records the
// intent, performs the operation, and settles the intent with the outcome.
// After a crash, [Store.Reconcile] settles the intents left open. It determines
// each outcome by looking at the bucket and never guesses.
//
// A failed or canceled upload leaves no new object and does not damage the
// existing one. Memory use does not grow with the size of the object.
//
// Keys, errors, constraints and results are the same on every backend. If a
// backend lacks a feature, [Store.Info] reports it, and a call that needs the
// feature fails with [ErrUnsupported].
//
// # Actors
//
// Every operation has an actor, taken from the context; see [audit.WithActor].
// If the context has none, the store uses [Options.DefaultActor]. If that is
// not set either, the operation fails with [audit.ErrNoActor].
//
// # Tenants
//
// [Store.Sub] returns a view of the store, limited to one prefix. Give such a
// view to code that acts for a single tenant. For decisions that depend on the
// individual operation, set [Options.Authorize].
//
// # Tracing
//
// Each operation creates a span, such as "blobtrail.upload", with
// OpenTelemetry's global tracer provider. The span has the action, the backend,
// the outcome and, in error.type, the error code recorded in the trail. It
// never contains a key, a link or personal data. The spans of the underlying Go
// CDK do include the key when an operation fails.
//
// # Backends
//
// The scheme of the URL selects the provider. The program imports the provider
// for its side effect: package filestore (local://, file://), s3store (s3://),
// azurestore (azblob://), gcsstore (gs://) or memstore (mem://). Package all
// imports all of them. [New] with [driver.FromBlob] accepts any other bucket of
// the Go CDK.
package blobstore
