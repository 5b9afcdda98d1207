package blobstore_test

// These tests cover copies of a source that is replaced concurrently, and links
// of backends with a limited lifetime.

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func TestCopyOfASourceThatIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		times     int // number of replacements
		overwrite bool
		remove    bool // whether it is finally deleted
		move      bool
		want      error
		content   string
	}{
		"once":                  {times: 1, content: "version 1"},
		"once, over an object":  {times: 1, overwrite: true, content: "version 1"},
		"once, moved":           {times: 1, move: true, content: "version 1"},
		"again and again":       {times: 100, want: errAny},
		"again, over an object": {times: 100, overwrite: true, want: errAny},
		"deleted after it":      {remove: true, content: "content of a"},
		"replaced and deleted":  {times: 1, remove: true, want: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.put("a")
			if c.overwrite {
				f.put("b")
			}
			n := 0
			f.bucket.copy = func(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
				if n < c.times {
					n++
					version := fmt.Sprintf("version %d", n)
					_, err := f.store.Upload(ctx, src, strings.NewReader(version), &blobstore.UploadOptions{Overwrite: true})
					require.NoError(t, err)
				}
				err := f.bucket.Bucket.Copy(ctx, dst, src, o)
				if c.remove {
					require.NoError(t, f.bucket.Bucket.Delete(ctx, src, &driver.DeleteOptions{}))
				}
				return err
			}
			do := f.store.Copy
			if c.move {
				do = f.store.Move
			}
			err := do(f.ctx, "b", "a", &blobstore.CopyOptions{Overwrite: c.overwrite})
			entries := f.entries()
			require.Zero(t, f.memory.OpenIntents())
			if c.want != nil {
				require.Error(t, err)
				if !errors.Is(c.want, errAny) {
					require.ErrorIs(t, err, c.want)
				}
				if c.overwrite {
					r, err := f.store.Download(f.ctx, "b", &blobstore.DownloadOptions{Verify: true})
					require.NoError(t, err)
					got, err := io.ReadAll(r)
					require.NoError(t, errors.Join(err, r.Close()))
					assert.Equal(t, "content of b", string(got), "what was there is unharmed")
					return
				}
				assert.False(t, f.exists("b"), "a copy with the digest of something else")
				return
			}
			require.NoError(t, err)
			sum := sha256.Sum256([]byte(c.content))
			r, err := f.store.Download(f.ctx, "b", &blobstore.DownloadOptions{Verify: true})
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, errors.Join(err, r.Close()))
			assert.Equal(t, c.content, string(got))
			for _, e := range entries {
				if e.Key == "b" && e.Action != audit.ActionUpload {
					assert.Equal(t, sum[:], e.SHA256, "the trail tells of what was copied")
					assert.EqualValues(t, len(c.content), *e.Size)
				}
			}
			assert.Equal(t, !c.move && !c.remove, f.exists("a"))
		})
	}
}

var errAny = errors.New("any error")

// signing is a backend with a maximum link lifetime of one hour.
type signing struct{ driver.Bucket }

func (b signing) Info() driver.Info {
	info := b.Bucket.Info()
	info.Capabilities.Links = driver.LinkCapabilities{Methods: []string{"GET"}, MaxExpiry: time.Hour}
	return info
}

func (b signing) Sign(_ context.Context, _ string, o *driver.SignOptions) (*driver.SignedURL, error) {
	return &driver.SignedURL{Method: o.Method, URL: "https://files.example/x"}, nil
}

func TestDefaultExpiryIsLimitedByTheBackend(t *testing.T) {
	f := newFixture(t, nil)
	store, err := blobstore.New(signing{f.bucket}, f.trail, &blobstore.Options{LinkExpiry: 24 * time.Hour})
	require.NoError(t, err)
	link, err := store.Link(f.ctx, "a", nil)
	require.NoError(t, err)
	assert.Less(t, time.Until(link.Expires), 61*time.Minute)
	_, err = store.Link(f.ctx, "a", &blobstore.LinkOptions{Expiry: 2 * time.Hour})
	require.ErrorContains(t, err, "at most 1h0m0s")
}

func TestUnrecordableLinkIsRefusedBeforeTheUpload(t *testing.T) {
	f := newFixture(t, nil)
	store, err := blobstore.New(signing{f.bucket}, f.trail, nil)
	require.NoError(t, err)
	attrs := make(map[string]string)
	for i := range 65 {
		attrs[fmt.Sprint("a", i)] = "x"
	}
	_, err = store.Upload(audit.WithAttrs(f.ctx, attrs), "a", strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.ErrorIs(t, err, audit.ErrEvent)
	assert.False(t, f.exists("a"))
	assert.Empty(t, f.entries())
}

// unsigning is a bucket with a service that refuses to sign.
type unsigning struct{ signing }

func (unsigning) Sign(context.Context, string, *driver.SignOptions) (*driver.SignedURL, error) {
	return nil, fs.ErrPermission
}

func TestUploadWithAFailedLinkReturnsObjectAndError(t *testing.T) {
	f := newFixture(t, nil)
	store, err := blobstore.New(unsigning{signing{f.bucket}}, f.trail, nil)
	require.NoError(t, err)
	obj, err := store.Upload(f.ctx, "a", strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.ErrorIs(t, err, fs.ErrPermission)
	var be *blobstore.Error
	require.ErrorAs(t, err, &be)
	assert.Equal(t, "link", be.Op)
	require.NotNil(t, obj)
	assert.True(t, f.exists("a"))
}
