package integration

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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
)

// s3Servers runs a test on each S3 server.
func s3Servers(t *testing.T, test func(t *testing.T, s *S3)) {
	for name, get := range map[string]func(testing.TB) *S3{"versitygw": VersityGW, "minio": MinIO} {
		t.Run(name, func(t *testing.T) { test(t, get(t)) })
	}
}

// bucketName returns a name that no other test has.
func bucketName() string { return "b-" + strings.ToLower(rand.Text()[:12]) }

// options describe a fresh bucket of s.
func (s *S3) options() *s3store.Options {
	return &s3store.Options{
		Bucket: bucketName(), Endpoint: s.Endpoint, UsePathStyle: true, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Create: true,
	}
}

func openS3(t *testing.T, o *s3store.Options) driver.Bucket {
	t.Helper()
	b, err := s3store.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

func s3Client(t *testing.T, b driver.Bucket) *s3.Client {
	t.Helper()
	var c *s3.Client
	require.True(t, b.Blob().As(&c))
	return c
}

// content returns n bytes that do not repeat.
func content(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}

// write stores content as a store would.
func write(ctx context.Context, b driver.Bucket, key string, content []byte, size int64, ifNotExist bool) error {
	c := driver.NewContent(bytes.NewReader(content), size, -1, nil)
	return b.Write(ctx, key, c, &driver.WriteOptions{
		IfNotExist: ifNotExist, Size: size, ContentType: "text/plain; charset=utf-8", CacheControl: "no-cache",
		Metadata: map[string]string{driver.MetaOp: "op-1", driver.MetaFilename: "Rechnung März “7”.pdf", "color": "blue & green=+%"},
		Final:    func() map[string]string { return map[string]string{driver.MetaSHA256: hex.EncodeToString(c.SHA256())} },
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

func TestS3WriteAndRead(t *testing.T) {
	const mib = 1 << 20
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
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
				require.ErrorIs(t, write(t.Context(), b, key, want, size, true), fs.ErrExist)

				got, r := readAll(t, b, key, 0, -1)
				require.True(t, bytes.Equal(want, got))
				attrs, err := b.Blob().Attributes(t.Context(), key)
				require.NoError(t, err)
				sum := sha256.Sum256(want)
				meta := map[string]string{"color": "blue & green=+%", driver.MetaOp: "op-1", driver.MetaFilename: "Rechnung März “7”.pdf"}
				if !tt.parts {
					meta[driver.MetaSHA256] = hex.EncodeToString(sum[:])
				}
				require.Equal(t, meta, attrs.Metadata)
				require.Equal(t, attrs.Metadata, r.Attributes.Metadata)
				require.Equal(t, attrs.ETag, r.Attributes.ETag)
				require.Equal(t, int64(tt.n), r.Attributes.Size)
				require.Equal(t, attrs.ModTime, r.Attributes.ModTime)
				require.Equal(t, "text/plain; charset=utf-8", r.Attributes.ContentType)
				require.Equal(t, "no-cache", r.Attributes.CacheControl)
				require.Equal(t, tt.parts, strings.Contains(attrs.ETag, "-"))
			})
		}
		require.Empty(t, uploads(t, b, s))
	})
}

// uploads returns the multipart uploads that are unfinished.
func uploads(t *testing.T, b driver.Bucket, _ *S3) []types.MultipartUpload {
	t.Helper()
	name := bucketOf(b)
	out, err := s3Client(t, b).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &name})
	require.NoError(t, err)
	return out.Uploads
}

func bucketOf(b driver.Bucket) string {
	name := b.Info().Bucket
	return name[strings.LastIndexByte(name, '/')+1:]
}

func TestS3Ranges(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
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

// failing gives n bytes and then an error.
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

func TestS3FailedWriteLeavesNothing(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
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
					require.Empty(t, uploads(t, b, s))
				})
				t.Run(fmt.Sprintf("context ends after %d of %d", n, size), func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					r := &failing{n: n, hit: func() { cancel(boom) }}
					require.ErrorIs(t, b.Write(ctx, "new", r, &driver.WriteOptions{Size: size, ContentType: "text/plain"}), boom)
					_, err := b.Read(t.Context(), "new", 0, -1)
					require.ErrorIs(t, err, fs.ErrNotExist)
					require.Empty(t, uploads(t, b, s))
				})
			}
		}
	})
}

