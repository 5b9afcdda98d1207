package driver_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func digest(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

func TestContent(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		r         io.Reader
		size, max int64
		sha       []byte
		want      error
	}{
		"sound":                 {strings.NewReader("hello"), 5, 5, digest("hello"), nil},
		"unchecked":             {strings.NewReader("hello"), -1, -1, nil, nil},
		"empty":                 {strings.NewReader(""), 0, 0, digest(""), nil},
		"one byte at a time":    {iotest.OneByteReader(strings.NewReader("hello")), 5, 5, digest("hello"), nil},
		"data with EOF":         {iotest.DataErrReader(strings.NewReader("hello")), 5, 5, digest("hello"), nil},
		"longer than announced": {strings.NewReader("hello!"), 5, -1, nil, driver.ErrTooLarge},
		"longer than allowed":   {strings.NewReader("hello!"), -1, 5, nil, driver.ErrTooLarge},
		"shorter":               {strings.NewReader("hell"), 5, -1, nil, io.ErrUnexpectedEOF},
		"other digest":          {strings.NewReader("hellO"), 5, 5, digest("hello"), driver.ErrChecksum},
		"broken":                {io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(broken)), -1, -1, nil, broken},
		"broken with data":      {iotest.DataErrReader(io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken))), -1, -1, nil, broken},
		"cut":                   {io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, -1, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			content := provider.NewContent(c.r, c.size, c.max, c.sha)
			assert.False(t, content.Complete())
			got, err := io.ReadAll(content)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				assert.Nil(t, content.SHA256())
				assert.False(t, content.Complete())
				n, again := content.Read(make([]byte, 10))
				assert.Zero(t, n)
				assert.Equal(t, err, again, "and it stays so")
				return
			}
			require.NoError(t, err)
			assert.True(t, content.Complete())
			assert.Equal(t, int64(len(got)), content.Size())
			assert.Equal(t, digest(string(got)), content.SHA256())
		})
	}
}

// io.ReadAll and similar functions handle bytes returned together with an error
// in different ways. Content never returns both.
func TestContentGivesBytesOrError(t *testing.T) {
	content := provider.NewContent(iotest.DataErrReader(strings.NewReader("hello")), 6, -1, nil)
	p := make([]byte, 100)
	n, err := content.Read(p)
	assert.Equal(t, 5, n)
	require.NoError(t, err)
	n, err = content.Read(p)
	assert.Zero(t, n)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestContextReader(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := provider.ContextReader(ctx, strings.NewReader("hello"))
	_, err := r.Read(make([]byte, 2))
	require.NoError(t, err)
	why := errors.New("why")
	cancel(why)
	n, err := r.Read(make([]byte, 2))
	assert.Zero(t, n)
	require.ErrorIs(t, err, why)
}

func base() driver.Bucket { return driver.FromBlob(memblob.OpenBucket(nil), driver.Info{}) }

func options() *driver.WriteOptions {
	return &driver.WriteOptions{ContentType: "text/plain", Size: -1, Metadata: map[string]string{"a": "b"}}
}

func TestFromBlobWriteLeavesNothing(t *testing.T) {
	b := base()
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"at once": iotest.ErrReader(broken),
		"midway":  io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(broken)),
	} {
		require.ErrorIs(t, b.Write(t.Context(), name, r, options()), broken)
		_, err := b.Read(t.Context(), name, 0, -1)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Write(ctx, "a", strings.NewReader("x"), options()), context.Canceled)
	require.NoError(t, b.Write(t.Context(), "a", strings.NewReader("x"), options()))
	o := options()
	o.IfNotExist = true
	require.ErrorIs(t, b.Write(t.Context(), "a", strings.NewReader("y"), o), fs.ErrExist)
}

func TestFromBlobCopy(t *testing.T) {
	b := base()
	o := options()
	o.Metadata[provider.MetaSHA256] = fmt.Sprintf("%x", digest("hello"))
	require.NoError(t, b.Write(t.Context(), "a", strings.NewReader("hello"), o))
	require.NoError(t, b.Copy(t.Context(), "b", "a", &driver.CopyOptions{Metadata: map[string]string{"x": "y", "a": "c"}}))
	r, err := b.Read(t.Context(), "b", 1, 3)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, "ell", string(got))
	assert.Equal(t, map[string]string{"a": "c", "x": "y", provider.MetaSHA256: o.Metadata[provider.MetaSHA256]}, r.Attributes.Metadata)

	o.Metadata[provider.MetaSHA256] = fmt.Sprintf("%x", digest("other"))
	require.NoError(t, b.Write(t.Context(), "bad", strings.NewReader("hello"), o))
	require.ErrorIs(t, b.Copy(t.Context(), "c", "bad", &driver.CopyOptions{}), driver.ErrChecksum)
	_, err = b.Read(t.Context(), "c", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, b.Copy(t.Context(), "c", "none", &driver.CopyOptions{}), fs.ErrNotExist)
}

