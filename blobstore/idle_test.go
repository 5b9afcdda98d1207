package blobstore_test

// These tests cover readers without progress: they return neither a byte nor an
// error.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// idle never returns a byte, and fails the test if it is called too often.
type idle struct {
	t     *testing.T
	reads int
}

func (r *idle) Read([]byte) (int, error) {
	r.reads++
	require.Less(r.t, r.reads, 1000, "it is read for ever")
	return 0, nil
}

func (r *idle) Close() error { return nil }

// idleBucket returns the first bytes of an object and then none.
type idleBucket struct {
	driver.Bucket
	t *testing.T
}

func (b *idleBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	r, err := b.Bucket.Read(ctx, key, offset, length)
	if err == nil {
		r.ReadCloser = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.ReadCloser, 5), &idle{t: b.t}), r.ReadCloser}
	}
	return r, err
}

func TestReadingEndsWithoutProgress(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	b := &idleBucket{memstore.New(), t}
	s, err := blobstore.New(b, &audit.Memory{}, nil)
	require.NoError(t, err)
	defer s.Close(context.Background())
	_, err = s.Upload(ctx, "a", bytes.NewReader(make([]byte, 100_000)), nil)
	require.NoError(t, err)
	for name, opts := range map[string]*blobstore.DownloadOptions{"plain": nil, "verified": {Verify: true}, "a part": {Range: blobstore.Range{Offset: 9, Length: 99}}} {
		r, err := s.Download(ctx, "a", opts)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, io.ErrNoProgress, name)
		require.NoError(t, r.Close())
		r, err = s.Download(ctx, "a", opts)
		require.NoError(t, err)
		_, err = r.WriteTo(io.Discard)
		require.ErrorIs(t, err, io.ErrNoProgress, name)
		require.NoError(t, r.Close())
	}
	for found, err := range s.Scrub(ctx, nil) {
		require.NoError(t, err)
		require.ErrorIs(t, found.Err, io.ErrNoProgress)
	}
	require.ErrorIs(t, s.Check(ctx), io.ErrNoProgress)
}

// Providers can also be called with readers other than those of a store.
func TestReadersEndWithoutProgress(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"content":      provider.NewContent(&idle{t: t}, -1, -1, make([]byte, sha256.Size)),
		"context":      provider.ContextReader(t.Context(), &idle{t: t}),
		"progress":     progress.Reader(&idle{t: t}),
		"after a byte": progress.Reader(io.MultiReader(bytes.NewReader([]byte("x")), &idle{t: t})),
	} {
		_, err := io.Copy(io.Discard, r)
		require.ErrorIs(t, err, io.ErrNoProgress, name)
	}
	b := memstore.New()
	defer b.Close()
	err := b.Write(t.Context(), "a", &idle{t: t}, &driver.WriteOptions{Size: -1, ContentType: "a/b"})
	require.ErrorIs(t, err, io.ErrNoProgress)

	// A few empty reads between others are normal.
	slow := &stuttering{left: 1000}
	n, err := io.Copy(io.Discard, progress.Reader(slow))
	require.NoError(t, err)
	require.Equal(t, int64(1000), n)
}

// stuttering returns one byte after every 99 empty reads.
type stuttering struct{ left, empty int }

func (r *stuttering) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.empty++; r.empty < 100 {
		return 0, nil
	}
	r.empty = 0
	r.left--
	p[0] = 'x'
	return 1, nil
}
