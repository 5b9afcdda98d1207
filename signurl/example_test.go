package signurl_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/signurl"
)

// A handler verifies a download link before it serves the object.
func Example() {
	keys, err := signurl.ParseKeys(signurl.GenerateKey().Encode()) // from the configuration
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := signurl.New("https://files.example.com/files/", keys, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		link, err := signer.Verify(r)
		if err != nil {
			http.Error(w, "this link is not valid", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "the content of %s", link.Key)
	}

	url, err := signer.Sign(signurl.Grant{Key: "invoices/2030/März.pdf", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, method := range []string{"GET", "DELETE"} {
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest(method, url, nil))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 the content of invoices/2030/März.pdf
	// 403 this link is not valid
}

// An upload link accepts up to 10 bytes. Verify checks the headers, and Body
// checks the content.
func ExampleGrant_Body() {
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	url, err := signer.Sign(signurl.Grant{
		Method: "PUT", Key: "in/note.txt", Expires: time.Now().Add(time.Hour),
		ContentType: "text/plain", MaxSize: 10, CreateOnly: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"short", "rather too long"} {
		r := httptest.NewRequest("PUT", url, io.MultiReader(strings.NewReader(text))) // of unknown length
		r.Header.Set("Content-Type", "text/plain")
		link, err := signer.Verify(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		content, err := io.ReadAll(link.Body(r.Body))
		fmt.Printf("%q %v %v\n", content, errors.Is(err, signurl.ErrConstraint), err)
	}
	// Output:
	// "short" false <nil>
	// "" true signurl: the request violates a constraint of the link: the body is longer than 10 bytes
}

// A program generates the grant ID first, so that it can record the grant
// before the link exists.
func ExampleNewGrantID() {
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	grant := signurl.NewGrantID() // record it, then sign
	link, err := signer.Sign(signurl.Grant{Key: "a.pdf", ID: grant, MaxUses: 1, Expires: time.Now().Add(time.Minute)})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, err := url.Parse(link)
	if err != nil {
		fmt.Println(err)
		return
	}
	used, err := signer.Verify(&http.Request{Method: "GET", URL: u})
	fmt.Println(used.ID == grant, used.MaxUses, err)
	// Output: true 1 <nil>
}

// However a key is printed, its secret is not shown.
func ExampleKey() {
	key, err := signurl.NewKey("2030-01", []byte("32 bytes out of a key management"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v %+v %x\n", key, []signurl.Key{key}, key)
	fmt.Println(len(key.Encode()))
	// Output:
	// 2030-01:[redacted] [2030-01:[redacted]] 2030-01:[redacted]
	// 51
}
