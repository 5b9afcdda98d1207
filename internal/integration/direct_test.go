package integration

// This file tests direct uploads: valid and invalid content that a client sends
// to each service under a ticket, and abandoned uploads.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
)

// ticketed is a store whose clients have tickets.
type ticketed struct {
	*blobstore.Store
	ctx    context.Context
	bucket driver.Bucket
	trail  *audit.Memory
	ahead  atomic.Int64 // advance of the trail's clock
}

func newTicketed(t *testing.T, b driver.Bucket) *ticketed {
	t.Helper()
	d := &ticketed{ctx: audit.WithActor(t.Context(), audit.Actor{UserID: "anna"}), bucket: b}
	d.trail = &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }}
	d.Store = d.again(t)
	return d
}

// again opens the same bucket and trail like another process.
func (d *ticketed) again(t *testing.T) *blobstore.Store {
	t.Helper()
	s, err := blobstore.New(posing{d.bucket, d.bucket.Info()}, d.trail, nil)
	require.NoError(t, err)
	return s
}

// send uploads data under a ticket like a client.
func send(t *testing.T, tk *blobstore.Ticket, contentType string, data []byte) (status int, answer string) {
	t.Helper()
	l := tk.Link
	signed := &driver.SignedURL{URL: l.URL(), Method: l.Method, Header: l.Header.Clone(), Form: l.Form()}
	status, resp := use(t, signed, data, func(r *http.Request) {
		if l.Form() == nil {
			r.Header.Set("Content-Type", contentType)
		}
	})
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return status, string(body)
}

