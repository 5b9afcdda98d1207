package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// Let a client upload directly, and accept the upload afterwards.
func ExampleStore_BeginUpload() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)

	ticket, err := store.BeginUpload(ctx, "photos/1.png", 10*time.Minute, &blobstore.UploadOptions{
		AllowedTypes: []string{"image/*"}, MaxSize: 1 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}

	// The client sends the content to the URL of ticket.Link. The backend of
	// this example cannot sign links, so the request reaches the program.
	request := httptest.NewRequest(ticket.Link.Method, ticket.Link.URL(), strings.NewReader("\x89PNG\r\n\x1a\n"))
	redemption, err := store.Redeem(request.WithContext(ctx))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := redemption.Upload(ctx, request.Body, nil); err != nil {
		log.Fatal(err)
	}

	// In a later request, the client reports that the upload is complete.
	obj, err := store.Ticket(ticket.Key, ticket.ID).Complete(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(obj.Key, obj.Size, obj.ContentType)
	// Output:
	// photos/1.png 8 image/png
}

// Revoke a link before it expires.
func ExampleStore_Revoke() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)
	put(ctx, store, "a.pdf")
	link, err := store.Link(ctx, "a.pdf", &blobstore.LinkOptions{Revocable: true, MaxUses: 3})
	if err != nil {
		log.Fatal(err)
	}

	use := httptest.NewRequest("GET", link.URL(), nil).WithContext(ctx)
	_, err = store.Redeem(use)
	fmt.Println("before:", err)
	if err := store.Revoke(ctx, "a.pdf", link.GrantID); err != nil {
		log.Fatal(err)
	}
	_, err = store.Redeem(use)
	fmt.Println("after, revoked:", errors.Is(err, signurl.ErrRevoked))
	// Output:
	// before: <nil>
	// after, revoked: true
}

// Serve a link in an HTTP handler. Package blobhttp has a complete handler.
func ExampleStore_Redeem() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)
	put(ctx, store, "a.pdf")
	link, err := store.Link(ctx, "a.pdf", &blobstore.LinkOptions{Expiry: time.Minute})
	if err != nil {
		log.Fatal(err)
	}

	request := httptest.NewRequest("GET", link.URL(), nil).WithContext(audit.WithActor(ctx, audit.Actor{UserID: "bob"}))
	redemption, err := store.Redeem(request)
	if err != nil {
		log.Fatal(err)
	}
	r, err := redemption.Download(request.Context(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	printTrail(ctx, trail)
	// Output:
	// anna upload ok a.pdf
	// anna generate_url ok a.pdf
	// bob redeem ok a.pdf
}

// Limit code that acts for one tenant to the tenant's files.
func ExampleStore_Sub() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)

	tenant, err := store.Sub("tenants/42/")
	if err != nil {
		log.Fatal(err)
	}
	put(ctx, tenant, "tenants/42/a.pdf")
	_, err = tenant.Download(ctx, "tenants/7/b.pdf", nil)
	fmt.Println(errors.Is(err, blobstore.ErrDenied))
	printTrail(ctx, trail)
	// Output:
	// true
	// anna upload ok tenants/42/a.pdf
	// anna download denied tenants/7/b.pdf
}

// Permit or refuse each operation.
func ExampleOptions_authorize() {
	readOnly := errors.New("visitors can only read")
	ctx, store, trail := newStoreWith(func(_ context.Context, e audit.Event) error {
		if e.Actor.UserID == "visitor" && e.Action != audit.ActionDownload {
			return readOnly
		}
		return nil
	})
	defer store.Close(ctx)
	put(ctx, store, "a.pdf")

	visitor := audit.WithActor(ctx, audit.Actor{UserID: "visitor"})
	err := store.Delete(visitor, "a.pdf", nil)
	fmt.Println(errors.Is(err, blobstore.ErrDenied), errors.Is(err, readOnly))
	printTrail(ctx, trail)
	// Output:
	// true true
	// anna upload ok a.pdf
	// visitor delete denied a.pdf
}

// Issue a link for a single upload of at most 1 MiB by one user. Handlers
// serve it; see package blobhttp.
func ExampleStore_Link() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)

	link, err := store.Link(ctx, "photos/1.png", &blobstore.LinkOptions{
		Method: "PUT", Expiry: 10 * time.Minute, MaxUses: 1, UserID: "bob",
		ContentType: "image/png", MaxSize: 1 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(link.Method, link.Header)
	fmt.Println(strings.Contains(fmt.Sprint(link), link.URL())) // printing a link hides its URL
	// Output:
	// PUT map[Content-Type:[image/png]]
	// false
}

// Delete all files of a tenant. Each deletion is recorded.
func ExampleStore_DeletePrefix() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)
	put(ctx, store, "tenants/4/a.pdf", "tenants/4/b/c.pdf", "tenants/42/a.pdf")

	deleted, err := store.DeletePrefix(ctx, "tenants/4/", &blobstore.DeleteOptions{
		Resource: audit.Resource{Type: "tenant", ID: "4"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(deleted)
	// Output:
	// 2
}
