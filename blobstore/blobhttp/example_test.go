package blobhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// Upload a file, and download it through its link. The trail records both.
func ExampleLinks() {
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()

	signer, err := signurl.New(srv.URL+"/links/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var trail audit.Memory
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	store, err := blobstore.Open(ctx, "mem://", &trail, &blobstore.Options{Signer: signer})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	mux.Handle("/links/", blobhttp.Links(store, nil))

	obj, err := store.Upload(ctx, blobstore.NewKey("invoices", "März.txt"), strings.NewReader("42 €"), &blobstore.UploadOptions{
		Filename: "März.txt",
		Link:     &blobstore.LinkOptions{Expiry: time.Hour},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	res, err := http.Get(obj.Link.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(body), err)
	fmt.Println(res.Header.Get("Content-Disposition"))
	for e, err := range trail.Entries(ctx, audit.Query{}) {
		fmt.Println(e.Action, e.Outcome, e.Actor.UserID, err)
	}
	// Output:
	// 200 42 € <nil>
	// attachment; filename="Marz.txt"; filename*=UTF-8''M%C3%A4rz.txt
	// upload ok alice <nil>
	// generate_url ok alice <nil>
	// redeem ok  <nil>
}

// Middleware adds the user, the tenant and the client's address to each
// request. The address comes from a trusted proxy.
func ExampleMiddleware() {
	withActor := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(r *http.Request) (userID, tenantID string, err error) {
			user, _, ok := r.BasicAuth() // check the session or token here
			if !ok {
				return "", "", errors.New("not logged in")
			}
			return user, "acme", nil
		},
		Challenge:      "Basic",
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	handler := withActor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, _ := audit.ActorFrom(r.Context())
		fmt.Println(actor.UserID, actor.TenantID, actor.IP, actor.RequestID)
	}))

	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.7:4711" // the proxy
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.9")
	r.Header.Set("X-Request-Id", "req-1")
	r.SetBasicAuth("alice", "")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: alice acme 203.0.113.9 req-1
}

