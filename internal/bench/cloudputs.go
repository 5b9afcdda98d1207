package main

// This file compares small uploads of known size to S3 with the SDK's own
// PutObject. The service discards the content, so that only the client's work
// is measured.

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/secret"
)

var cloudPuts = []row{
	s3Put("1 KiB", 1<<10),
	s3Put("1 MiB", 1<<20),
	s3Put("15 MiB", 15<<20),
	{
		what: "S3 PUT of known size, 15 MiB, requests", unit: count, goal: noMoreThan(1), once: true,
		open: func(e *env) (side, side, error) {
			service := newSink(e)
			ours, _, err := s3Puts(e, service, 15<<20)
			return func(int) (float64, error) {
				before := service.requests.Load()
				err := ours()
				return float64(service.requests.Load() - before), err
			}, nil, err
		},
	},
}

func s3Put(name string, size int) row {
	return row{
		what: "S3 PUT of known size, SHA-256, " + name, peer: "the SDK's PutObject", goal: atMost(1.10),
		open: func(e *env) (side, side, error) {
			ours, theirs, err := s3Puts(e, newSink(e), size)
			return quick(ours), quick(theirs), err
		},
	}
}

// s3Puts stores the same content on both sides. Both compute its digest as part
// of each upload.
func s3Puts(e *env, service *sink, size int) (ours, theirs func() error, err error) {
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	b, err := s3store.Open(e, &s3store.Options{
		Bucket: "files", Region: "eu-central-1", AccessKey: secret.New(s3AccessKey), SecretKey: secret.New(s3SecretKey), Endpoint: service.URL, UsePathStyle: true,
	})
	if err != nil {
		return nil, nil, err
	}
	e.cleanup(b.Close)
	client := s3.New(s3.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(service.URL), UsePathStyle: true,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(s3AccessKey, s3SecretKey, "")),
	})
	return func() error {
			c := provider.NewContent(bytes.NewReader(content), int64(size), -1, nil)
			return b.Write(e, linkKey, c, &driver.WriteOptions{
				IfNotExist: true, Size: int64(size), ContentType: "application/pdf", Metadata: map[string]string{provider.MetaOp: "op"},
				Final: func() map[string]string {
					return map[string]string{provider.MetaSHA256: hex.EncodeToString(c.SHA256())}
				},
			})
		}, func() error {
			sum := sha256.Sum256(content)
			_, err := client.PutObject(e, &s3.PutObjectInput{
				Bucket: aws.String("files"), Key: aws.String(linkKey), Body: bytes.NewReader(content), ContentType: aws.String("application/pdf"),
				IfNoneMatch: aws.String("*"), Metadata: map[string]string{"op": "op", "sha256": fmt.Sprintf("%x", sum)},
			})
			return err
		}, nil
}

// sink is a service that accepts everything.
type sink struct {
	*httptest.Server
	requests atomic.Int64
}

func newSink(e *env) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"etag"`)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `<ListBucketResult><Name>files</Name><KeyCount>0</KeyCount></ListBucketResult>`)
		}
	}))
	e.cleanup(func() error { s.Close(); return nil })
	return s
}