func TestFromBlobOthers(t *testing.T) {
	b := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "x"})
	assert.Equal(t, driver.Info{Backend: "x"}, b.Info())
	assert.Equal(t, "custom", base().Info().Backend)
	_, err := b.Sign(t.Context(), "a", &driver.SignOptions{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, b.Sweep(t.Context(), "a"))
	require.ErrorIs(t, b.Delete(t.Context(), "a", &driver.DeleteOptions{}), fs.ErrNotExist)
	require.NoError(t, b.Write(t.Context(), "a", strings.NewReader("x"), options()))
	for _, offset := range []int64{2, -1} {
		_, err = b.Read(t.Context(), "a", offset, -1)
		require.ErrorIs(t, err, driver.ErrRange)
	}
	for obj, err := range b.List(t.Context(), &blob.ListOptions{}) {
		require.NoError(t, err)
		assert.Equal(t, "a", obj.Key)
	}
	require.NoError(t, b.Close())
	for _, err := range b.List(t.Context(), &blob.ListOptions{}) {
		require.Error(t, err)
	}
}

func TestStoredSHA256(t *testing.T) {
	sum, err := provider.StoredSHA256(nil)
	require.NoError(t, err)
	assert.Nil(t, sum)
	for _, bad := range []string{"x", "abcd", strings.Repeat("z", 64), strings.Repeat("a", 66)} {
		_, err = provider.StoredSHA256(map[string]string{provider.MetaSHA256: bad})
		require.ErrorIs(t, err, driver.ErrChecksum, bad)
	}
}

func TestAs(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "p", Err: fs.ErrPermission}
	err := provider.As(driver.ErrInDoubt, cause)
	require.ErrorIs(t, err, driver.ErrInDoubt)
	require.ErrorIs(t, err, fs.ErrPermission)
	var pe *fs.PathError
	require.ErrorAs(t, err, &pe)
	assert.Equal(t, "the outcome is unknown: open p: permission denied", err.Error())
	assert.Equal(t, "file does not exist", provider.As(fs.ErrNotExist, errors.New("long story")).Error())
	require.NoError(t, provider.As(fs.ErrExist, nil))
	assert.Equal(t, err, provider.As(driver.ErrInDoubt, err), "once is enough")
}

func TestRegister(t *testing.T) {
	var opened *url.URL
	driver.Register("drivertest", func(_ context.Context, u *url.URL, _ driver.Credentials) (driver.Bucket, error) {
		opened = u
		return base(), nil
	})
	assert.PanicsWithValue(t, "blobstore/driver: scheme drivertest registered twice", func() { driver.Register("drivertest", nil) })
	b, err := driver.Open(t.Context(), "drivertest://host/path?a=b", driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	assert.Equal(t, "/path", opened.Path)
}

func TestOpenExplains(t *testing.T) {
	for name, c := range map[string]struct{ url, want string }{
		"no scheme":        {"/var/files", "want a URL such as local:///var/lib/files"},
		"empty":            {"", "no scheme"},
		"unknown":          {"ftp://host/x", "no provider for ftp:// URLs: this program has"},
		"not imported":     {"s3://bucket", `add import _ "github.com/blobtrail/blobtrail/blobstore/s3store"`},
		"local":            {"local:///x", `add import _ "github.com/blobtrail/blobtrail/blobstore/filestore"`},
		"secret as port":   {"s3://AKID:SECRET/x@bucket", "invalid storage URL"},
		"secret in escape": {"s3://AKID:%SECRET@bucket", "invalid storage URL"},
		"secret with 0x7f": {"s3://AKID:SECRET\x7f@bucket", "invalid storage URL"},
		"no scheme at all": {"AKID:SECRET@bucket", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := driver.Open(t.Context(), c.url, driver.Credentials{})
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "SEC")
		})
	}
}
