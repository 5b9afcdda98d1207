package tus_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp/tus"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
)

func Example() {
	store, err := blobstore.Open(context.Background(), "mem://", new(audit.Memory), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	spool, err := os.MkdirTemp("", "uploads") // a folder that stays, in a real service
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(spool)
	videos := blobhttp.Intake{Store: store, Prefix: "videos", MaxSize: 50 << 30, AllowedTypes: []string{"video/*"}}
	uploads, err := tus.New(&videos, spool, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer uploads.Close()

	mux := http.NewServeMux()
	mux.Handle("/uploads/", uploads)
	server := http.Server{Handler: blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "alice", "acme", nil }, // by the session
	})(mux)}
	defer server.Close()

	removed, err := uploads.Sweep(context.Background()) // once an hour
	fmt.Println(removed, err)
	// Output: 0 <nil>
}
