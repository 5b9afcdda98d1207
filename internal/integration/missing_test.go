package integration

// This file tests a bucket that is removed under a running store. Nothing may
// conclude from its responses that an object is missing.

import (
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cloud.google.com/go/storage"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/transfer"
)

// removeBucket empties and removes a bucket without the store.
func removeBucket(t *testing.T, b driver.Bucket) {
	t.Helper()
	ctx := t.Context()
	var keys []string
	for o, err := range b.List(ctx, nil) {
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
	for _, key := range keys {
		require.NoError(t, b.Delete(ctx, key, &driver.DeleteOptions{}))
	}
	switch b.Info().Backend {
	case "s3":
		name := bucketOf(b)
		client, key := s3Client(t, b), "probe"
		require.Eventually(t, func() bool {
			_, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
			assert.NoError(t, err)
			// MinIO detects the removal with a delay. Until then, it creates
			// the bucket again with the first object.
			_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: &key})
			if err == nil {
				_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &name, Key: &key})
				assert.NoError(t, err)
			}
			return err != nil
		}, 20*time.Second, 50*time.Millisecond)
	case "azure":
		var c *container.Client
		require.True(t, b.Blob().As(&c))
		_, err := c.Delete(ctx, nil)
		require.NoError(t, err)
	case "gcs":
		var c *storage.Client
		require.True(t, b.Blob().As(&c))
		require.NoError(t, c.Bucket(bucketOf(b)).Delete(ctx))
	}
}

func TestMissingBucket(t *testing.T) {
	for _, be := range backends {
		t.Run(be.name, func(t *testing.T) {
			b := be.open(t)
			trail := &audit.Memory{}
			s, err := blobstore.New(b, trail, nil)
			require.NoError(t, err)
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			_, err = s.Upload(ctx, "d/a", strings.NewReader("x"), nil)
			require.NoError(t, err)
			_, err = s.Stat(ctx, "d/none")
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NotErrorIs(t, err, blobstore.ErrNoBucket)
			require.ErrorIs(t, s.Delete(ctx, "d/none", nil), fs.ErrNotExist)
			for _, a := range []audit.Action{audit.ActionUpload, audit.ActionDelete} {
				_, err = trail.Begin(ctx, audit.Event{Action: a, Key: "d/b", Backend: b.Info().Backend, Bucket: b.Info().Bucket}, time.Minute)
				require.NoError(t, err)
			}
			removeBucket(t, b)

			other, err := blobstore.New(memstore.New(), trail, nil)
			require.NoError(t, err)
			_, err = other.Upload(ctx, "d/a", strings.NewReader("x"), nil)
			require.NoError(t, err)
			for op, fn := range map[string]func() error{
				"stat":     func() error { _, err := s.Stat(ctx, "d/a"); return err },
				"download": func() error { _, err := s.Download(ctx, "d/a", nil); return err },
				"a part": func() error {
					_, err := s.Download(ctx, "d/a", &blobstore.DownloadOptions{Range: blobstore.Range{Offset: 1}})
					return err
				},
				"delete":        func() error { return s.Delete(ctx, "d/a", nil) },
				"delete prefix": func() error { _, err := s.DeletePrefix(ctx, "d/", nil); return err },
				"copy":          func() error { return s.Copy(ctx, "d/c", "d/a", nil) },
				"move":          func() error { return s.Move(ctx, "d/c", "d/a", nil) },
				"list":          func() error { return last(s.List(ctx, nil)) },
				"scrub":         func() error { return last(s.Scrub(ctx, nil)) },
				"upload":        func() error { _, err := s.Upload(ctx, "d/new", strings.NewReader("x"), nil); return err },
				"large upload":  func() error { _, err := s.Upload(ctx, "d/new", bytes.NewReader(make([]byte, 17<<20)), nil); return err },
				"reconcile": func() error {
					trail.Now = func() time.Time { return time.Now().Add(time.Hour) }
					_, err := s.Reconcile(ctx)
					trail.Now = nil
					return err
				},
				"check":         func() error { return s.Check(ctx) },
				"transfer to":   func() error { _, err := transfer.Copy(ctx, s, other, nil); return err },
				"transfer from": func() error { _, err := transfer.Copy(ctx, other, s, nil); return err },
			} {
				err := fn()
				assert.ErrorIs(t, err, blobstore.ErrNoBucket, op)
				assert.NotErrorIs(t, err, fs.ErrNotExist, op)
				assert.Equal(t, http.StatusServiceUnavailable, blobhttp.ProblemOf(err).Status, op)
			}
			var ce *blobstore.CheckError
			require.ErrorAs(t, s.Check(ctx), &ce)
			require.Contains(t, ce.Advice, "does not exist")
			require.GreaterOrEqual(t, trail.OpenIntents(), 2, "nothing is settled because of it")
			for e, err := range trail.Entries(ctx, audit.Query{Actions: []audit.Action{audit.ActionDelete}}) {
				require.NoError(t, err)
				require.NotEqual(t, audit.OutcomeOK, e.Outcome)
			}
		})
	}
}

