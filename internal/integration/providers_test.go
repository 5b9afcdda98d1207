package integration

// This file tests the requirements on every provider, below the store. Package
// storetest tests them through the store. The sizes here are those at which
// providers change their way of writing.

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// backend is a backend for the tests of all backends.
type backend struct {
	name string
	open func(t testing.TB) driver.Bucket // a new bucket
	// residue returns the leftovers in the bucket besides objects; nil means
	// that none are possible.
	residue func(t testing.TB, b driver.Bucket) []string
}

var backends = []backend{
	{"s3/versitygw", func(t testing.TB) driver.Bucket { return openS3(t, VersityGW(t).options()) }, uploads},
	{"s3/minio", func(t testing.TB) driver.Bucket { return openS3(t, MinIO(t).options()) }, uploads},
	{"azure/azurite", func(t testing.TB) driver.Bucket { return openAzure(t, Azurite(t).options()) }, nil},
	{"gcs/fake+gate", func(t testing.TB) driver.Bucket { return openGCS(t, FakeGCS(t).options()) }, nil},
}

// opened opens a bucket, and retries if the server is too busy with other tests
// to respond in time.
func opened(t testing.TB, open func() (driver.Bucket, error)) driver.Bucket {
	t.Helper()
	for begun := time.Now(); ; {
		b, err := open()
		slow := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
		if !slow || time.Since(begun) > time.Minute {
			require.NoError(t, err)
			return b
		}
	}
}

func (be backend) left(t testing.TB, b driver.Bucket) []string {
	if be.residue == nil {
		return nil
	}
	return be.residue(t, b)
}

// everywhere runs a test on each backend.
func everywhere(t *testing.T, test func(t *testing.T, be backend, b driver.Bucket)) {
	for _, be := range backends {
		t.Run(be.name, func(t *testing.T) { test(t, be, be.open(t)) })
	}
}

// bucketName returns a unique name.
func bucketName() string { return "b-" + strings.ToLower(rand.Text()[:12]) }

// content returns n bytes without repetition.
func content(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}

// write stores content like a store.
func write(ctx context.Context, b driver.Bucket, key string, content []byte, size int64, ifNotExist bool) error {
	return writeAs(ctx, b, "op-1", key, content, size, ifNotExist)
}

func writeAs(ctx context.Context, b driver.Bucket, op, key string, content []byte, size int64, ifNotExist bool) error {
	c := provider.NewContent(bytes.NewReader(content), size, -1, nil)
	return b.Write(ctx, key, c, &driver.WriteOptions{
		IfNotExist: ifNotExist, Size: size, ContentType: "text/plain; charset=utf-8", CacheControl: "no-cache",
		Metadata: map[string]string{provider.MetaOp: op, provider.MetaFilename: "Rechnung März “7”.pdf", "color": "blue & green=+%"},
		Final: func() map[string]string {
			return map[string]string{provider.MetaSHA256: hex.EncodeToString(c.SHA256())}
		},
	})
}

func readAll(t *testing.T, b driver.Bucket, key string, offset, length int64) ([]byte, *driver.Reader) {
	t.Helper()
	r, err := b.Read(t.Context(), key, offset, length)
	require.NoError(t, err)
	p, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return p, r
}

