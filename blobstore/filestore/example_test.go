package filestore_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore" // local:// and file://
)

// This example stores a file in a folder and reads it back.
func Example() {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	trail := new(audit.Memory)
	store, err := blobstore.Open(ctx, "local://"+filepath.ToSlash(dir)+"/files?create=true", trail, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)

	if _, err := store.Upload(ctx, "invoices/march.txt", strings.NewReader("paid"), nil); err != nil {
		log.Fatal(err)
	}
	r, err := store.Download(ctx, "invoices/march.txt", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	fmt.Println(string(content), err)
	fmt.Println("durable:", store.Info().Capabilities.Durable)
	// Output:
	// paid <nil>
	// durable: true
}

// Wrong parameters are reported when the bucket is opened.
func Example_parameters() {
	for _, params := range []string{"?dir_mode=rwx", "?creat=true", "?create=true&create=false"} {
		_, err := driver.Open(context.Background(), "local:///var/lib/app/files"+params, driver.Credentials{})
		fmt.Println(err)
	}
	// Output:
	// local://: parameter dir_mode="rwx": want octal permissions such as 0700
	// local://: unknown parameter "creat": there are ["create" "dir_mode" "file_mode" "md5"]
	// local://: parameter "create" is given 2 times: want it once
}
