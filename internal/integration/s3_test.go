package integration

import (
	"bytes"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/secret"
)

// s3Servers runs a test on each S3 server.
func s3Servers(t *testing.T, test func(t *testing.T, s *S3)) {
	for name, get := range map[string]func(testing.TB) *S3{"versitygw": VersityGW, "minio": MinIO} {
		t.Run(name, func(t *testing.T) { test(t, get(t)) })
	}
}

// options returns options for a new bucket of s.
func (s *S3) options() *s3store.Options {
	return &s3store.Options{
		Bucket: bucketName(), Endpoint: s.Endpoint, UsePathStyle: true, AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey), Create: true,
	}
}

func openS3(t testing.TB, o *s3store.Options) driver.Bucket {
	t.Helper()
	b := opened(t, func() (driver.Bucket, error) { return s3store.Open(t.Context(), o) })
	t.Cleanup(func() { _ = b.Close() }) // the test may have closed it
	return b
}

func s3Client(t testing.TB, b driver.Bucket) *s3.Client {
	t.Helper()
	var c *s3.Client
	require.True(t, b.Blob().As(&c))
	return c
}

// uploads returns the keys of unfinished multipart uploads.
func uploads(t testing.TB, b driver.Bucket) []string {
	t.Helper()
	name := bucketOf(b)
	out, err := s3Client(t, b).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &name})
	require.NoError(t, err)
	var keys []string
	for _, u := range out.Uploads {
		keys = append(keys, aws.ToString(u.Key))
	}
	return keys
}

func bucketOf(b driver.Bucket) string {
	name := b.Info().Bucket
	return name[strings.LastIndexByte(name, '/')+1:]
}

func TestS3Sweep(t *testing.T) {
	s3Servers(t, func(t *testing.T, s *S3) {
		o := s.options()
		o.StaleAfter = 9 * time.Second
		b := openS3(t, o)
		ctx, client := t.Context(), s3Client(t, b)

		// These are the leftovers of a killed process, under this key and under
		// another with the same beginning.
		for _, key := range []string{"dir/k", "dir/k2"} {
			_, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: aws.String(key)})
			require.NoError(t, err)
		}
		require.NoError(t, b.Sweep(ctx, "dir/k"))
		require.Len(t, uploads(t, b), 2, "too young to be swept")

		// Reconciliation must not touch a running writer, even if its source is
		// silent for longer than StaleAfter.
		release, wrote := make(chan struct{}), make(chan error, 1)
		slow := io.MultiReader(bytes.NewReader(content(9<<20)), waiting(release), strings.NewReader("end"))
		go func() {
			wrote <- b.Write(ctx, "dir/k", slow, &driver.WriteOptions{Size: -1, ContentType: "text/plain"})
		}()
		require.Eventually(t, func() bool { return len(uploads(t, b)) == 3 }, time.Minute, 50*time.Millisecond)
		begun := time.Now()
		require.Eventually(t, func() bool {
			require.NoError(t, b.Sweep(ctx, "dir/k"))
			return len(uploads(t, b)) == 2
		}, time.Minute, 200*time.Millisecond)
		for time.Since(begun) < 2*o.StaleAfter { // sweep for long enough to see a missed beat
			require.NoError(t, b.Sweep(ctx, "dir/k"))
		}
		close(release)
		require.NoError(t, <-wrote)
		got, _ := readAll(t, b, "dir/k", 0, -1)
		require.Len(t, got, 9<<20+3, "the beats are no part of the object")

		require.Equal(t, []string{"dir/k2"}, uploads(t, b))
	})
}

// A service may refuse a create-only request before it has read the content,
// and close the connection. The response is then lost.
func TestS3AnswerThatAKeyIsTakenIsLost(t *testing.T) {
	reset := &resetting{base: cloudhttp.Transport(0)}
	o := MinIO(t).options()
	o.Transport = reset
	b := openS3(t, o)
	require.NoError(t, write(t.Context(), b, "taken", []byte("one"), 3, true))
	reset.on.Store(true)
	require.ErrorIs(t, writeAs(t.Context(), b, "op-2", "taken", []byte("two"), 3, true), fs.ErrExist)
	for name, err := range map[string]error{
		"perhaps its own object": write(t.Context(), b, "taken", []byte("one"), 3, true),
		"a free key":             write(t.Context(), b, "free", []byte("one"), 3, true),
		"not create-only":        writeAs(t.Context(), b, "op-2", "taken", []byte("two"), 3, false),
	} {
		require.ErrorIs(t, err, syscall.ECONNRESET, name)
		require.NotErrorIs(t, err, fs.ErrExist, name)
	}
}

// resetting resets the connection of each PUT.
type resetting struct {
	base http.RoundTripper
	on   atomic.Bool
}

