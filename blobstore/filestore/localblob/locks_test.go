// This file tests waiting for a lock held by another process.

package localblob

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process stopped while holding the lock of a key must not block callers with
// a deadline.
func TestALockThatIsNotReleasedIsNotWaitedForForEver(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	_, stopped := openTest(t, dir, nil) // as another process
	require.NoError(t, put(t.Context(), bkt, "k", "old", false))
	a, err := bkt.Attributes(t.Context(), "k")
	require.NoError(t, err)
	unlock, err := stopped.lock(t.Context(), "k")
	require.NoError(t, err)
	for range 3 { // each of them alone, and together they wait for the same
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		done := make(chan error, 3)
		go func() { done <- put(ctx, bkt, "k", "new", false) }()
		go func() { done <- bkt.Delete(ctx, "k") }()
		go func() { done <- of(bkt).DeleteVersion(ctx, "k", a.ETag) }()
		for range 3 {
			require.ErrorIs(t, <-done, context.DeadlineExceeded)
		}
		cancel()
	}
	require.Equal(t, "old", version(t, bkt, "k"), "reading needs no lock")
	require.Len(t, files(t, dir), 2, "nothing is left of those that gave up")

	unlock()
	require.NoError(t, put(t.Context(), bkt, "k", "new", false))
	require.Equal(t, "new", version(t, bkt, "k"))
	require.NoError(t, bkt.Delete(t.Context(), "k"))
	_, err = bkt.Attributes(t.Context(), "k")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
