// Package blobstore keeps files in a bucket, with a record of everything that is
// done with them. A [Store] is a bucket, a trail and a policy:
//
//	store, err := blobstore.Open(ctx, "local:///var/lib/app/files", journal, nil)
//	obj, err := store.Upload(ctx, blobstore.NewKey("invoices", name), r, &blobstore.UploadOptions{
//		Filename: name,
//		Resource: audit.Resource{Type: "invoice", ID: "42"},
//		Link:     &blobstore.LinkOptions{Expiry: time.Hour},
//	})
//	fmt.Println(obj.Link.URL())
//
// # What it promises
//
// Nothing is stored, changed or removed, no link issued and no byte served
// before its record is durable in the trail; if that can't be written, the
// operation is refused. What changes an object is first begun in the trail, then
// done, then settled, so that after a crash [Store.Reconcile] settles what was
// cut short, by looking and never by guessing.
//
// A failed or cancelled upload leaves no object, and never harms the one that
// was there. Memory does not grow with the object. Keys, errors, constraints
// and results are the same on every backend; where a backend can't do
// something, [Store.Info] says so and asking for it is
// [ErrUnsupported].
//
// # Who acts
//
// The actor travels in the context; see [audit.WithActor]. An operation without
// one is refused with [audit.ErrNoActor].
//
// # Tenants
//
// [Store.Sub] gives a view of the store that cannot leave its prefix, for code
// that acts for one tenant; Options.Authorize decides case by case.
//
// # Tracing
//
// Each operation has a span ("blobtrail.upload") under OpenTelemetry's global
// tracer provider, which says the action, the backend, the outcome and, as
// error.type, the trail's word for the error: never a key, a link or a person.
// The spans of the Go CDK below it do name keys where something fails.
//
// # Backends
//
// The URL's scheme chooses the provider, which the program imports for its side
// effect: packages filestore (local://, file://), s3store (s3://), azurestore
// (azblob://), gcsstore (gs://) and memstore (mem://), or all of them by package
// all. Any other Go CDK bucket works with [New].
package blobstore