func (c *resetting) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.on.Load() && r.Method == http.MethodPut {
		return nil, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.base.RoundTrip(r)
}

// While a part is being rewritten, some services omit it from listings. A sweep
// at that moment must still detect that the writer is running.
func TestS3SweepWhileABeatComesIn(t *testing.T) {
	s := MinIO(t)
	hiding := &hidingParts{base: cloudhttp.Transport(0), writing: make(map[string]bool), hold: make(chan chan struct{})}
	o := s.options()
	o.StaleAfter, o.Transport = 9*time.Second, hiding
	b := openS3(t, o)
	release, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		slow := io.MultiReader(bytes.NewReader(content(9<<20)), waiting(release))
		wrote <- b.Write(t.Context(), "k", slow, &driver.WriteOptions{Size: -1})
	}()
	require.Eventually(t, func() bool { return len(uploads(t, b)) == 1 }, time.Minute, 10*time.Millisecond)
	stale := time.After(o.StaleAfter + 2*time.Second)
	for waits := true; waits; {
		beat := <-hiding.hold // each beat arrives here, and continues when the channel is closed
		select {
		case <-stale:
			require.NoError(t, b.Sweep(t.Context(), "k"))
			assert.Equal(t, []string{"k"}, uploads(t, b))
			waits = false
			close(release)
			go func() {
				for later := range hiding.hold {
					close(later)
				}
			}()
		default:
		}
		close(beat)
	}
	require.NoError(t, <-wrote)
	close(hiding.hold)
}

// hidingParts hides a part from listings while it is being written, and holds
// each part of one byte until it is released.
type hidingParts struct {
	base    http.RoundTripper
	hold    chan chan struct{}
	mu      sync.Mutex
	writing map[string]bool // by number
}

var listedPart = regexp.MustCompile(`(?s)<Part>.*?</Part>`)

func (h *hidingParts) RoundTrip(r *http.Request) (*http.Response, error) {
	number := r.URL.Query().Get("partNumber")
	switch {
	case r.Method == http.MethodPut && number != "" && r.ContentLength == 1:
		h.mu.Lock()
		h.writing[number] = true
		h.mu.Unlock()
		goOn := make(chan struct{})
		h.hold <- goOn
		<-goOn
		defer func() {
			h.mu.Lock()
			delete(h.writing, number)
			h.mu.Unlock()
		}()
	case r.Method == http.MethodGet && r.URL.Query().Has("uploadId"):
		resp, err := h.base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		text = listedPart.ReplaceAllFunc(text, func(part []byte) []byte {
			for n := range h.writing {
				if bytes.Contains(part, []byte("<PartNumber>"+n+"</PartNumber>")) {
					return nil
				}
			}
			return part
		})
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		return resp, nil
	}
	return h.base.RoundTrip(r)
}

// waiting returns an empty reader that ends when c is closed.
func waiting(c <-chan struct{}) io.Reader {
	return readerFunc(func([]byte) (int, error) { <-c; return 0, io.EOF })
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

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
			b, err := s3store.Open(t.Context(), o)
			assert.Less(t, time.Since(begun), 15*time.Second) // 5 on a machine that has time
			if err == nil {
				assert.NoError(t, b.Close())
			} else if !o.SecretKey.IsZero() {
				assert.NotContains(t, err.Error(), o.SecretKey.Reveal())
			}
			return err
		}
		err := open(func(o *s3store.Options) { o.Create = false })
		require.ErrorContains(t, err, "does not exist")
		require.ErrorContains(t, err, "create=true")
		err = open(func(o *s3store.Options) { o.SecretKey = secret.New("wrong-secret-key") })
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, "rejected the credentials")
		err = open(func(o *s3store.Options) { o.AccessKey = secret.New("wrong-access") })
		require.ErrorIs(t, err, fs.ErrPermission)
		err = open(func(o *s3store.Options) { o.Endpoint = "http://127.0.0.1:1" })
		require.ErrorContains(t, err, "127.0.0.1:1")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.SecretKey = secret.Text{} }), "set both")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.Endpoint = "localhost:9000" }), "https://")
		require.ErrorContains(t, open(func(o *s3store.Options) { o.Encryption = "rot13" }), "AES256")
		require.NoError(t, open(func(*s3store.Options) {}))

		t.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
		b, err := driver.Open(t.Context(), "s3://"+bucketName()+"?region=us-east-1&use_path_style=true&create=true&sse=AES256&endpoint="+s.Endpoint, driver.Credentials{})
		require.NoError(t, err)
		require.NoError(t, b.Close())
		_, err = driver.Open(t.Context(), "s3://"+bucketName()+"?regoin=us-east-1", driver.Credentials{})
		require.ErrorContains(t, err, "regoin")
	})
}
