package localblob

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A deletion whose folder can't be synced has happened for now: whoever only
// looks whether the object is gone would take it for durable.
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

// A new object that can neither be made durable nor taken back again stands: whoever finds it must not take it for
// durable either.
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