// everything returns all keys in the bucket, including private ones.
func (d *ticketed) everything(t *testing.T) (keys []string) {
	t.Helper()
	for o, err := range d.bucket.List(d.ctx, &blob.ListOptions{}) {
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
	return keys
}

func TestDirectUploads(t *testing.T) {
	table := newTable("direct uploads", "the right one became the object; of the wrong one nothing is left")
	right := []byte("%PDF-1.7 sent straight to the service")
	sum := sha256.Sum256(right)
	size := int64(len(right))
	const pdf = "application/pdf"
	for _, be := range backends {
		t.Run(be.name, func(t *testing.T) {
			run := func(name string, test func(t *testing.T, d *ticketed)) {
				t.Run(name, func(t *testing.T) {
					defer table.result(name, be.name, t)
					test(t, newTicketed(t, be.open(t)))
				})
			}
			begin := func(t *testing.T, d *ticketed, o blobstore.UploadOptions) *blobstore.Ticket {
				t.Helper()
				tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, &o)
				require.NoError(t, err)
				return tk
			}
			// complete completes a valid upload.
			complete := func(t *testing.T, d *ticketed, s *blobstore.Store, tk *blobstore.Ticket) *blobstore.Object {
				t.Helper()
				obj, err := s.Ticket(tk.Key, tk.ID).Complete(d.ctx)
				require.NoError(t, err)
				require.EqualValues(t, size, obj.Size)
				require.Equal(t, tk.ID, obj.OpID)
				got, _ := readAll(t, d.bucket, tk.Key, 0, -1)
				require.Equal(t, string(right), string(got))
				require.Equal(t, []string{"a/b.pdf"}, d.everything(t))
				require.Zero(t, d.trail.OpenIntents())
				return obj
			}
			for name, o := range map[string]blobstore.UploadOptions{
				"without constraints":   {},
				"every constraint":      {Filename: "März.pdf", ContentType: pdf, Size: size, SHA256: sum[:], AllowedTypes: []string{pdf}},
				"a limit":               {MaxSize: 100, ContentType: pdf},
				"a limit and a SHA-256": {MaxSize: 100, SHA256: sum[:]},
			} {
				run("right: "+name, func(t *testing.T, d *ticketed) {
					tk := begin(t, d, o)
					_, err := d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
					require.ErrorIs(t, err, fs.ErrNotExist, "nothing has arrived")
					status, answer := send(t, tk, pdf, right)
					require.Less(t, status, 300, "%s", answer)
					_, err = d.Stat(d.ctx, tk.Key)
					require.ErrorIs(t, err, fs.ErrNotExist, "it is none before it is complete")
					obj := complete(t, d, d.again(t), tk)
					require.Equal(t, o.Filename, obj.Filename)
					complete(t, d, d.Store, tk) // again
				})
			}
			for _, bad := range []struct {
				name    string
				options blobstore.UploadOptions
				typ     string
				data    []byte
				want    error
			}{
				{"too long", blobstore.UploadOptions{Size: size}, pdf, append(bytes.Clone(right), '!'), blobstore.ErrTooLarge},
				{"too short", blobstore.UploadOptions{Size: size}, pdf, right[:size-1], io.ErrUnexpectedEOF},
				{"over the limit", blobstore.UploadOptions{MaxSize: size}, pdf, append(bytes.Clone(right), '!'), blobstore.ErrTooLarge},
				{"over the limit, with a SHA-256", blobstore.UploadOptions{MaxSize: size - 1, SHA256: sum[:]}, pdf, right, blobstore.ErrTooLarge},
				{"another type", blobstore.UploadOptions{ContentType: pdf}, "text/html", right, blobstore.ErrContentType},
				{"a type that is not allowed", blobstore.UploadOptions{AllowedTypes: []string{"image/*"}}, "image/png", right, blobstore.ErrContentType},
				{"other content", blobstore.UploadOptions{SHA256: sum[:]}, pdf, bytes.ToUpper(right), blobstore.ErrChecksum},
			} {
				run("wrong: "+bad.name, func(t *testing.T, d *ticketed) {
					tk := begin(t, d, bad.options)
					status, _ := send(t, tk, bad.typ, bad.data)
					require.Less(t, status, 500)
					_, err := d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
					if status >= 400 { // refused by the service; the client may retry with valid content
						require.ErrorIs(t, err, fs.ErrNotExist)
						if bad.options.MaxSize > 0 && bad.options.MaxSize < size { // no content is valid
							require.Empty(t, d.everything(t))
							return
						}
						status, answer := send(t, tk, pdf, right)
						require.Less(t, status, 300, "%s", answer)
						complete(t, d, d.Store, tk)
						return
					}
					require.ErrorIs(t, err, bad.want)
					require.Empty(t, d.everything(t))
					require.Zero(t, d.trail.OpenIntents(), "the ticket is over")
				})
			}
			run("the key was taken meanwhile", func(t *testing.T, d *ticketed) {
				tk := begin(t, d, blobstore.UploadOptions{})
				_, err := d.Upload(d.ctx, tk.Key, strings.NewReader("other"), nil)
				require.NoError(t, err)
				status, _ := send(t, tk, pdf, right)
				require.Less(t, status, 300)
				_, err = d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
				require.ErrorIs(t, err, fs.ErrExist)
				got, _ := readAll(t, d.bucket, tk.Key, 0, -1)
				require.Equal(t, "other", string(got))
				require.Equal(t, []string{"a/b.pdf"}, d.everything(t))
			})
			run("abandoned", func(t *testing.T, d *ticketed) {
				tk := begin(t, d, blobstore.UploadOptions{})
				status, _ := send(t, tk, pdf, right)
				require.Less(t, status, 300)
				var before int
				if strings.HasPrefix(be.name, "s3") { // leftovers of a process killed during completion
					name := bucketOf(d.bucket)
					_, err := s3Client(t, d.bucket).CreateMultipartUpload(d.ctx, &s3.CreateMultipartUploadInput{Bucket: &name, Key: &tk.Key})
					require.NoError(t, err)
					before = len(uploads(t, d.bucket))
					require.Equal(t, 1, before)
				}
				done, err := d.Reconcile(d.ctx)
				require.NoError(t, err)
				require.Zero(t, done, "it may still be completed")
				d.ahead.Store(int64(2 * time.Hour))
				begun := time.Now()
				later := d.again(t)
				if before > 0 {
					o := *s3Options(t, be)
					o.Bucket, o.StaleAfter = bucketOf(d.bucket), time.Second
					b := openS3(t, &o)
					require.Eventually(t, func() bool { return time.Since(begun) > 3*time.Second }, time.Minute, 50*time.Millisecond) // wait until it is stale, by whole seconds
					later, err = blobstore.New(b, d.trail, nil)
					require.NoError(t, err)
				}
				done, err = later.Reconcile(d.ctx)
				require.NoError(t, err)
				require.Equal(t, blobstore.Reconciled{Failed: 1}, done)
				require.Empty(t, d.everything(t))
				if before > 0 {
					require.Empty(t, uploads(t, d.bucket))
				}
				_, err = d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
				require.ErrorIs(t, err, fs.ErrNotExist)
			})
			run("given up", func(t *testing.T, d *ticketed) {
				tk := begin(t, d, blobstore.UploadOptions{})
				status, _ := send(t, tk, pdf, right)
				require.Less(t, status, 300)
				require.NoError(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx))
				require.Empty(t, d.everything(t))
				require.Zero(t, d.trail.OpenIntents())
				assert.ErrorIs(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx), fs.ErrNotExist)
			})
		})
	}
	table.print(t)
}

// s3Options returns options for the server of a backend.
func s3Options(t *testing.T, be backend) *s3store.Options {
	t.Helper()
	if be.name == "s3/minio" {
		return MinIO(t).options()
	}
	return VersityGW(t).options()
}
