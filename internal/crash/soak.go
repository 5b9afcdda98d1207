//go:build unix

package crash

// This file implements soaking: mixed load for a long time, with kills.

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Soak runs two processes on a site for the duration d, each with half of the
// callers. One of them is killed and replaced at the interval every. The other
// one keeps running: its memory must not grow, and its goroutines and files
// must be gone after it closes. At the end, the trail must verify, and nothing
// may be lost.
func Soak(t *testing.T, s Site, d, every time.Duration, callers int) {
	began, a := time.Now(), newAcknowledged()
	steady := s.soak(t, callers-callers/2)
	kills := 0
	for left := d; left > 0; left = d - time.Since(began) {
		victim := s.soak(t, callers/2)
		select {
		case <-time.After(min(left, every)):
		case <-steady.ended:
			require.Fail(t, "the process that should live on ended", "%q", last(steady.lines))
		case <-victim.ended:
			require.Fail(t, "a process ended before it was killed", "%q", last(victim.lines))
		}
		require.NoError(t, victim.cmd.Process.Kill())
		<-victim.ended
		victim.take(t, a)
		kills++
	}
	require.NoError(t, steady.cmd.Process.Signal(syscall.SIGTERM))
	<-steady.ended
	require.NoError(t, steady.err, "%q", last(steady.lines))
	used := steady.take(t, a)

	r := reconcile(t, s)
	v := inspect(t, s, a)
	require.Zero(t, v.count(), "%s", v)
	journal, _ := s.open(t)
	report, err := journal.Verify(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	t.Logf("%v, %d callers, %d kills, %d acknowledged operations, %d entries that verify: 0 unrecorded, 0 lost, 0 dangling, 0 doubled, 0 left over; "+
		"the last reconciler settled %d", time.Since(began).Round(time.Second), callers, kills, a.total, report.Entries, r.OK+r.Failed+r.Unknown)
	used.check(t)
}

func last(lines []string) string { return strings.Join(lines[max(0, len(lines)-1):], "") }

// soaking is a running child.
type soaking struct {
	cmd   *exec.Cmd
	ended chan struct{}
	lines []string // valid after the end, like err
	err   error
}

// soak starts a child and waits until it is ready.
func (s Site) soak(t *testing.T, callers int) *soaking {
	c := &soaking{cmd: s.command(t, envSoak+"="+strconv.Itoa(callers)), ended: make(chan struct{})}
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.ended
	})
	ready := make(chan struct{})
	go func() {
		defer close(c.ended)
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break // an unfinished line is not acknowledged
			}
			c.lines = append(c.lines, strings.TrimSpace(line))
			if len(c.lines) == 1 {
				close(ready)
			}
		}
		c.err = c.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-c.ended:
		require.Fail(t, "the child did not start", "%v", c.err)
	}
	return c
}

// used is the resource usage reported by a child.
type used struct {
	running       []usage
	before, after usage
}

// take adds the output of an ended child.
func (c *soaking) take(t *testing.T, a *acknowledged) (u used) {
	var acks []string
	for _, line := range c.lines {
		var what string
		var one usage
		if _, err := fmt.Sscan(line, &what, &one.heap, &one.rss, &one.goroutines, &one.files); err != nil {
			acks = append(acks, line)
			continue
		}
		switch what {
		case "usage":
			u.running = append(u.running, one)
		case "before":
			u.before = one
		case "after":
			u.after = one
		}
	}
	a.read(t, acks)
	return u
}

// check compares the second quarter of the time with the last one. A resource
// that grows with the number of operations has more than doubled by then.
func (u used) check(t *testing.T) {
	const mib = 1 << 20
	n := len(u.running)
	if n < 8 {
		t.Logf("too short to measure the growth of memory")
	} else {
		early, late := mean(u.running[n/4:n/2]), mean(u.running[n-n/4:])
		t.Logf("heap in use %.1f MiB, later %.1f MiB; resident %.1f MiB, later %.1f MiB; goroutines %d, later %d; files %d, later %d",
			float64(early.heap)/mib, float64(late.heap)/mib, float64(early.rss)/mib, float64(late.rss)/mib,
			early.goroutines, late.goroutines, early.files, late.files)
		assert.Less(t, float64(late.heap), 1.25*float64(early.heap)+4*mib, "the heap grows")
		assert.Less(t, float64(late.rss), 1.25*float64(early.rss)+16*mib, "the process grows")
	}
	t.Logf("before the first and after the last operation: goroutines %d and %d, files %d and %d",
		u.before.goroutines, u.after.goroutines, u.before.files, u.after.files)
	assert.LessOrEqual(t, u.after.goroutines, u.before.goroutines, "goroutines are left")
	assert.LessOrEqual(t, u.after.files, u.before.files, "files are left open")
}

func mean(l []usage) (m usage) {
	for _, u := range l {
		m.heap, m.rss, m.goroutines, m.files = m.heap+u.heap, m.rss+u.rss, m.goroutines+u.goroutines, m.files+u.files
	}
	n := max(1, len(l))
	return usage{m.heap / n, m.rss / n, m.goroutines / n, m.files / n}
}
