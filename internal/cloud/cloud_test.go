package cloud

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func TestEndpoint(t *testing.T) {
	u, err := Endpoint("endpoint", "https://minio.internal:9000", "")
	require.NoError(t, err)
	assert.Equal(t, "minio.internal:9000", u.Host)
	for _, bad := range []string{"minio.internal", "ftp://minio.internal", "https://", "https://user:hidden@minio.internal", "https://minio.internal?sig=hidden", "https://hidden\x7f"} {
		_, err := Endpoint("endpoint", bad, "https://minio.internal:9000")
		require.EqualError(t, err, "invalid endpoint: want an address such as https://minio.internal:9000", bad)
	}
}

func TestName(t *testing.T) {
	assert.Equal(t, "files", Name("files", ""))
	assert.Equal(t, "minio.internal:9000/files", Name("files", "https://minio.internal:9000"))
}

func TestMapStatus(t *testing.T) {
	cause := errors.New("cause")
	for status, want := range map[int]error{401: fs.ErrPermission, 403: fs.ErrPermission, 413: driver.ErrTooLarge, 416: driver.ErrRange, 501: errors.ErrUnsupported} {
		err := MapStatus(status, cause)
		require.ErrorIs(t, err, want)
		require.ErrorIs(t, err, cause)
	}
	for _, status := range []int{0, 400, 404, 409, 412, 500, 503} { // the meaning depends on more than the status
		require.Equal(t, cause, MapStatus(status, cause), status)
	}
}

func TestWholeSize(t *testing.T) {
	part, none, bad := "bytes 0-1/20", "", "bytes 0-1"
	for _, r := range []*string{nil, &none} {
		size, err := WholeSize(7, r)
		require.NoError(t, err)
		assert.Equal(t, int64(7), size)
	}
	size, err := WholeSize(2, &part)
	require.NoError(t, err)
	assert.Equal(t, int64(20), size)
	_, err = WholeSize(2, &bad)
	require.ErrorContains(t, err, "did not return the size")
}

func TestReadNothing(t *testing.T) {
	b := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{})
	ctx := t.Context()
	require.NoError(t, b.Blob().WriteAll(ctx, "a", []byte("abc"), nil))
	r, err := ReadNothing(ctx, b, "a", 3)
	require.NoError(t, err)
	assert.Equal(t, int64(3), r.Attributes.Size)
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, err = ReadNothing(ctx, b, "a", 4)
	require.ErrorIs(t, err, driver.ErrRange)
	_, err = ReadNothing(ctx, b, "b", 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestExplain(t *testing.T) {
	cause := errors.New("cause")
	const check = ": check account and network: "
	require.EqualError(t, Explain(context.DeadlineExceeded, cause, true, check), "the service did not respond within 5s: check account and network: cause")
	require.EqualError(t, Explain(cause, cause, true, check), "the service rejected the credentials: cause")
	require.EqualError(t, Explain(cause, cause, false, check), "cannot be listed: cause")
}
