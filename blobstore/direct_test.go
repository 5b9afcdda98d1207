package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/signurl"
)

// signingBucket is a backend that signs upload links without enforcing
// constraints. Its clients can store any content under the signed key.
type signingBucket struct {
	driver.Bucket
	between func(step, key string) // actions of a client during the check
	readErr error
	copied  func(dst string, o *driver.CopyOptions)
	landing func()           // called once, after the next copy read its source and before it writes
	deleted func(key string) // called before each deletion
}

func (b *signingBucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if b.deleted != nil {
		b.deleted(key)
	}
	return b.Bucket.Delete(ctx, key, o)
}

func (b *signingBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	if b.between != nil {
		b.between("read", key)
	}
	if b.readErr != nil {
		return nil, b.readErr
	}
	return b.Bucket.Read(ctx, key, offset, length)
}

func (b *signingBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if b.between != nil {
		b.between("copy", src)
	}
	if landing := b.landing; landing != nil {
		b.landing = nil
		content, err := b.Blob().ReadAll(ctx, src)
		if err != nil {
			return provider.MapCode(err)
		}
		landing()
		return b.Write(ctx, dst, bytes.NewReader(content), &driver.WriteOptions{IfNotExist: o.IfNotExist, ContentType: o.ContentType, Metadata: o.Metadata})
	}
	err := b.Bucket.Copy(ctx, dst, src, o)
	if b.copied != nil && err == nil {
		b.copied(dst, o)
	}
	return err
}

func (b *signingBucket) Sign(_ context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	if o.ContentType != "" || o.Size != nil || o.MaxSize != 0 || o.SHA256 != nil || o.IfNotExist {
		return nil, errors.ErrUnsupported
	}
	return &driver.SignedURL{URL: key, Method: o.Method}, nil
}

type direct struct {
	*Store
	ctx   context.Context
	trail *audit.Memory
	clock *time.Time
	put   func(t *Ticket, contentType, content string) error // uploads like the client
}

