package blobstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

// closeCounter counts how often its bucket was closed.
type closeCounter struct {
	driver.Bucket
	closed int
}

func (b *closeCounter) Close() error { b.closed++; return b.Bucket.Close() }

func TestCloseEndsWithItsContext(t *testing.T) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "u"})
	b := &closeCounter{Bucket: memstore.New()}
	s, err := blobstore.New(b, new(audit.Memory), nil)
	require.NoError(t, err)
	var staged []*blobstore.Staged
	for _, key := range []string{"a", "b"} {
		st, err := s.Stage(ctx, key, strings.NewReader("x"), nil)
		require.NoError(t, err)
		staged = append(staged, st)
	}
	for range 2 { // a later call also waits
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		err = s.Close(soon)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "2 operations are still running")
	}
	_, err = s.Stat(ctx, "a")
	require.ErrorIs(t, err, blobstore.ErrClosed)
	require.Zero(t, b.closed)

	require.NoError(t, staged[0].Commit(ctx))
	require.Zero(t, b.closed)
	require.NoError(t, staged[1].Discard(ctx))
	require.Equal(t, 1, b.closed, "the last operation closes the bucket")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.NoError(t, s.Close(ended), "nothing to wait for")
	require.ErrorIs(t, s.Close(ctx), blobstore.ErrClosed)
	assert.Equal(t, 1, b.closed)
}
