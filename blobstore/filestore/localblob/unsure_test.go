package localblob

import (
	"context"
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
