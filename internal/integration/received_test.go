package integration

// This file tests additional headers of a ticket's client that the signature of
// the link permits. None of them may become part of the object.

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// extras are headers of a PUT, each tested separately.
var extras = map[string][]http.Header{
	"s3": {
		{"X-Amz-Meta-Blobtrailsha256": {strings.Repeat("ab", 32)}}, {"X-Amz-Meta-Blobtrailsha256": {"nonsense"}},
		{"X-Amz-Meta-Blobtrailname": {"invoice.exe"}}, {"X-Amz-Meta-Blobtrailop": {"01900000-0000-7000-8000-000000000000"}}, {"X-Amz-Meta-Owner": {"eve"}},
		{"Cache-Control": {"public, max-age=31536000"}}, {"Content-Encoding": {"gzip"}}, {"Content-Language": {"xx"}},
		{"Content-Disposition": {"inline"}}, {"Expires": {"Thu, 01 Jan 2099 00:00:00 GMT"}}, {"X-Amz-Website-Redirect-Location": {"https://eve.example/"}},
		{"X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, {"X-Amz-Storage-Class": {"GLACIER"}}, {"X-Amz-Acl": {"public-read"}}, {"X-Amz-Tagging": {"a=b"}},
	},
	"azure": {
		{"X-Ms-Meta-Blobtrailsha256": {strings.Repeat("ab", 32)}}, {"X-Ms-Meta-Blobtrailsha256": {"nonsense"}},
		{"X-Ms-Meta-Blobtrailname": {"invoice.exe"}}, {"X-Ms-Meta-Blobtrailop": {"01900000-0000-7000-8000-000000000000"}}, {"X-Ms-Meta-Owner": {"eve"}},
		{"X-Ms-Blob-Cache-Control": {"public, max-age=31536000"}}, {"X-Ms-Blob-Content-Encoding": {"gzip"}}, {"X-Ms-Blob-Content-Language": {"xx"}},
		{"X-Ms-Blob-Content-Disposition": {"inline"}}, {"X-Ms-Blob-Content-Md5": {"AAAAAAAAAAAAAAAAAAAAAA=="}}, {"X-Ms-Access-Tier": {"Cool"}}, {"X-Ms-Tags": {"a=b"}},
	},
	"gcs": {
		{"X-Goog-Meta-Blobtrailsha256": {strings.Repeat("ab", 32)}}, {"X-Goog-Meta-Blobtrailname": {"invoice.exe"}}, {"X-Goog-Meta-Owner": {"eve"}},
		{"Cache-Control": {"public, max-age=31536000"}}, {"Content-Encoding": {"gzip"}}, {"Content-Language": {"xx"}}, {"Content-Disposition": {"inline"}},
		{"X-Goog-Storage-Class": {"ARCHIVE"}}, {"X-Goog-Acl": {"public-read"}}, {"X-Goog-Custom-Time": {"2099-01-01T00:00:00Z"}},
	},
}

// sendWith sends content under a ticket, with more headers than the ticket has.
func sendWith(t *testing.T, tk *blobstore.Ticket, content string, extra http.Header) (status int) {
	t.Helper()
	l := tk.Link
	status, _ = use(t, &driver.SignedURL{URL: l.URL(), Method: l.Method, Header: l.Header.Clone(), Form: l.Form()}, []byte(content), func(r *http.Request) {
		r.Header.Set("Content-Type", "text/plain")
		for k, v := range extra {
			r.Header[k] = v
		}
	})
	return status
}

func TestNothingIsTakenButTheBytes(t *testing.T) {
	const text = "plain text, and no more"
	sum := sha256.Sum256([]byte(text))
	everywhere(t, func(t *testing.T, _ backend, b driver.Bucket) {
		d := newTicketed(t, b)
		for _, extra := range extras[b.Info().Backend] {
			for _, o := range []blobstore.UploadOptions{{}, {Filename: "a.txt", SHA256: sum[:], AllowedTypes: []string{"text/*"}}} {
				var name string
				for k, v := range extra {
					name = k + "=" + v[0]
				}
				tk, err := d.BeginUpload(d.ctx, blobstore.NewKey("in", "a.txt"), 0, &o)
				require.NoError(t, err)
				if status := sendWith(t, tk, text, extra); status >= 300 {
					require.Equal(t, status == 500, b.Info().Backend == "gcs" && extra.Get("Content-Encoding") != "", name) // the fake does not support it
					require.NoError(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx))
					continue
				}
				obj, err := d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
				if strings.Contains(name, "GLACIER") && err != nil {
					require.ErrorIs(t, err, blobstore.ErrContentType, name)
					continue
				}
				require.NoError(t, err, name)
				assert.Equal(t, o.Filename, obj.Filename, name)
				assert.Equal(t, o.SHA256, obj.SHA256, name)
				d.plain(t, tk, &o, text, name)
			}
		}
		require.Zero(t, d.trail.OpenIntents())
		for _, key := range d.everything(t) {
			require.Contains(t, key, "in/", "nothing is left of what was sent")
		}
	})
}