func TestS3OneCreatorWins(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
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
				for round := range 3 {
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

func TestS3Copy(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
		for _, n := range []int{0, 1000, 9 << 20} {
			for _, create := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d create=%v", n, create), func(t *testing.T) {
					src, dst := fmt.Sprintf("quelle ä+%%/%d", n), fmt.Sprintf("ziel ä+%%/%d-%v", n, create)
					want := content(n)
					require.NoError(t, write(t.Context(), b, src, want, -1, false))
					o := &driver.CopyOptions{IfNotExist: create, Metadata: map[string]string{driver.MetaOp: "op-2", driver.MetaSHA256: strings.Repeat("ab", 32)}}
					require.NoError(t, b.Copy(t.Context(), dst, src, o))
					got, r := readAll(t, b, dst, 0, -1)
					require.True(t, bytes.Equal(want, got))
					require.Equal(t, map[string]string{
						"color": "blue & green=+%", driver.MetaOp: "op-2", driver.MetaFilename: "Rechnung März “7”.pdf", driver.MetaSHA256: strings.Repeat("ab", 32),
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
		require.Empty(t, uploads(t, b, s))
	})
}

func TestS3Sweep(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		o := s.options()
		o.StaleAfter = 3 * time.Second
		b := openS3(t, o)
		ctx, client := t.Context(), s3Client(t, b)

		// What a killed process leaves, under this key and another that begins alike.
		for _, key := range []string{"dir/k", "dir/k2"} {
			_, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: aws.String(key)})
			require.NoError(t, err)
		}
		require.NoError(t, b.Sweep(ctx, "dir/k"))
		require.Len(t, uploads(t, b, s), 2, "too young to be swept")

		// A writer that lives, but whose source is silent for longer than a dead
		// one is left alone.
		release, wrote := make(chan struct{}), make(chan error, 1)
		slow := io.MultiReader(bytes.NewReader(content(9<<20)), waiting(release), strings.NewReader("end"))
		go func() {
			wrote <- b.Write(ctx, "dir/k", slow, &driver.WriteOptions{Size: -1, ContentType: "text/plain"})
		}()
		require.Eventually(t, func() bool { return len(uploads(t, b, s)) == 3 }, 10*time.Second, 50*time.Millisecond)
		begun := time.Now()
		require.Eventually(t, func() bool {
			require.NoError(t, b.Sweep(ctx, "dir/k"))
			return len(uploads(t, b, s)) == 2
		}, 20*time.Second, 200*time.Millisecond)
		for time.Since(begun) < 2*o.StaleAfter { // the sweeping goes on for as long as it takes to see a beat missed
			require.NoError(t, b.Sweep(ctx, "dir/k"))
		}
		close(release)
		require.NoError(t, <-wrote)
		got, _ := readAll(t, b, "dir/k", 0, -1)
		require.Len(t, got, 9<<20+3, "the beats are no part of the object")

		left := uploads(t, b, s)
		require.Len(t, left, 1)
		require.Equal(t, "dir/k2", aws.ToString(left[0].Key))
	})
}

// waiting is empty, but only ends when c is closed.
func waiting(c <-chan struct{}) io.Reader {
	return readerFunc(func([]byte) (int, error) { <-c; return 0, io.EOF })
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestS3Delete(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		b := openS3(t, s.options())
		require.NoError(t, write(t.Context(), b, "k", []byte("x"), -1, true))
		require.NoError(t, b.Delete(t.Context(), "k"))
		require.ErrorIs(t, b.Delete(t.Context(), "k"), fs.ErrNotExist)
	})
}

func TestS3Encryption(t *testing.T) {
	s := MinIO(t)
	for _, tt := range []struct {
		name, sse, key string
		want           types.ServerSideEncryption
	}{
		{"default", "", "", types.ServerSideEncryptionAes256},
		{"AES256", "AES256", "", types.ServerSideEncryptionAes256},
		{"aws:kms", "aws:kms", s.KMSKey, types.ServerSideEncryptionAwsKms},
		{"none", "none", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := s.options()
			o.Encryption, o.KMSKeyID = tt.sse, tt.key
			b := openS3(t, o)
			ctx := t.Context()
			require.NoError(t, write(ctx, b, "put", []byte("x"), -1, true))
			require.NoError(t, write(ctx, b, "parts", content(9<<20), -1, true))
			require.NoError(t, b.Copy(ctx, "copy", "put", &driver.CopyOptions{}))
			require.NoError(t, b.Copy(ctx, "created copy", "put", &driver.CopyOptions{IfNotExist: true}))
			require.NoError(t, b.Blob().WriteAll(ctx, "by the Go CDK", []byte("x"), nil))
			for _, key := range []string{"put", "parts", "copy", "created copy", "by the Go CDK"} {
				head, err := s3Client(t, b).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.Bucket, Key: &key})
				require.NoError(t, err)
				require.Equal(t, tt.want, head.ServerSideEncryption, key)
				if tt.key != "" {
					require.Contains(t, aws.ToString(head.SSEKMSKeyId), tt.key, key)
				}
			}
		})
	}
}

func TestS3Open(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		open := func(change func(o *s3store.Options)) error {
			o := s.options()
			change(o)
			begun := time.Now()
			b, err := s3store.New(t.Context(), o)
			assert.Less(t, time.Since(begun), 6*time.Second)
			if err == nil {
				assert.NoError(t, b.Close())
			} else if o.SecretKey != "" {
				assert.NotContains(t, err.Error(), o.SecretKey)
			}
			return err
		}
		err := open(func(o *s3store.Options) { o.Create = false })
		require.ErrorContains(t, err, "does not exist")
		require.ErrorContains(t, err, "create=true")
		err = open(func(o *s3store.Options) { o.SecretKey = "wrong-secret-key" })
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, "does not accept the credentials")
		err = open(func(o *s3store.Options) { o.AccessKey = "wrong-access" })
		require.ErrorIs(t, err, fs.ErrPermission)
		err = open(func(o *s3store.Options) { o.Endpoint = "http://127.0.0.1:1" })
		require.ErrorContains(t, err, "127.0.0.1:1")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.SecretKey = "" }), "give both")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.Endpoint = "localhost:9000" }), "https://")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.Encryption = "rot13" }), "AES256")
		require.NoError(t, open(func(*s3store.Options) {}))

		t.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
		b, err := driver.Open(t.Context(), "s3://"+bucketName()+"?region=us-east-1&use_path_style=true&create=true&sse=AES256&endpoint="+s.Endpoint)
		require.NoError(t, err)
		require.NoError(t, b.Close())
		_, err = driver.Open(t.Context(), "s3://"+bucketName()+"?regoin=us-east-1")
		require.ErrorContains(t, err, "regoin")
	})
}
