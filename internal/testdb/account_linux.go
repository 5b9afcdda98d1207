package testdb

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childrenOf returns the processes started by pid.
func childrenOf(pid int) (out []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// runs reports whether a process is running. A process has ended even if its
// parent has not read its status yet.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(stat, ')') // the end of the process name
	return err == nil && end >= 0 && !bytes.HasPrefix(stat[end+1:], []byte(" Z"))
}

// apply makes cmd run as a. cmd ends when this process ends, even if it is
// killed.
func (a *account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
		cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + cmd.Dir, "LC_ALL=C"}
	}
}

// memoryFolder returns a folder in memory, or "" if there is not enough memory.
// There, an fsync costs nothing, and servers call fsync in some cases even if
// it is off.
func memoryFolder() string {
	const folder, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil || fs.Type != 0x01021994 || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return folder
}
