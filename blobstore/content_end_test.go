package blobstore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// brokenOff is the body of a request whose connection broke, with the error of
// an HTTP client: it wraps io.EOF without being io.EOF.
type brokenOff struct{ head io.Reader }

var errBrokenOff = fmt.Errorf("reading the body: connection lost: %w", io.EOF)

func (b brokenOff) Read(p []byte) (int, error) {
	n, err := b.head.Read(p)
	if err == io.EOF {
		err = errBrokenOff
	}
	return n, err
}

func TestUploadOfBrokenConnection(t *testing.T) {
	for name, size := range map[string]int{"in the first bytes": 10, "later": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			bucket := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "mem"})
			store, err := New(bucket, new(audit.Memory), nil)
			require.NoError(t, err)
			defer store.Close(context.Background())
			_, err = store.Upload(ctx, "a", brokenOff{strings.NewReader(strings.Repeat("x", size))}, nil)
			require.ErrorIs(t, err, errBrokenOff)
			_, err = store.Stat(ctx, "a")
			require.ErrorIs(t, err, fs.ErrNotExist, "a truncated object was stored")
		})
	}
}
