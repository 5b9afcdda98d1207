package integration

// This file implements finding, starting, awaiting and stopping servers.

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// RequireEnv is the environment variable with the names of servers that must
// not be skipped, separated by spaces or commas, or "all".
const RequireEnv = "BLOBTRAIL_REQUIRE_SERVERS"

const startTimeout = 30 * time.Second

var pool struct {
	sync.Mutex
	stop    []func()
	leftOut map[string]string // reasons by the name of the skipped server
}

// Main runs the tests of a package and stops the servers that they started.
// Call it in TestMain.
func Main(m *testing.M) {
	flag.Parse()
	// Most parallel tests wait for a hanging service.
	_ = flag.Set("test.parallel", "8")
	code := m.Run()
	pool.Lock()
	for _, stop := range slices.Backward(pool.stop) {
		stop()
	}
	for name, why := range pool.leftOut {
		fmt.Printf("left out: %s (%s)\n", name, why)
	}
	pool.Unlock()
	os.Exit(code)
}

// once starts a server on its first call and then returns the same server.
type once[T any] struct {
	mu     sync.Mutex
	server *T
	err    error
}

func (o *once[T]) get(t testing.TB, name string, start func() (*T, func(), error)) *T {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server == nil && o.err == nil {
		var stop func()
		o.server, stop, o.err = start()
		pool.Lock()
		if stop != nil {
			pool.stop = append(pool.stop, stop)
		}
		if o.err != nil {
			if pool.leftOut == nil {
				pool.leftOut = make(map[string]string)
			}
			pool.leftOut[name] = o.err.Error()
		}
		pool.Unlock()
	}
	if o.err == nil {
		return o.server
	}
	required := strings.FieldsFunc(os.Getenv(RequireEnv), func(r rune) bool { return r == ' ' || r == ',' })
	var missing *missingError
	if ok := asMissing(o.err, &missing); !ok || slices.Contains(required, name) || slices.Contains(required, "all") {
		t.Fatalf("%s: %v", name, o.err)
	}
	t.Skipf("%s is left out: %v", name, o.err)
	return nil
}

// missingError reports that a server is not installed. Only this error may skip
// its tests.
type missingError struct{ path string }

func (e *missingError) Error() string {
	return filepath.Base(e.path) + " is not installed: run internal/integration/servers/install.sh, or the package manager for node and chromium"
}

func asMissing(err error, target **missingError) bool {
	m, ok := err.(*missingError)
	*target = m
	return ok
}

// installed returns the path of a file installed by install.sh.
func installed(elem ...string) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	path := filepath.Join(append([]string{filepath.Dir(self), "servers"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		return "", &missingError{path}
	}
	return path, nil
}

// freeAddr returns an unused loopback address.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close() //nolint:errcheck // nothing was accepted
	return l.Addr().String(), nil
}

// watch runs a command until its standard input ends, even if this process is
// killed.
const watch = `"$@" <&- & pid=$!; cat >/dev/null; kill $pid; wait $pid`

// start starts a server and returns once ready reports true. stop ends the
// server.
func start(env []string, ready func() bool, name string, args ...string) (stop func(), err error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "sh", name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = stdin.Close()
		_ = cmd.Wait() // the error reports the kill
	}
	for deadline := time.Now().Add(startTimeout); ; {
		if ready() {
			return stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("not ready after %v, output: %s", startTimeout, out.String())
		}
		time.Sleep(10 * time.Millisecond) // between checks
	}
}

// answers returns a condition: a GET of url succeeds with at most the given
// status.
func answers(url string, status int) func() bool {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode <= status
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
