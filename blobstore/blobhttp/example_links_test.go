package blobhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// openStore opens a store in memory that signs links of this server.
func openStore(srv *httptest.Server) (*blobstore.Store, error) {
	signer, err := signurl.New(srv.URL+"/links/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		return nil, err
	}
	return blobstore.Open(context.Background(), "mem://", new(audit.Memory), &blobstore.Options{Signer: signer})
}

// An upload link accepts only content within its constraints.
func ExampleLinks_upload() {
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	store, err := openStore(srv)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	mux.Handle("/links/", blobhttp.Links(store, nil))

	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	link, err := store.Link(ctx, "scans/7.txt", &blobstore.LinkOptions{Method: http.MethodPut, MaxSize: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, content := range []string{"more than 10 bytes", "42 €"} {
		req, err := http.NewRequest(http.MethodPut, link.URL(), strings.NewReader(content))
		if err != nil {
			fmt.Println(err)
			return
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		var problem blobhttp.Problem
		if res.StatusCode >= 400 {
			err = json.NewDecoder(res.Body).Decode(&problem)
		}
		res.Body.Close()
		fmt.Printf("%d %q %v\n", res.StatusCode, problem.Title, err)
	}
	// Output:
	// 422 "Link constraint violated" <nil>
	// 201 "" <nil>
}

// Deliver responds with a link that expires, as JSON.
func ExampleDeliver_link() {
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	store, err := openStore(srv)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	if _, err := store.Upload(ctx, "invoices/42.txt", strings.NewReader("42 €"), nil); err != nil {
		fmt.Println(err)
		return
	}

	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/invoices/42", nil).WithContext(ctx)
	blobhttp.Deliver(w, r, store, "invoices/42.txt", &blobhttp.DeliverOptions{Mode: blobhttp.DeliverJSON, Expiry: time.Minute})
	var link blobhttp.Delivered
	err = json.Unmarshal(w.Body.Bytes(), &link)
	fmt.Println(w.Code, strings.HasPrefix(link.DownloadURL, srv.URL+"/links/invoices/42.txt?"), link.ExpiresInSeconds, err)
	// Output: 200 true 60 <nil>
}

// A handler that does not verify links refuses a request with one.
func ExampleRefuseLink() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if err := blobhttp.RefuseLink(r); err != nil {
			blobhttp.WriteError(w, r, err)
			return
		}
		fmt.Fprintln(w, "a file")
	}
	errs := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		OnError: func(_ *http.Request, err error) { fmt.Println(errors.Is(err, blobhttp.ErrMisconfigured)) },
	})
	w := httptest.NewRecorder()
	errs(http.HandlerFunc(handler)).ServeHTTP(w, httptest.NewRequest("GET", "/files/42.txt?bt-v=1&bt-sig=x", nil))
	fmt.Println(w.Code)
	// Output:
	// true
	// 403
}
