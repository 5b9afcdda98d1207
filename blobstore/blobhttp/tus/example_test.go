package tus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp/tus"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
)

// openUploads returns a handler for videos, with its store and its spool
// folder.
func openUploads() (_ *tus.Handler, trail *audit.Memory, close func(), err error) {
	trail = new(audit.Memory)
	store, err := blobstore.Open(context.Background(), "mem://", trail, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	spool, err := os.MkdirTemp("", "uploads") // a service uses a permanent folder
	if err != nil {
		return nil, nil, nil, err
	}
	videos := blobhttp.Intake{Store: store, Prefix: "videos", MaxSize: 50 << 30}
	uploads, err := tus.New(&videos, spool, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return uploads, trail, func() {
		_ = uploads.Close()
		_ = os.RemoveAll(spool)
		_ = store.Close(context.Background())
	}, nil
}

// Upload a file in two requests, as if the connection dropped after the first
// one.
func Example() {
	uploads, trail, closeAll, err := openUploads()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	mux := http.NewServeMux()
	mux.Handle("/uploads/", uploads)
	server := httptest.NewServer(blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "alice", "acme", nil }, // from the session
	})(mux))
	defer server.Close()

	send := func(method, url, body string, headers map[string]string) *http.Response {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Tus-Resumable", "1.0.0")
		for name, value := range headers {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		return res
	}
	upload := send("POST", server.URL+"/uploads/", "", map[string]string{"Upload-Length": "11"}).Header.Get("Location")
	send("PATCH", upload, "hello ", map[string]string{"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"})
	offset := send("HEAD", upload, "", nil).Header.Get("Upload-Offset")
	fmt.Println("resume at", offset)
	res := send("PATCH", upload, "world", map[string]string{"Upload-Offset": offset, "Content-Type": "application/offset+octet-stream"})
	fmt.Println(res.StatusCode)
	for e, err := range trail.Entries(context.Background(), audit.Query{}) {
		fmt.Println(e.Action, e.Outcome, e.Actor.UserID, *e.Size, err)
	}
	// Output:
	// resume at 6
	// 204
	// upload ok alice 11 <nil>
}

// Remove expired uploads once an hour.
func ExampleHandler_Sweep() {
	uploads, _, closeAll, err := openUploads()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	removed, err := uploads.Sweep(context.Background())
	fmt.Println(removed, err)
	// Output: 0 <nil>
}