// Store the row of an invoice together with its file, in one transaction.
func ExampleIntake() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "invoices")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	journal, err := sqlaudit.Open(ctx, "sqlite:"+filepath.Join(dir, "app.db"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer journal.Close(ctx)
	store, err := blobstore.Open(ctx, "mem://", journal, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(ctx)
	db := journal.DB() // the application's own database
	if _, err := db.Exec("CREATE TABLE invoices (file_key TEXT PRIMARY KEY)"); err != nil {
		fmt.Println(err)
		return
	}

	invoices := blobhttp.Intake{
		Store: store, Prefix: "invoices", MaxSize: 10 << 20, AllowedTypes: []string{"application/pdf"},
		Save: func(ctx context.Context, files []blobhttp.Stored) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			for _, f := range files {
				if _, err := tx.ExecContext(ctx, "INSERT INTO invoices VALUES (?)", f.Object.Key); err != nil {
					return err
				}
				if err := journal.CommitTx(ctx, tx, f.Staged); err != nil {
					return err
				}
			}
			return tx.Commit()
		},
	}
	mux := http.NewServeMux()
	mux.Handle("POST /invoices", invoices.Form(nil))
	handler := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "alice", "", nil }, // from the session
	})(mux)

	r := httptest.NewRequest("POST", "/invoices", strings.NewReader("--b\r\n"+
		"Content-Disposition: form-data; name=\"file\"; filename=\"March.pdf\"\r\n\r\n%PDF-1.7 ...\r\n--b--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var rows int
	err = db.QueryRow("SELECT COUNT(*) FROM invoices").Scan(&rows)
	fmt.Println(w.Code, rows, err)
	// Output: 201 1 <nil>
}

// Store the file of a form, and respond with a link to it.
func ExampleIntake_Form() {
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := blobstore.Open(context.Background(), "mem://", new(audit.Memory), &blobstore.Options{Signer: signer})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	invoices := blobhttp.Intake{
		Store:        store,
		Prefix:       "invoices",
		MaxSize:      10 << 20,
		AllowedTypes: []string{"application/pdf", "image/*"},
		Link:         &blobstore.LinkOptions{Expiry: time.Hour},
		Prepare: func(_ context.Context, f *blobhttp.File) error {
			f.Options.Resource = audit.Resource{Type: "invoice", ID: f.Fields.Get("invoice")}
			return nil
		},
	}
	handler := invoices.Form(nil)

	// The request of a browser:
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("invoice", "42")
	file, _ := form.CreateFormFile("file", "invoice.pdf")
	_, _ = file.Write([]byte("%PDF-1.7 ..."))
	_ = form.Close()
	r := httptest.NewRequest("POST", "/upload", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r = r.WithContext(audit.WithActor(r.Context(), audit.Actor{UserID: "alice"})) // as Middleware does

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var stored blobhttp.Uploaded
	err = json.Unmarshal(w.Body.Bytes(), &stored)
	for _, f := range stored.Files {
		fmt.Println(w.Code, f.Filename, f.Size, f.ContentType, f.DownloadURL != "", err)
	}
	// Output: 201 invoice.pdf 12 application/pdf true <nil>
}

// The application selects the file and checks the user's access. Deliver
// responds.
func ExampleDeliver() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	store, err := blobstore.Open(ctx, "mem://", new(audit.Memory), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	if _, err := store.Upload(ctx, "invoices/42.txt", strings.NewReader("42 €"), nil); err != nil {
		fmt.Println(err)
		return
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := "invoices/42.txt" // look it up in the application's database, for the user of r
		blobhttp.Deliver(w, r, store, key, &blobhttp.DeliverOptions{
			Resource: audit.Resource{Type: "invoice", ID: "42"},
		})
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/invoices/42", nil).WithContext(ctx))
	fmt.Println(w.Code, w.Body.String())
	// Output: 200 42 €
}

// A direct upload takes three requests: begin, the upload itself, and complete.
func ExampleIntake_Direct() {
	mux := http.NewServeMux()
	srv := httptest.NewServer(blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "alice", "", nil }, // from the session
	})(mux))
	defer srv.Close()
	signer, err := signurl.New(srv.URL+"/links/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := blobstore.Open(context.Background(), "mem://", new(audit.Memory), &blobstore.Options{Signer: signer})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(context.Background())
	mux.Handle("/links/", blobhttp.Links(store, nil)) // not needed for S3, Azure and Google Cloud Storage
	invoices := blobhttp.Intake{Store: store, Prefix: "invoices", MaxSize: 10 << 20, AllowedTypes: []string{"application/pdf"}}
	mux.Handle("/uploads/", invoices.Direct())

	var ticket blobhttp.DirectTicket
	res, err := http.Post(srv.URL+"/uploads/begin", "application/json", strings.NewReader(`{"filename": "March.pdf", "size": 12}`))
	if err == nil {
		err = errors.Join(json.NewDecoder(res.Body).Decode(&ticket), res.Body.Close())
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	send, err := http.NewRequest(ticket.Method, ticket.URL, strings.NewReader("%PDF-1.7 ..."))
	if err != nil {
		fmt.Println(err)
		return
	}
	for name, value := range ticket.Headers {
		send.Header.Set(name, value)
	}
	res, err = http.DefaultClient.Do(send)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.StatusCode, res.Body.Close())

	var stored blobhttp.UploadedFile
	end, err := json.Marshal(ticket.DirectEnd)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err = http.Post(srv.URL+"/uploads/complete", "application/json", bytes.NewReader(end))
	if err == nil {
		err = errors.Join(json.NewDecoder(res.Body).Decode(&stored), res.Body.Close())
	}
	fmt.Println(stored.Filename, stored.Size, stored.ContentType, err)
	// Output:
	// 201 <nil>
	// March.pdf 12 application/pdf <nil>
}

// A handler of the application responds with its own problem.
func ExampleWriteError() {
	quota := func(w http.ResponseWriter, r *http.Request) {
		blobhttp.WriteError(w, r, &blobhttp.Problem{
			Status: 413, Code: "quota", Detail: "Delete a file first.",
			Err: errors.New("tenant 7 has 1002 MiB"), // for the log, not for the client
		})
	}
	w := httptest.NewRecorder()
	quota(w, httptest.NewRequest("POST", "/files", nil))
	fmt.Println(w.Code, w.Body.String())
	// Output: 413 {"type":"about:blank","title":"Content too large","status":413,"code":"quota","detail":"Delete a file first."}
}

// Show an error on an HTML page.
func ExampleProblemOf() {
	err := fmt.Errorf("invoice 42: %w", fs.ErrNotExist) // for example, from a Store
	p := blobhttp.ProblemOf(err)
	fmt.Println(p.Status, p.Code)
	fmt.Printf("%s. %s\n", p.Title, p.Detail)
	// Output:
	// 404 not_found
	// File not found. The file does not exist or is not available to you. Check its address.
}
