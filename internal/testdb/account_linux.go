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

// childrenOf lists the processes that pid started.
func childrenOf(pid int) (out []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// runs reports whether a process has not ended; one that nobody has asked for
// its status has.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(stat, ')') // of its name
	return err == nil && end >= 0 && !bytes.HasPrefix(stat[end+1:], []byte(" Z"))
}

// apply makes cmd run as a, and end when this process does, even if that is
// killed.
func (a *account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
		cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + cmd.Dir, "LC_ALL=C"}
	}
}

// memoryFolder is where files are kept in memory, or "" if there is no room: an
// fsync costs nothing there, and some of a server's can't be turned off.
func memoryFolder() string {
	const folder, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil || fs.Type != 0x01021994 || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return folder
}
