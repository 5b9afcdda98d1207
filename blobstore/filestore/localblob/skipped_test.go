package localblob

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSkippedEndsAfterItsFirstError(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.Symlink("/dev/null", filepath.Join(dir, name)))
	}
	b, err := Open(dir, nil)
	require.NoError(t, err)
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var found []string
	err = b.Skipped(ctx, "", 0, func(path, _ string) bool {
		found = append(found, path)
		cancel()
		return true
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, found, 1, "folders are read in any order")
}