func TestWriteAndRead(t *testing.T) {
	const mib = 1 << 20
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		for _, tt := range []struct {
			name  string
			n     int
			known bool
			parts bool
		}{
			{"empty", 0, false, false},
			{"empty known", 0, true, false},
			{"small", 1000, false, false},
			{"first buffer full", 256 << 10, false, false},
			{"just beyond the first buffer", 256<<10 + 1, false, false},
			{"a part", 8 * mib, false, false},
			{"a part and a byte", 8*mib + 1, false, true},
			{"most that is one request", 16*mib - 1, true, false},
			{"known and large", 16 * mib, true, true},
			{"three parts", 20*mib + 7, false, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				key := "Ordner/ä +%?#&=~'()*!/" + strings.ReplaceAll(tt.name, " ", "-") + ".txt"
				want, size := content(tt.n), int64(-1)
				if tt.known {
					size = int64(tt.n)
				}
				require.NoError(t, write(t.Context(), b, key, want, size, true))
				require.ErrorIs(t, writeAs(t.Context(), b, "op-2", key, want, size, true), fs.ErrExist)

				got, r := readAll(t, b, key, 0, -1)
				require.True(t, bytes.Equal(want, got))
				attrs, err := b.Blob().Attributes(t.Context(), key)
				require.NoError(t, err)
				sum := sha256.Sum256(want)
				meta := map[string]string{"color": "blue & green=+%", provider.MetaOp: "op-1", provider.MetaFilename: "Rechnung März “7”.pdf"}
				if !tt.parts || b.Info().Capabilities.KeepsSHA256 {
					meta[provider.MetaSHA256] = hex.EncodeToString(sum[:])
				}
				require.Equal(t, meta, attrs.Metadata)
				require.Equal(t, attrs.Metadata, r.Attributes.Metadata)
				require.Equal(t, attrs.ETag, r.Attributes.ETag)
				require.Equal(t, int64(tt.n), r.Attributes.Size)
				require.Equal(t, attrs.ModTime, r.Attributes.ModTime)
				require.Equal(t, "text/plain; charset=utf-8", r.Attributes.ContentType)
				require.Equal(t, "no-cache", r.Attributes.CacheControl)
			})
		}
		require.Empty(t, be.left(t, b))
	})
}

func TestRanges(t *testing.T) {
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		require.NoError(t, write(t.Context(), b, "k", []byte("0123456789"), -1, true))
		require.NoError(t, write(t.Context(), b, "empty", nil, -1, true))
		for _, tt := range []struct {
			key            string
			offset, length int64
			want           string
			err            error
		}{
			{"k", 0, -1, "0123456789", nil},
			{"k", 3, -1, "3456789", nil},
			{"k", 3, 4, "3456", nil},
			{"k", 3, 400, "3456789", nil},
			{"k", 3, 0, "", nil},
			{"k", 10, -1, "", nil},
			{"k", 10, 5, "", nil},
			{"k", 11, -1, "", driver.ErrRange},
			{"k", -1, -1, "", driver.ErrRange},
			{"empty", 0, -1, "", nil},
			{"empty", 0, 5, "", nil},
			{"empty", 1, 5, "", driver.ErrRange},
			{"missing", 0, -1, "", fs.ErrNotExist},
			{"missing", 5, 5, "", fs.ErrNotExist},
		} {
			t.Run(fmt.Sprintf("%s %d %d", tt.key, tt.offset, tt.length), func(t *testing.T) {
				if tt.err != nil {
					_, err := b.Read(t.Context(), tt.key, tt.offset, tt.length)
					require.ErrorIs(t, err, tt.err)
					return
				}
				got, r := readAll(t, b, tt.key, tt.offset, tt.length)
				require.Equal(t, tt.want, string(got))
				if tt.key == "k" {
					require.EqualValues(t, 10, r.Attributes.Size)
				}
			})
		}
	})
}

// failing returns n bytes and then an error.
type failing struct {
	n   int
	err error
	hit func()
}