// plain checks that another client sees only the store's data on an object.
func (d *ticketed) plain(t *testing.T, tk *blobstore.Ticket, o *blobstore.UploadOptions, text, name string) {
	t.Helper()
	a, err := d.bucket.Blob().Attributes(d.ctx, tk.Key)
	require.NoError(t, err)
	want := map[string]string{provider.MetaOp: tk.ID}
	if o.Filename != "" {
		want[provider.MetaFilename] = o.Filename
	}
	if o.SHA256 != nil {
		want[provider.MetaSHA256] = hex.EncodeToString(o.SHA256)
	}
	if sum := sha256.Sum256([]byte(text)); o.SHA256 == nil && a.Metadata[provider.MetaSHA256] == hex.EncodeToString(sum[:]) {
		delete(a.Metadata, provider.MetaSHA256) // the store adds it if the content passes through it
	}
	assert.Equal(t, want, a.Metadata, name)
	assert.Equal(t, "text/plain", a.ContentType, name)
	assert.Empty(t, a.CacheControl+a.ContentEncoding+a.ContentLanguage+a.ContentDisposition, name)
	got, _ := readAll(t, d.bucket, tk.Key, 0, -1)
	assert.Equal(t, text, string(got), name)

	var head s3.HeadObjectOutput
	if a.As(&head) {
		assert.Nil(t, head.WebsiteRedirectLocation, name)
		assert.Nil(t, head.ExpiresString, name)
		assert.Contains(t, []string{"", "STANDARD"}, string(head.StorageClass), name)
		bucket := bucketOf(d.bucket)
		tags, err := s3Client(t, d.bucket).GetObjectTagging(d.ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &tk.Key})
		if err == nil {
			assert.Empty(t, tags.TagSet, name)
		}
	}
	var props azblob.GetPropertiesResponse
	if a.As(&props) {
		assert.NotEqual(t, make([]byte, 16), props.ContentMD5, name)
		assert.Nil(t, props.TagCount, name)
		if props.AccessTier != nil {
			assert.Equal(t, "Hot", *props.AccessTier, name)
		}
	}
}

// Azure accepts other kinds of blobs than block blobs under the same link.
func TestAzureKindsOfBlobs(t *testing.T) {
	const text = "plain text, and no more"
	d := newTicketed(t, openAzure(t, Azurite(t).options()))
	for name, c := range map[string]struct {
		content string
		header  http.Header
	}{
		"page blob":     {"", http.Header{"X-Ms-Blob-Type": {"PageBlob"}, "X-Ms-Blob-Content-Length": {"1099511627776"}}},
		"append blob":   {"", http.Header{"X-Ms-Blob-Type": {"AppendBlob"}}},
		"archived blob": {text, http.Header{"X-Ms-Access-Tier": {"Archive"}}},
	} {
		for _, o := range []blobstore.UploadOptions{{}, {SHA256: make([]byte, 32), AllowedTypes: []string{"text/*"}}} {
			tk, err := d.BeginUpload(d.ctx, "a", 0, &o)
			require.NoError(t, err)
			require.Less(t, sendWith(t, tk, c.content, c.header), 300, name)
			_, err = d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
			require.ErrorIs(t, err, blobstore.ErrContentType, name)
			require.Empty(t, d.everything(t), name)
			require.Zero(t, d.trail.OpenIntents(), name)
		}
	}

	// The link also permits a lease and a snapshot. They must not block
	// anything.
	tk, err := d.BeginUpload(d.ctx, "a", 0, nil)
	require.NoError(t, err)
	require.Less(t, sendWith(t, tk, text, nil), 300)
	client := func(comp string, h http.Header) (status int) {
		status, resp := use(t, &driver.SignedURL{URL: tk.Link.URL() + "&comp=" + comp, Method: http.MethodPut, Header: h}, []byte{})
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		t.Logf("%s: %d %.200s", comp, status, answer)
		return status
	}
	client("snapshot", http.Header{})
	require.Less(t, client("lease", http.Header{"X-Ms-Lease-Action": {"acquire"}, "X-Ms-Lease-Duration": {"-1"}}), 300)
	_, err = d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, d.everything(t))

	tk, err = d.BeginUpload(d.ctx, "b", 0, nil)
	require.NoError(t, err)
	require.Less(t, sendWith(t, tk, text, nil), 300)
	require.Less(t, client("lease", http.Header{"X-Ms-Lease-Action": {"acquire"}, "X-Ms-Lease-Duration": {"-1"}}), 300)
	require.NoError(t, d.Ticket(tk.Key, tk.ID).Abort(d.ctx))
	require.Equal(t, []string{"a"}, d.everything(t))
	for e, err := range d.trail.Entries(d.ctx, audit.Query{Actions: []audit.Action{audit.ActionReconcile}}) {
		require.NoError(t, err)
		require.Failf(t, "something was left", "%+v", e)
	}
}
