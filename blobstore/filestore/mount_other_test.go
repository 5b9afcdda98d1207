//go:build !linux

package filestore

import (
	"syscall"
	"testing"
)

var noSpace = syscall.ENOSPC

func mountTiny(t *testing.T, _ string, _ int) {
	t.Helper()
	t.Skip("a small file system is mounted on Linux only")
}
