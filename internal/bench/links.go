package main

// This file measures signed links. Each side returns a link as a string, as a
// program would issue it.

import (
	"net/url"
	"path/filepath"
	"time"

	"gocloud.dev/blob"
	cdk "gocloud.dev/blob/driver"
	"gocloud.dev/blob/fileblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

const (
	baseURL = "https://files.example.com/files/"
	linkKey = "invoices/0198f2ab-7c1e-7d43-9f2e-4b8a6a1f0c55_Rechnung.pdf"
)

var links = []row{
	{
		what: "local link", peer: "fileblob's URLSignerHMAC", goal: atMost(0.50),
		open: func(e *env) (side, side, error) {
			signer, theirs, err := hmacSigners()
			if err != nil {
				return nil, nil, err
			}
			return quick(func() error {
					_, err := signer.Sign(signurl.Grant{Key: linkKey, Expires: time.Now().Add(time.Hour)})
					return err
				}), quick(func() error {
					u, err := theirs.URLFromKey(e, linkKey, &cdk.SignedURLOptions{Method: "GET", Expiry: time.Hour})
					if err == nil {
						_ = u.String()
					}
					return err
				}), nil
		},
	},
	{
		what: "local link by Store.Link, with its event", peer: "fileblob's Bucket.SignedURL",
		open: func(e *env) (side, side, error) {
			signer, theirs, err := hmacSigners()
			if err != nil {
				return nil, nil, err
			}
			dir, err := e.dir()
			if err != nil {
				return nil, nil, err
			}
			store, err := blobstore.Open(e, "local://"+filepath.ToSlash(dir), audit.Discard,
				&blobstore.Options{DefaultActor: audit.Actor{UserID: "bench"}, Signer: signer})
			if err != nil {
				return nil, nil, err
			}
			e.cleanup(func() error { return store.Close(e) })
			bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{URLSigner: theirs})
			if err != nil {
				return nil, nil, err
			}
			e.cleanup(bucket.Close)
			return quick(func() error {
					_, err := store.Link(e, linkKey, nil)
					return err
				}), quick(func() error {
					_, err := bucket.SignedURL(e, linkKey, &blob.SignedURLOptions{Expiry: time.Hour})
					return err
				}), nil
		},
	},
}

func hmacSigners() (*signurl.Signer, *fileblob.URLSignerHMAC, error) {
	ours, err := signurl.New(baseURL, []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(baseURL)
	return ours, fileblob.NewURLSignerHMAC(u, []byte("0123456789abcdef0123456789abcdef")), err
}
