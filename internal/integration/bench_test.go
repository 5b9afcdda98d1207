package integration

// This file compares the providers with the Go CDK and the SDKs, in one run.

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"flag"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func BenchmarkLink(b *testing.B) {
	sign := func(bucket driver.Bucket) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := bucket.Sign(b.Context(), "invoices/42/file.pdf", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(time.Hour), GrantID: "GRANT"})
				require.NoError(b, err)
			}
		}
	}
	byCDK := func(bucket driver.Bucket) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := bucket.Blob().SignedURL(b.Context(), "invoices/42/file.pdf", &blob.SignedURLOptions{Expiry: time.Hour})
				require.NoError(b, err)
			}
		}
	}
	onS3 := openS3(b, VersityGW(b).options())
	b.Run("s3/ours", sign(onS3))
	b.Run("s3/go cdk", byCDK(onS3))
	onAzure := openAzure(b, Azurite(b).options())
	b.Run("azure/ours", sign(onAzure))
	b.Run("azure/go cdk", byCDK(onAzure))
	b.Run("gcs/ours", sign(openGCS(b, FakeGCS(b).options())))
	b.Run("gcs/bare RSA-2048", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(b, err)
		sum := sha256.Sum256([]byte("x"))
		for b.Loop() {
			_, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
			require.NoError(b, err)
		}
	})
}

func BenchmarkS3Put(b *testing.B) {
	bucket := openS3(b, VersityGW(b).options())
	name := bucketOf(bucket)
	client := s3Client(b, bucket)
	for size, label := range map[int]string{1 << 10: "1 KiB", 1 << 20: "1 MiB", 15 << 20: "15 MiB"} {
		data := content(size)
		b.Run(label+"/ours", func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				require.NoError(b, write(b.Context(), bucket, "k", data, int64(size), false))
			}
		})
		b.Run(label+"/SDK PutObject", func(b *testing.B) {
			b.SetBytes(int64(size))
			key := "k"
			for b.Loop() {
				_, err := client.PutObject(b.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: bytes.NewReader(data)})
				require.NoError(b, err)
			}
		})
	}
}

// peak returns the maximum growth of the heap in bytes while do runs.
func peak(do func()) uint64 {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	do()
	close(done)
	wg.Wait()
	return max(most.Load(), before.HeapInuse) - before.HeapInuse
}

var streamMiB = flag.Int64("stream-mib", 0, "size of the streams whose heap is measured; 0: 300, 100 to Azurite, which is slow, and 40 for each of eight at once")

// Large streams must pass in a bounded heap. The services run in separate
// processes.
func TestHeapOfLargeStreams(t *testing.T) {
	const mib = 1 << 20
	size := func(def int64) int64 {
		if *streamMiB > 0 {
			return *streamMiB * mib
		}
		return def * mib
	}
	for _, be := range []struct {
		backend
		size, limit int64
	}{
		{backends[0], size(300), 24 * mib},
		{backends[1], size(300), 24 * mib},
		{backends[2], size(100), 24 * mib},
		{backend{name: "gcs/fake+gate", open: func(t testing.TB) driver.Bucket { return openGCS(t, remoteGCS(t).options()) }}, size(300), 24 * mib},
	} {
		t.Run(be.name, func(t *testing.T) {
			b := be.open(t)
			upload := func(key string, n int64) error {
				return b.Write(t.Context(), key, io.LimitReader(zeroes{}, n), &driver.WriteOptions{Size: -1, ContentType: "application/octet-stream"})
			}
			require.NoError(t, upload("warm", 1<<20))
			got := peak(func() { require.NoError(t, upload("k", be.size)) })
			t.Logf("a stream of %d MiB: %.1f MiB of heap", be.size/mib, float64(got)/mib)
			require.LessOrEqual(t, got, uint64(be.limit))
			if be.name != "s3/versitygw" {
				return
			}
			n := size(40)
			got = peak(func() {
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						if err := upload(string(rune('a'+i)), n); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			})
			t.Logf("eight streams of %d MiB: %.1f MiB of heap", n/mib, float64(got)/mib)
			require.LessOrEqual(t, got, uint64(8*be.limit))
		})
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }
