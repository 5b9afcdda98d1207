//go:build unix

package transfer_test

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// special makes files that are not regular, and returns their names.
func special(t *testing.T, dir string) []string {
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	t.Chdir(dir) // the path of a socket must be short
	l, err := net.Listen("unix", "socket")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return []string{"pipe", "socket"}
}