// Another program stored an object with an encoding, like gsutil -z.
func TestEncodedObjectOfAnotherProgram(t *testing.T) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, err := zw.Write(bytes.Repeat([]byte("x"), 12_000))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	for _, be := range backends {
		t.Run(be.name, func(t *testing.T) {
			b, ctx := be.open(t), audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			require.NoError(t, b.Write(ctx, "a", bytes.NewReader(packed.Bytes()), &driver.WriteOptions{
				Size: int64(packed.Len()), ContentType: "text/plain", ContentEncoding: "gzip",
			}))
			s, err := blobstore.New(b, &audit.Memory{}, nil)
			require.NoError(t, err)
			obj, err := s.Stat(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, "gzip", obj.ContentEncoding)
			dst, err := blobstore.New(memstore.New(), &audit.Memory{}, nil)
			require.NoError(t, err)
			_, err = transfer.Copy(ctx, dst, s, nil)
			require.NoError(t, err)
			copied, err := dst.Stat(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, "gzip", copied.ContentEncoding)
			require.Equal(t, int64(packed.Len()), copied.Size)
			_, err = transfer.Copy(ctx, s, dst, &transfer.Options{Key: func(k string) (string, bool) { return "back/" + k, true }})
			require.NoError(t, err)
			back, err := s.Stat(ctx, "back/a")
			require.NoError(t, err)
			require.Equal(t, "gzip", back.ContentEncoding)
		})
	}
}

// Opening had to create the bucket, although the trail records its use.
func TestCreatedBucketIsRefused(t *testing.T) {
	s3, azure := VersityGW(t), Azurite(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", azure.options().ConnectionString.Reveal())
	for name, url := range map[string]string{
		"s3":    "s3://" + bucketName() + "?region=us-east-1&use_path_style=true&create=true&sse=none&endpoint=" + s3.Endpoint,
		"azure": "azblob://" + bucketName() + "?create=true",
	} {
		t.Run(name, func(t *testing.T) {
			trail, ctx := &audit.Memory{}, audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			for _, key := range []string{"a", "b"} { // a new deployment and its next start
				s, err := blobstore.Open(ctx, url, trail, nil)
				require.NoError(t, err)
				_, err = s.Upload(ctx, key, strings.NewReader("x"), nil)
				require.NoError(t, err)
				require.NoError(t, s.Close(context.Background()))
			}
			b, err := driver.Open(ctx, url, driver.Credentials{})
			require.NoError(t, err)
			removeBucket(t, b)
			require.NoError(t, b.Close())
			for range 2 { // the created bucket is removed again
				_, err = blobstore.Open(ctx, url, trail, nil)
				require.ErrorIs(t, err, blobstore.ErrNoBucket)
				require.ErrorContains(t, err, "create it by hand")
			}
		})
	}
}

// last returns the last error of a sequence.
func last[V any](seq iter.Seq2[V, error]) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}
