package main

// This file measures links of the clouds. Signing needs no service. A local
// service with one empty bucket responds to the requests of a provider that
// opens a bucket.

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/s3blob"
	"golang.org/x/oauth2"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/gcsstore"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/secret"
)

var cloudLinks = []row{
	{
		what: "S3 link", peer: "s3blob's SignedURL", goal: atMost(0.30),
		open: func(e *env) (side, side, error) {
			ours, theirs, err := s3Links(e)
			return quick(ours), quick(theirs), err
		},
	},
	{
		what: "S3 link, allocations", peer: "s3blob's SignedURL", unit: count, goal: noMoreThan(80), once: true,
		open: func(e *env) (side, side, error) {
			ours, theirs, err := s3Links(e)
			return allocations(ours), allocations(theirs), err
		},
	},
	{
		what: "S3 link by Store.Link, with its event", peer: "s3blob's SignedURL",
		open: func(e *env) (side, side, error) {
			b, err := openS3(e)
			if err != nil {
				return nil, nil, err
			}
			store, err := blobstore.New(b, audit.Discard, &blobstore.Options{DefaultActor: audit.Actor{UserID: "bench"}})
			if err != nil {
				return nil, nil, err
			}
			_, theirs, err := s3Links(e)
			return quick(func() error {
				_, err := store.Link(e, linkKey, nil)
				return err
			}), quick(theirs), err
		},
	},
	{
		what: "Azure link, shared key", peer: "azureblob's SignedURL", goal: atMost(0.70),
		open: func(e *env) (side, side, error) {
			key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 64)))
			address := emptyService(e) + "/account"
			b, err := azurestore.Open(e, &azurestore.Options{Container: "files", Account: "account", Key: secret.New(key), AccountURL: address})
			if err != nil {
				return nil, nil, err
			}
			e.cleanup(b.Close)
			cred, err := container.NewSharedKeyCredential("account", key)
			if err != nil {
				return nil, nil, err
			}
			client, err := container.NewClientWithSharedKeyCredential(address+"/files", cred, nil)
			if err != nil {
				return nil, nil, err
			}
			theirs, err := azureblob.OpenBucket(e, client, nil)
			if err != nil {
				return nil, nil, err
			}
			e.cleanup(theirs.Close)
			return quick(signing(e, b)), quick(signedURL(e, theirs)), nil
		},
	},
	{
		what: "GCS link, key of a service account", peer: "a bare RSA-2048 signature", goal: atMost(1.05),
		open: func(e *env) (side, side, error) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				return nil, nil, err
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return nil, nil, err
			}
			dir, err := e.dir()
			if err != nil {
				return nil, nil, err
			}
			file := filepath.Join(dir, "key.pem")
			if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				return nil, nil, err
			}
			b, err := gcsstore.Open(e, &gcsstore.Options{
				Bucket: "files", Endpoint: emptyService(e), TokenSource: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "none"}),
				AccessID: "bench@project.iam.gserviceaccount.com", PrivateKeyFile: file,
			})
			if err != nil {
				return nil, nil, err
			}
			e.cleanup(b.Close)
			digest := sha256.Sum256([]byte(linkKey))
			return quick(signing(e, b)), quick(func() error {
				_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
				return err
			}), nil
		},
	},
}

// signing signs a download link with a provider.
func signing(e *env, b driver.Bucket) func() error {
	return func() error {
		_, err := b.Sign(e, linkKey, &driver.SignOptions{
			Method: http.MethodGet, Expires: time.Now().Add(time.Hour), GrantID: "GRANT0123456789ABCDEFGHIJ",
		})
		return err
	}
}

func signedURL(e *env, b *blob.Bucket) func() error {
	return func() error {
		_, err := b.SignedURL(e, linkKey, &blob.SignedURLOptions{Expiry: time.Hour})
		return err
	}
}

const s3AccessKey, s3SecretKey = "bench-access", "bench-secret-that-opens-nothing"

func openS3(e *env) (driver.Bucket, error) {
	b, err := s3store.Open(e, &s3store.Options{
		Bucket: "files", Region: "eu-central-1", AccessKey: secret.New(s3AccessKey), SecretKey: secret.New(s3SecretKey),
		Endpoint: emptyService(e), UsePathStyle: true,
	})
	if err == nil {
		e.cleanup(b.Close)
	}
	return b, err
}

func s3Links(e *env) (ours, theirs func() error, err error) {
	b, err := openS3(e)
	if err != nil {
		return nil, nil, err
	}
	client := s3.New(s3.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(emptyService(e)), UsePathStyle: true,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(s3AccessKey, s3SecretKey, "")),
	})
	bucket, err := s3blob.OpenBucket(e, client, "files", nil)
	if err != nil {
		return nil, nil, err
	}
	e.cleanup(bucket.Close)
	return signing(e, b), signedURL(e, bucket), nil
}

// emptyService responds to every listing request, in the format of all three
// clouds.
func emptyService(e *env) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/b/") || strings.HasPrefix(r.URL.Path, "/storage/"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"kind":"storage#objects"}`))
		case r.URL.Query().Has("comp"):
			w.Header().Set("Content-Type", "application/xml")
			_, _ = w.Write([]byte(`<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>`))
		default:
			w.Header().Set("Content-Type", "application/xml")
			_, _ = w.Write([]byte(`<ListBucketResult><Name>files</Name><KeyCount>0</KeyCount></ListBucketResult>`))
		}
	}))
	e.cleanup(func() error { server.Close(); return nil })
	return server.URL
}
