package blobstore

// These tests cover clients that upload again while, or after, their content is
// checked.

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// A client can use its link again during the check. The object must have the
// content that was checked.
func TestDirectUploadReplacedDuringTheCheck(t *testing.T) {
	const pdf, html = "%PDF-1.7 direct", "<!DOCTYPE html>"
	require.Len(t, html, len(pdf))
	sum := sha256.Sum256([]byte(pdf))
	allowed := []string{"application/pdf"}
	for name, c := range map[string]struct {
		options UploadOptions
		first   string
		swap    map[string]string // by step: content uploaded before it
		want    error
	}{
		"another type before the copy":    {UploadOptions{AllowedTypes: allowed}, pdf, map[string]string{"copy": html}, ErrContentType},
		"another content before the copy": {UploadOptions{SHA256: sum[:]}, pdf, map[string]string{"copy": html}, ErrChecksum},
		"longer before the copy":          {UploadOptions{MaxSize: int64(len(pdf))}, pdf, map[string]string{"copy": pdf + "!"}, ErrTooLarge},
		"the right one only to be looked at": {
			UploadOptions{AllowedTypes: allowed, SHA256: sum[:]}, html, map[string]string{"read": pdf, "copy": html}, ErrContentType,
		},
		"the same once more": {UploadOptions{AllowedTypes: allowed, SHA256: sum[:]}, pdf, map[string]string{"copy": pdf}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, true)
			tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, &c.options)
			require.NoError(t, err)
			require.NoError(t, d.put(tk, "application/pdf", c.first))
			d.bucket.(*signingBucket).between = func(step, key string) {
				content, ok := c.swap[step]
				if !ok || key != tk.Link.URL() {
					return
				}
				if delete(c.swap, step); step == "copy" {
					c.swap = nil
				}
				require.NoError(t, d.put(tk, "application/pdf", content))
			}
			obj, err := d.complete(tk)
			require.Zero(t, d.trail.OpenIntents())
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
				require.EqualValues(t, len(pdf), obj.Size)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.Empty(t, d.objects(t), "nothing may be left")
		})
	}
	t.Run("without end", func(t *testing.T) {
		d := newDirect(t, true)
		tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, nil)
		require.NoError(t, err)
		n := 1
		send := func() { n++; require.NoError(t, d.put(tk, "application/pdf", strings.Repeat("x", n))) }
		send()
		d.bucket.(*signingBucket).between = func(step, _ string) {
			if step == "copy" {
				send()
			}
		}
		_, err = d.complete(tk)
		require.ErrorIs(t, err, ErrReplaced)
		require.Empty(t, d.objects(t))
		require.Zero(t, d.trail.OpenIntents())
	})
}

// A temporary failure of the service must not end the ticket.
func TestDirectUploadWithAFailingCheck(t *testing.T) {
	d := newDirect(t, true)
	tk, err := d.BeginUpload(d.ctx, "a/b.pdf", time.Hour, &UploadOptions{AllowedTypes: []string{"application/pdf"}})
	require.NoError(t, err)
	require.NoError(t, d.put(tk, "application/pdf", "%PDF-1.7 direct"))
	down := errors.New("the backend is down")
	bucket := d.bucket.(*signingBucket)
	bucket.readErr = down
	_, err = d.complete(tk)
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, ErrInDoubt)
	bucket.readErr = nil
	*d.clock = d.clock.Add(30 * time.Minute)
	r, err := d.Reconcile(d.ctx)
	require.NoError(t, err)
	require.Zero(t, r, "the ticket stays good")
	_, err = d.complete(tk)
	require.NoError(t, err)
	require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
	require.Zero(t, d.trail.OpenIntents())
}

// A backend may return an equivalent spelling of the type for the copy.
func TestDirectUploadWithAnEquivalentType(t *testing.T) {
	d := newDirect(t, true)
	tk, err := d.BeginUpload(d.ctx, "a", 0, &UploadOptions{ContentType: "text/plain; charset=utf-8"})
	require.NoError(t, err)
	require.NoError(t, d.put(tk, "text/plain; charset=utf-8", "text"))
	bucket := d.bucket.(*signingBucket)
	bucket.copied = func(dst string, o *driver.CopyOptions) {
		require.NoError(t, bucket.Bucket.Write(d.ctx, dst, strings.NewReader("text"), &driver.WriteOptions{ContentType: "text/plain;charset=UTF-8", Metadata: o.Metadata}))
	}
	_, err = d.complete(tk)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, d.objects(t))
}

// If the ETag depends only on the content, a client can send the same content
// with a different type between the check and the copy.
func TestDirectUploadReplacedByAnotherType(t *testing.T) {
	for name, c := range map[string]struct {
		times int
		want  error
	}{"once": {1, nil}, "again and again": {100, ErrReplaced}} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, true)
			tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, &UploadOptions{AllowedTypes: []string{"application/pdf"}})
			require.NoError(t, err)
			require.NoError(t, d.put(tk, "application/pdf", "%PDF-1.7 direct"))
			bucket := d.bucket.(*signingBucket)
			bucket.copied = func(dst string, o *driver.CopyOptions) {
				if c.times--; c.times >= 0 {
					require.NoError(t, bucket.Bucket.Write(d.ctx, dst, strings.NewReader("%PDF-1.7 direct"), &driver.WriteOptions{ContentType: "text/html", Metadata: o.Metadata}))
				}
			}
			_, err = d.complete(tk)
			require.ErrorIs(t, err, c.want)
			require.Zero(t, d.trail.OpenIntents())
			if c.want != nil {
				require.Empty(t, d.objects(t))
				return
			}
			obj, err := d.Stat(d.ctx, "a/b.pdf")
			require.NoError(t, err)
			require.Equal(t, "application/pdf", obj.ContentType)
		})
	}
}

// If a completion could not be settled, the next one completes it, even if the
// uploaded content was removed or replaced.
func TestDirectUploadCompletedButNotSettled(t *testing.T) {
	const pdf = "%PDF-1.7 direct"
	for name, again := range map[string]string{"": "", "and sent again, longer": pdf + "!", "and sent again, too long": pdf + "!!!"} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, true)
			tk, err := d.BeginUpload(d.ctx, "a/b.pdf", 0, &UploadOptions{MaxSize: int64(len(pdf) + 2)})
			require.NoError(t, err)
			require.NoError(t, d.put(tk, "application/pdf", pdf))
			down := errors.New("the trail is down")
			faults := audittest.NewFaults(d.trail)
			faults.Add(audittest.Fault{Call: audittest.CallSettle, Nth: 1, Err: down})
			s, err := New(d.bucket, faults, nil)
			require.NoError(t, err)
			_, err = s.Ticket(tk.Key, tk.ID).Complete(d.ctx)
			require.ErrorIs(t, err, down)
			require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
			if again != "" {
				require.NoError(t, d.put(tk, "application/pdf", again))
			}
			obj, err := s.Ticket(tk.Key, tk.ID).Complete(d.ctx)
			require.NoError(t, err)
			require.Equal(t, tk.ID, obj.OpID)
			require.EqualValues(t, len(pdf), obj.Size)
			require.Equal(t, []string{"a/b.pdf"}, d.objects(t))
			require.Zero(t, d.trail.OpenIntents())
			require.Contains(t, d.entries(t), "upload ok")
		})
	}
}