func newDirect(t *testing.T, service bool) *direct {
	now := time.Now()
	d := &direct{ctx: audit.WithActor(t.Context(), audit.Actor{UserID: "anna"}), clock: &now}
	d.trail = &audit.Memory{Now: func() time.Time { return *d.clock }}
	info := driver.Info{Backend: "mem", Bucket: "mem"}
	if service {
		info.Capabilities.Links = driver.LinkCapabilities{
			Methods: []string{http.MethodPut}, Size: driver.OnCompletion, MaxSize: driver.OnCompletion,
			ContentType: driver.OnCompletion, SHA256: driver.OnCompletion,
		}
	}
	base := driver.FromBlob(memblob.OpenBucket(nil), info)
	opts := &Options{}
	if service {
		d.put = func(tk *Ticket, contentType, content string) error {
			return base.Write(d.ctx, tk.Link.URL(), strings.NewReader(content), &driver.WriteOptions{ContentType: contentType})
		}
	} else {
		signer, err := signurl.New("http://127.0.0.1/files/", []signurl.Key{signurl.GenerateKey()}, nil)
		require.NoError(t, err)
		opts.Signer = signer
		d.put = func(tk *Ticket, contentType, content string) error {
			red, err := d.redeem(t, tk, contentType)
			if err != nil {
				return err
			}
			_, err = red.Upload(d.ctx, strings.NewReader(content), &UploadOptions{ContentType: contentType})
			return err
		}
	}
	var err error
	d.Store, err = New(&signingBucket{Bucket: base}, d.trail, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

// redeem redeems the link of the ticket like the handler blobhttp.Links.
func (d *direct) redeem(t *testing.T, tk *Ticket, contentType string) (*Redemption, error) {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPut, tk.Link.URL(), nil)
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.ContentLength = -1
	return d.Redeem(req)
}

func (d *direct) complete(tk *Ticket) (*Object, error) {
	return d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
}

// entries returns action and outcome of every entry in the trail.
func (d *direct) entries(t *testing.T) (got []string) {
	for e, err := range d.trail.Entries(d.ctx, audit.Query{}) {
		require.NoError(t, err)
		got = append(got, strings.TrimSuffix(string(e.Action)+" "+string(e.Outcome)+" "+e.ErrorCode, " "))
	}
	return got
}

// objects returns all keys in the bucket, including private ones.
func (d *direct) objects(t *testing.T) (keys []string) {
	it := d.bucket.Blob().List(nil)
	for {
		o, err := it.Next(d.ctx)
		if err == io.EOF {
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
}

func TestDirectUpload(t *testing.T) {
	const content = "%PDF-1.7 direct"
	sum := sha256.Sum256([]byte(content))
	for _, service := range []bool{true, false} {
		name := map[bool]string{true: "service", false: "handler"}[service]
		run := func(title string, fn func(*testing.T, *direct)) {
			t.Run(name+"/"+title, func(t *testing.T) { fn(t, newDirect(t, service)) })
		}
		begin := func(t *testing.T, d *direct, o UploadOptions) *Ticket {
			tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, &o)
			require.NoError(t, err)
			kind, id, ok := readGrantID(tk.Link.GrantID, tk.Key)
			require.True(t, ok)
			require.Equal(t, ticketGrant, kind)
			require.Equal(t, tk.ID, id)
			return tk
		}
		run("completed, and again", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{Filename: "März.pdf", ContentType: "application/pdf", Size: int64(len(content)), SHA256: sum[:]})
			require.Equal(t, "application/pdf", tk.Link.Header.Get("Content-Type"), "the client must know what to send")
			_, err := d.complete(tk)
			require.ErrorIs(t, err, fs.ErrNotExist, "nothing has arrived")
			require.NoError(t, d.put(tk, "application/pdf", content))
			for range 2 {
				obj, err := d.complete(tk)
				require.NoError(t, err)
				require.Equal(t, tk.ID, obj.OpID)
				require.Equal(t, "März.pdf", obj.Filename)
				require.EqualValues(t, len(content), obj.Size)
				require.Equal(t, sum[:], obj.SHA256)
			}
			require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
			require.Zero(t, d.trail.OpenIntents())
			got := d.entries(t)
			require.Equal(t, "generate_upload_url ok", got[0])
			require.Equal(t, "upload ok", got[len(got)-1])
			require.Equal(t, 1, len(slices.DeleteFunc(got, func(s string) bool { return s != "upload ok" })))
		})
		for _, bad := range []struct {
			title, contentType, content string
			options                     UploadOptions
			want                        error
		}{
			{"too long", "application/pdf", content + "!", UploadOptions{Size: int64(len(content))}, ErrTooLarge},
			{"too short", "application/pdf", "%PDF", UploadOptions{Size: int64(len(content))}, io.ErrUnexpectedEOF},
			{"over the limit", "application/pdf", content, UploadOptions{MaxSize: 5}, ErrTooLarge},
			{"other type", "text/html", content, UploadOptions{ContentType: "application/pdf"}, ErrContentType},
			{"other content", "application/pdf", strings.ToLower(content), UploadOptions{SHA256: sum[:]}, ErrChecksum},
			{"a lie about the type", "application/pdf", "<!DOCTYPE html>", UploadOptions{AllowedTypes: []string{"application/pdf"}}, ErrContentType},
			{"a type that is not allowed", "text/html", content, UploadOptions{AllowedTypes: []string{"application/pdf"}}, ErrContentType},
			{"nothing, as a type", "application/pdf", "", UploadOptions{AllowedTypes: []string{"application/pdf"}}, ErrContentType},
		} {
			run(bad.title, func(t *testing.T, d *direct) {
				tk := begin(t, d, bad.options)
				if !service { // the handler also checks early
					err := d.put(tk, bad.contentType, bad.content)
					if bad.options.AllowedTypes == nil { // the link does not contain them
						bad.want = signurl.ErrConstraint
					}
					require.ErrorIs(t, err, bad.want)
					require.Empty(t, d.objects(t))
					return
				}
				require.NoError(t, d.put(tk, bad.contentType, bad.content))
				_, err := d.complete(tk)
				require.ErrorIs(t, err, bad.want)
				require.Empty(t, d.objects(t), "nothing may be left")
				require.Zero(t, d.trail.OpenIntents())
			})
		}
		run("an allowed type", func(t *testing.T, d *direct) {
			for _, sent := range []string{"application/pdf", "application/octet-stream"} {
				tk, err := d.BeginUpload(d.ctx, "b-"+sent, 0, &UploadOptions{AllowedTypes: []string{"image/*", "application/*"}})
				require.NoError(t, err)
				require.NoError(t, d.put(tk, sent, content))
				_, err = d.complete(tk)
				require.NoError(t, err)
			}
			_, err := d.BeginUpload(d.ctx, "c", 0, &UploadOptions{ContentType: "text/html", AllowedTypes: []string{"image/*"}})
			require.ErrorIs(t, err, ErrContentType)
		})
		run("aborted", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{})
			require.ErrorIs(t, d.Ticket("other/key", tk.ID).Abort(d.ctx), fs.ErrNotExist)
			require.NoError(t, d.put(tk, "application/pdf", content))
			require.NoError(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx))
			require.Empty(t, d.objects(t), "nothing may be left")
			require.Zero(t, d.trail.OpenIntents())
			require.Contains(t, d.entries(t), "upload failed discarded")
			require.ErrorIs(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx), fs.ErrNotExist)
			_, err := d.complete(tk)
			require.ErrorIs(t, err, fs.ErrNotExist)
			if !service {
				require.ErrorIs(t, d.put(tk, "application/pdf", content), signurl.ErrRevoked)
			}
		})
		run("aborted when it is complete", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{})
			require.NoError(t, d.put(tk, "application/pdf", content))
			_, err := d.complete(tk)
			require.NoError(t, err)
			require.ErrorIs(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx), fs.ErrExist)
			require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
			require.Zero(t, d.trail.OpenIntents())
		})
		run("the key was taken meanwhile", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{})
			_, err := d.Upload(d.ctx, tk.Key, strings.NewReader("other"), nil)
			require.NoError(t, err)
			err = d.put(tk, "application/pdf", content)
			if service {
				require.NoError(t, err)
				_, err = d.complete(tk)
			}
			require.ErrorIs(t, err, fs.ErrExist)
			require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
		})
		run("abandoned", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{})
			require.NoError(t, d.put(tk, "application/pdf", content))
			_, err := d.Stat(d.ctx, tk.Key)
			require.ErrorIs(t, err, fs.ErrNotExist, "it is no file before it is accepted")
			r, err := d.Reconcile(d.ctx)
			require.NoError(t, err)
			require.Zero(t, r, "it may still be completed")
			*d.clock = d.clock.Add(2 * time.Hour)
			r, err = d.Reconcile(d.ctx)
			require.NoError(t, err)
			require.Equal(t, Reconciled{Failed: 1}, r)
			require.Empty(t, d.objects(t))
			_, err = d.complete(tk)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.Zero(t, d.trail.OpenIntents())
		})
		run("an id that is no ticket's", func(t *testing.T, d *direct) {
			ticket := begin(t, d, UploadOptions{})
			before := d.entries(t)
			for _, id := range []string{"", "x", "'; --", "\xff\x00", strings.ToUpper(ticket.ID), ticket.ID + " ", "{" + ticket.ID[:34] + "}", strings.Repeat("a", 10_000), newOpID()} {
				_, err := d.Ticket(ticket.Key, id).Complete(d.ctx)
				require.ErrorIs(t, err, fs.ErrNotExist, "%.50q", id)
				require.NotErrorIs(t, err, ErrAudit, "%.50q", id)
				err = d.Ticket(ticket.Key, id).Abort(d.ctx)
				require.ErrorIs(t, err, fs.ErrNotExist, "%.50q", id)
				require.NotErrorIs(t, err, ErrAudit, "%.50q", id)
			}
			require.Equal(t, before, d.entries(t))
			_, err := d.Ticket("../x", "x").Complete(d.ctx)
			require.ErrorIs(t, err, ErrInvalidKey)
			require.ErrorIs(t, d.Ticket("", ticket.ID).Abort(d.ctx), ErrInvalidKey)
			require.NoError(t, d.Ticket(ticket.Key, ticket.ID).Abort(d.ctx), "it is undisturbed")
		})
		run("no stranger's ticket", func(t *testing.T, d *direct) {
			tk := begin(t, d, UploadOptions{})
			_, err := d.Ticket("other/key", tk.ID).Complete(d.ctx)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoError(t, d.put(tk, "application/pdf", content), "the ticket must stay good")
		})
	}
	t.Run("handler/a failed attempt leaves the ticket open, a second use fails", func(t *testing.T) {
		d := newDirect(t, false)
		tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, nil)
		require.NoError(t, err)
		cause := errors.New("connection reset")
		red, err := d.redeem(t, tk, "application/pdf")
		require.NoError(t, err)
		_, err = red.Upload(d.ctx, &failingReader{err: cause}, nil)
		require.ErrorIs(t, err, cause)
		require.NoError(t, d.put(tk, "application/pdf", content))
		require.ErrorIs(t, d.put(tk, "application/pdf", content+" again"), signurl.ErrRevoked)
		obj, err := d.complete(tk)
		require.NoError(t, err)
		require.EqualValues(t, len(content), obj.Size)
		require.NoError(t, d.Delete(d.ctx, tk.Key, nil))
		require.ErrorIs(t, d.put(tk, "application/pdf", content), signurl.ErrRevoked)
		require.Empty(t, d.objects(t))
		require.Equal(t, []string{
			"generate_upload_url ok", "redeem ok", "upload failed error", "redeem ok", "redeem ok", "upload failed revoked",
			"upload ok", "delete ok", "redeem ok", "upload failed revoked",
		}, d.entries(t))
	})
}

// Options that the client's request cannot carry are refused by name before any
// record is written.
func TestTicketRefusesWhatItCannotHonor(t *testing.T) {
	d := newDirect(t, false)
	for option, o := range map[string]UploadOptions{
		"Overwrite": {Overwrite: true}, "Link": {Link: &LinkOptions{}}, "CacheControl": {CacheControl: "no-store"},
		"ContentEncoding": {ContentEncoding: "gzip"}, "Metadata": {Metadata: map[string]string{"a": "b"}},
	} {
		_, err := d.BeginUpload(d.ctx, "a", 0, &o)
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, "UploadOptions."+option)
	}
	for _, o := range []UploadOptions{{MaxSize: -1}, {Size: -1}, {ContentType: "none"}} {
		_, err := d.BeginUpload(d.ctx, "a", 0, &o)
		require.Error(t, err)
	}
	for e := range d.trail.Entries(d.ctx, audit.Query{}) {
		t.Errorf("recorded: %v", e)
	}
	_, err := (&Ticket{Key: "a", ID: newOpID()}).Complete(d.ctx)
	require.ErrorContains(t, err, "no store")
	require.ErrorContains(t, (&Ticket{Key: "a"}).Abort(d.ctx), "no store")
}
