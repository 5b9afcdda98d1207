// Quickstart shows the main job with the embedded default, local files and
// SQLite. It stores a PDF invoice for a named user, issues a link, and fetches
// the file over HTTP through that link. It also shows that a manipulated link
// and an expired link are refused, and prints the resulting trail.
//
//	go run ./examples/quickstart [-dir folder] [file]
//
// Files and trail remain in the folder. If you run the program again, the trail
// grows.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the database of the trail

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore" // registers local:// URLs
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

//go:embed testdata/invoice.pdf
var sampleInvoice []byte

func main() {
	dir := flag.String("dir", "blobtrail-quickstart", "folder for the files and the trail")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: quickstart [-dir folder] [file]\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string, args []string) (err error) {
	name, content, err := invoice(args)
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	// A program opens the store, its trail and its links once. Most programs
	// read the settings from the environment: blobtrail.Open(ctx, nil).
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg, err := config.LoadFrom(map[string]string{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"),
		"AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "blobtrail.db"),
		"LINK_BASE_URL":      "http://" + listener.Addr().String() + "/links/",
		"LINK_SIGNING_KEYS":  signurl.GenerateKey().Encode(),
	})
	if err != nil {
		return err
	}
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(context.WithoutCancel(ctx))) }()
	store, journal := app.Store, app.Journal

	// Serve the links.
	mux := http.NewServeMux()
	mux.Handle("/links/", blobhttp.Links(store, nil))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx)))
		if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
	}()

	// One call stores the file, issues the link and records both.
	user := audit.WithActor(ctx, audit.Actor{UserID: "anna@example.com", TenantID: "nordlicht", IP: "203.0.113.7", UserAgent: "quickstart/1"})
	obj, err := store.Upload(user, blobstore.NewKey("invoices", name), bytes.NewReader(content), &blobstore.UploadOptions{
		Filename: name,
		Resource: audit.Resource{Type: "invoice", ID: "2026-0042"},
		Size:     int64(len(content)),
		Link:     &blobstore.LinkOptions{Expiry: 15 * time.Minute},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stored    %s\n          %d bytes, %s, SHA-256 %x\n", obj.Key, obj.Size, obj.ContentType, obj.SHA256)
	fmt.Fprintf(out, "link      %s\n          valid until %s\n\n", obj.Link.URL(), obj.Link.Expires.Local().Format(time.DateTime))

	if err := tryLinks(ctx, out, user, store, obj); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe trail in the database:\n\n")
	if err := printTrail(ctx, out, journal); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nFiles and trail are in %s (files/ and blobtrail.db).\n", dir)
	return nil
}

// invoice returns the file to store: the file on the command line, or the
// sample.
func invoice(args []string) (name string, content []byte, err error) {
	switch len(args) {
	case 0:
		return "Invoice 2026-0042.pdf", sampleInvoice, nil
	case 1:
		content, err = os.ReadFile(args[0])
		return filepath.Base(args[0]), content, err
	}
	return "", nil, fmt.Errorf("%d files given: want one file, or none for the sample invoice", len(args))
}

// tryLinks fetches the object through its link, and shows that invalid links
// are refused.
func tryLinks(ctx context.Context, out io.Writer, user context.Context, store *blobstore.Store, obj *blobstore.Object) error {
	status, body, err := get(ctx, obj.Link.URL())
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); status != http.StatusOK || !bytes.Equal(sum[:], obj.SHA256) {
		return fmt.Errorf("the link returned status %d and %d bytes that differ from the invoice", status, len(body))
	}
	fmt.Fprintf(out, "fetched   %d bytes over HTTP through the link: the same bytes\n", len(body))

	tampered := []byte(obj.Link.URL())
	last := len(tampered) - 2 // not the last letter, because some of its bits are ignored
	tampered[last] = 'A' + (tampered[last]-'A'+1)%26
	if status, _, err = get(ctx, string(tampered)); err != nil {
		return err
	}
	if status != http.StatusForbidden {
		return fmt.Errorf("a manipulated link returned status %d, want %d", status, http.StatusForbidden)
	}
	fmt.Fprintf(out, "tampered  one letter of the signature changed: refused with status %d\n", status)

	short, err := store.Link(user, obj.Key, &blobstore.LinkOptions{Expiry: time.Second})
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(short.Expires)):
	case <-ctx.Done():
		return ctx.Err()
	}
	if status, _, err = get(ctx, short.URL()); err != nil {
		return err
	}
	if status != http.StatusForbidden && status != http.StatusGone {
		return fmt.Errorf("an expired link returned status %d, want %d or %d", status, http.StatusForbidden, http.StatusGone)
	}
	fmt.Fprintf(out, "expired   a link with an expiry of one second: refused with status %d\n", status)
	return nil
}

func get(ctx context.Context, link string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