func (f *failing) Read(p []byte) (int, error) {
	if f.n == 0 {
		if f.hit != nil {
			f.hit()
			return len(p), nil
		}
		return 0, f.err
	}
	n := min(len(p), f.n)
	f.n -= n
	return n, nil
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		boom := errors.New("boom")
		for _, n := range []int{0, 1000, 9 << 20, 17 << 20} {
			for _, size := range []int64{-1, 40 << 20} {
				t.Run(fmt.Sprintf("source fails after %d of %d", n, size), func(t *testing.T) {
					require.NoError(t, write(t.Context(), b, "old", []byte("old"), -1, false))
					o := &driver.WriteOptions{Size: size, ContentType: "text/plain"}
					require.ErrorIs(t, b.Write(t.Context(), "old", &failing{n: n, err: boom}, o), boom)
					require.ErrorIs(t, b.Write(t.Context(), "new", &failing{n: n, err: boom}, o), boom)
					got, _ := readAll(t, b, "old", 0, -1)
					require.Equal(t, "old", string(got))
					_, err := b.Read(t.Context(), "new", 0, -1)
					require.ErrorIs(t, err, fs.ErrNotExist)
					require.Empty(t, be.left(t, b))
				})
				t.Run(fmt.Sprintf("context ends after %d of %d", n, size), func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					r := &failing{n: n, hit: func() { cancel(boom) }}
					require.ErrorIs(t, b.Write(ctx, "new", r, &driver.WriteOptions{Size: size, ContentType: "text/plain"}), boom)
					_, err := b.Read(t.Context(), "new", 0, -1)
					require.ErrorIs(t, err, fs.ErrNotExist)
					require.Empty(t, be.left(t, b))
				})
			}
		}
	})
}

func TestOneCreatorWins(t *testing.T) {
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		require.NoError(t, write(t.Context(), b, "src", []byte("source"), -1, true))
		ways := map[string]func(key string) error{
			"one request": func(key string) error { return write(t.Context(), b, key, content(100), -1, true) },
			"multipart":   func(key string) error { return write(t.Context(), b, key, content(9<<20), -1, true) },
			"copy": func(key string) error {
				return b.Copy(t.Context(), key, "src", &driver.CopyOptions{IfNotExist: true})
			},
		}
		for name, create := range ways {
			t.Run(name, func(t *testing.T) {
				for round := range 2 {
					var wg sync.WaitGroup
					errs := make([]error, 8)
					for i := range errs {
						wg.Go(func() { errs[i] = create(fmt.Sprintf("%s-%d", name, round)) })
					}
					wg.Wait()
					won := 0
					for _, err := range errs {
						if err == nil {
							won++
						} else {
							assert.ErrorIs(t, err, fs.ErrExist)
						}
					}
					assert.Equal(t, 1, won)
				}
			})
		}
	})
}

func TestCopy(t *testing.T) {
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		for _, n := range []int{0, 1000, 9 << 20} {
			for _, create := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d create=%v", n, create), func(t *testing.T) {
					src, dst := fmt.Sprintf("quelle ä+%%/%d", n), fmt.Sprintf("ziel ä+%%/%d-%v", n, create)
					want := content(n)
					require.NoError(t, write(t.Context(), b, src, want, -1, false))
					o := &driver.CopyOptions{IfNotExist: create, Metadata: map[string]string{provider.MetaOp: "op-2", provider.MetaSHA256: strings.Repeat("ab", 32)}}
					require.NoError(t, b.Copy(t.Context(), dst, src, o))
					got, r := readAll(t, b, dst, 0, -1)
					require.True(t, bytes.Equal(want, got))
					require.Equal(t, map[string]string{
						"color": "blue & green=+%", provider.MetaOp: "op-2", provider.MetaFilename: "Rechnung März “7”.pdf", provider.MetaSHA256: strings.Repeat("ab", 32),
					}, r.Attributes.Metadata)
					require.Equal(t, "text/plain; charset=utf-8", r.Attributes.ContentType)
					require.Equal(t, "no-cache", r.Attributes.CacheControl)
					err := b.Copy(t.Context(), dst, src, o)
					if create {
						require.ErrorIs(t, err, fs.ErrExist)
					} else {
						require.NoError(t, err)
					}
				})
			}
		}
		require.ErrorIs(t, b.Copy(t.Context(), "x", "missing", &driver.CopyOptions{}), fs.ErrNotExist)
		require.Empty(t, be.left(t, b))
	})
}

func TestDelete(t *testing.T) {
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		require.NoError(t, write(t.Context(), b, "k", []byte("x"), -1, true))
		require.NoError(t, b.Delete(t.Context(), "k", &driver.DeleteOptions{}))
		require.ErrorIs(t, b.Delete(t.Context(), "k", &driver.DeleteOptions{}), fs.ErrNotExist)
	})
}
