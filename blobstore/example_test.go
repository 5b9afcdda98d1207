package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// newStore opens a store in memory with a trail in memory. Its links lead to
// https://files.example.com/files/.
func newStore() (context.Context, *blobstore.Store, *audit.Memory) {
	return newStoreWith(nil)
}

func newStoreWith(authorize func(context.Context, audit.Event) error) (context.Context, *blobstore.Store, *audit.Memory) {
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		log.Fatal(err)
	}
	trail := new(audit.Memory)
	store, err := blobstore.New(memstore.New(), trail, &blobstore.Options{
		Signer: signer, Grants: new(signurl.MemoryGrants), Authorize: authorize,
	})
	if err != nil {
		log.Fatal(err)
	}
	return audit.WithActor(context.Background(), audit.Actor{UserID: "anna"}), store, trail
}

// put uploads content for an example.
func put(ctx context.Context, store *blobstore.Store, keys ...string) {
	for _, key := range keys {
		if _, err := store.Upload(ctx, key, strings.NewReader("%PDF-1.7 "+key), nil); err != nil {
			log.Fatal(err)
		}
	}
}

// printTrail prints the entries of a trail, oldest first.
func printTrail(ctx context.Context, trail audit.Reader) {
	for e, err := range trail.Entries(ctx, audit.Query{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Actor.UserID, e.Action, e.Outcome, e.Key)
	}
}

// Open a store. A program with real files uses a URL such as
// local:///var/lib/app/files and a journal of package sqlaudit.
func ExampleOpen() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	journal := new(audit.Memory)
	store, err := blobstore.Open(ctx, "mem://", journal, &blobstore.Options{MaxSize: 10 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)

	if _, err := store.Upload(ctx, "notes/1.txt", strings.NewReader("hello"), nil); err != nil {
		log.Fatal(err)
	}
	printTrail(ctx, journal)
	// Output:
	// anna upload ok notes/1.txt
}

// Store a file and get a link to it in one call.
func ExampleStore_Upload() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)

	obj, err := store.Upload(ctx, "invoices/42.pdf", strings.NewReader("%PDF-1.7 …"), &blobstore.UploadOptions{
		Filename:     "March.pdf",
		AllowedTypes: []string{"application/pdf", "image/*"},
		MaxSize:      10 << 20,
		Resource:     audit.Resource{Type: "invoice", ID: "42"},
		Link:         &blobstore.LinkOptions{Expiry: time.Hour},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(obj.Size, obj.ContentType)
	fmt.Println(strings.HasPrefix(obj.Link.URL(), "https://files.example.com/files/invoices/42.pdf?"))
	printTrail(ctx, trail)
	// Output:
	// 12 application/pdf
	// true
	// anna upload ok invoices/42.pdf
	// anna generate_url ok invoices/42.pdf
}

// Errors are the same on every backend.
func ExampleStore_Upload_errors() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)

	_, err := store.Upload(ctx, "a.pdf", strings.NewReader("plain text"), &blobstore.UploadOptions{
		AllowedTypes: []string{"application/pdf"},
	})
	fmt.Println(errors.Is(err, blobstore.ErrContentType))

	_, err = store.Upload(ctx, "a.pdf", strings.NewReader("too long"), &blobstore.UploadOptions{MaxSize: 3})
	fmt.Println(errors.Is(err, blobstore.ErrTooLarge))
	// Output:
	// true
	// true
}

