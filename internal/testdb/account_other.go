//go:build unix && !linux

package testdb

import (
	"os/exec"
	"syscall"
)

// apply makes cmd run as a.
func (a *account) apply(cmd *exec.Cmd) {
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
	}
}

// childrenOf is implemented only on Linux.
func childrenOf(int) []int { return nil }

func runs(int) bool { return false }

// memoryFolder is implemented only on Linux.
func memoryFolder() string { return "" }
