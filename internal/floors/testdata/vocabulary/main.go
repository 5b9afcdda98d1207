// A program that uses the vocabulary of the trail and the signing of links, in
// an HTTP server. Only its size matters.
package main

import (
	"net/http"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

func main() {
	signer, err := signurl.New("http://127.0.0.1:8080/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		panic(err)
	}
	var log audit.Memory
	panic(http.ListenAndServe("127.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		link, err := signer.Verify(r)
		if err == nil {
			err = log.Log(r.Context(), audit.Event{Action: audit.ActionRedeem, Key: link.Key})
		}
		if err != nil {
			http.Error(w, "no", http.StatusForbidden)
		}
	})))
}
