package localblob

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// If the folder of a deleted object cannot be synced, the deletion has happened
// but is not durable. A caller who only checks that the object is gone would
// consider it durable.
func TestDeletionThatIsNotSyncedSaysSo(t *testing.T) {
	ctx := context.Background()
	bkt, b := openTest(t, t.TempDir(), nil)
	require.NoError(t, put(ctx, bkt, "a/b", "old", true))
	b.fs.step = func(op, _ string) error {
		if op == "syncdir" {
			return syscall.EIO
		}
		return nil
	}
	err := bkt.Delete(ctx, "a/b")
	require.ErrorIs(t, err, ErrNotSynced)
	require.ErrorIs(t, err, syscall.EIO)
}

// If a new object can neither be made durable nor removed again, it remains. A
// caller who finds it must not consider it durable.
func TestWriteThatIsNotSyncedNorTakenBackSaysSo(t *testing.T) {
	ctx := context.Background()
	for _, stays := range []bool{false, true} {
		bkt, b := openTest(t, t.TempDir(), nil)
		b.fs.step = func(op, name string) error {
			if op == "syncdir" && name == "a" || op == "remove" && name == "a/b" && stays {
				return syscall.EIO
			}
			return nil
		}
		err := put(ctx, bkt, "a/b", "new", true)
		require.ErrorIs(t, err, syscall.EIO)
		there, lookErr := bkt.Exists(ctx, "a/b")
		require.NoError(t, lookErr)
		require.Equal(t, stays, there)
		require.Equal(t, stays, errors.Is(err, ErrNotSynced), err)
	}
}