// Read a range of an object.
func ExampleStore_Download() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)
	if _, err := store.Upload(ctx, "log.txt", strings.NewReader("first line\nsecond line\n"), nil); err != nil {
		log.Fatal(err)
	}

	r, err := store.Download(ctx, "log.txt", &blobstore.DownloadOptions{
		Range: blobstore.Range{Offset: 11, Length: 6},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q of %d bytes\n", data, r.Object.Size)
	// Output:
	// "second" of 23 bytes
}

// Read the last bytes of an object, without knowing its size in advance.
func ExampleStore_DownloadRanges() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)
	if _, err := store.Upload(ctx, "log.txt", strings.NewReader("first line\nsecond line\n"), nil); err != nil {
		log.Fatal(err)
	}

	ranges, err := store.DownloadRanges(ctx, "log.txt", &blobstore.RangesOptions{
		Choose: func(obj *blobstore.Object) ([]blobstore.Range, error) {
			return []blobstore.Range{{Offset: obj.Size - 5, Length: 5}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ranges.Close()
	r, err := ranges.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", data)
	// Output:
	// "line\n"
}

// Store a file together with a row in the application's database, so that both
// are kept or neither is.
func ExampleStore_Stage() {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	dir, err := os.MkdirTemp("", "blobtrail")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "app.db")
	journal, err := sqlaudit.Open(ctx, "sqlite:"+file, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	store, err := blobstore.New(memstore.New(), journal, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)
	db, err := sqlx.Open("sqlite", file) // the application's tables, in the same database
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.MustExec("CREATE TABLE invoices (id TEXT, file TEXT)")

	// The upload comes first, so that the transaction is short.
	staged, err := store.Stage(ctx, blobstore.NewKey("invoices", "March.pdf"), strings.NewReader("%PDF-1.7"), nil)
	if err != nil {
		log.Fatal(err)
	}
	err = func() error {
		tx, err := db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.Exec("INSERT INTO invoices VALUES ('42', ?)", staged.Object.Key); err != nil {
			return err
		}
		if err := journal.CommitTx(ctx, tx, staged); err != nil {
			return err
		}
		return tx.Commit()
	}()
	if err != nil {
		staged.Leave() // Reconcile keeps or removes the file, in agreement with the row
		log.Fatal(err)
	}
	if err := staged.Commit(ctx); err != nil {
		log.Fatal(err)
	}

	var key string
	if err := db.Get(&key, "SELECT file FROM invoices WHERE id = '42'"); err != nil {
		log.Fatal(err)
	}
	_, err = store.Stat(ctx, key)
	fmt.Println("the row refers to a stored object:", err == nil)
	// Output:
	// the row refers to a stored object: true
}

// List the folders and files below a prefix.
func ExampleStore_List() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)
	put(ctx, store, "invoices/2025/1.pdf", "invoices/2025/2.pdf", "invoices/2026/1.pdf", "invoices/readme.pdf")

	for obj, err := range store.List(ctx, &blobstore.ListOptions{Prefix: "invoices/", Delimiter: "/"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(obj.Key, obj.IsPrefix)
	}
	// Output:
	// invoices/2025/ true
	// invoices/2026/ true
	// invoices/readme.pdf false
}

// Find damaged objects, and objects unknown to the trail.
func ExampleStore_Scrub() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)
	put(ctx, store, "a.pdf", "b.pdf")

	for finding, err := range store.Scrub(ctx, &blobstore.ScrubOptions{Trail: trail}) {
		if err != nil {
			log.Fatal(err) // the scrub could not be completed
		}
		fmt.Println(finding.Object.Key, finding.Err)
	}
	// Output:
	// a.pdf <nil>
	// b.pdf <nil>
}

// Settle the operations of killed processes, at program start and every few
// minutes after that.
func ExampleStore_Reconcile() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)

	// A process was killed after it recorded the intent to upload a file.
	info := store.Info()
	_, err := trail.Begin(ctx, audit.Event{
		Action: audit.ActionUpload, Key: "a.pdf", Backend: info.Backend, Bucket: info.Bucket,
	}, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	trail.Now = func() time.Time { return time.Now().Add(time.Hour) } // its lease has expired

	settled, err := store.Reconcile(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("had no effect:", settled.Failed)
	printTrail(ctx, trail)
	// Output:
	// had no effect: 1
	// anna upload failed a.pdf
}

// Test the store at program start and in readiness probes.
func ExampleStore_Check() {
	ctx, store, _ := newStore()
	defer store.Close(ctx)

	err := store.Check(ctx)
	if check := (*blobstore.CheckError)(nil); errors.As(err, &check) {
		log.Fatalf("step %s failed: %v: %s", check.Step, check.Err, check.Advice)
	}
	fmt.Println(err)
	// Output:
	// <nil>
}

// Rename an object. The destination comes first.
func ExampleStore_Move() {
	ctx, store, trail := newStore()
	defer store.Close(ctx)
	put(ctx, store, "drafts/a.pdf")

	if err := store.Move(ctx, "final/a.pdf", "drafts/a.pdf", nil); err != nil {
		log.Fatal(err)
	}
	printTrail(ctx, trail)
	// Output:
	// anna upload ok drafts/a.pdf
	// anna move ok final/a.pdf
	// anna delete ok drafts/a.pdf
}

// Create a unique key from the name of a file.
func ExampleNewKey() {
	key := blobstore.NewKey("invoices", "../März 2026.pdf")
	prefix, name, _ := strings.Cut(key, "_")
	fmt.Println(len(prefix) == len("invoices/")+36, name)
	fmt.Println(blobstore.CheckKey(key))
	fmt.Println(errors.Is(blobstore.CheckKey("../a"), blobstore.ErrInvalidKey))
	// Output:
	// true März 2026.pdf
	// <nil>
	// true
}
