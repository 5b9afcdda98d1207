//go:build unix

// Package testdb starts private PostgreSQL and MariaDB servers for tests. It
// uses the binaries of the system's packages and stores data in a temporary
// folder. Only tests import it.
//
// The tests of a binary share one server of each kind. The first test that
// needs a server starts it. [Stop] stops it; call Stop in TestMain. A shared
// server does not wait for the disk, and on Linux its data is in memory, so
// tests can create many databases quickly. A test of durability or speed, or a
// test that stops or damages its server, starts a separate server on disk with
// fsync.
//
// If the binaries are missing, tests are skipped with one line about the
// missing coverage. With BLOBTRAIL_REQUIRE_SERVERS=all, they fail instead.
package testdb

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server is a running database server.
type Server struct {
	kind kind
	dir  string
	port int
	as   *account
	sync bool

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// kind has the differences between the two servers.
type kind interface {
	name() string
	packageName() string
	// find locates the binaries.
	find() error
	// create creates the data in dir. The account owns it.
	create(dir string, as *account) error
	command(dir string, port int, sync bool) *exec.Cmd
	stopSignal() syscall.Signal
	driver() string
	// data returns a query for the folder of a server's data.
	data() string
	// admin returns the driver's data source name of the administrator.
	admin(port int) string
	// dsn returns the URL of a database or schema.
	dsn(port int, name string) string
	// namespace returns the statement that creates an empty database or schema.
	namespace(name string) string
}

// shared contains the servers shared by the tests of this binary.
var shared = struct {
	sync.Mutex
	servers map[string]*Server
	failed  map[string]error
}{servers: make(map[string]*Server), failed: make(map[string]error)}

// Postgres returns the shared PostgreSQL server of this binary, with fsync off.
func Postgres(tb testing.TB) *Server { return share(tb, postgres{}) }

// MariaDB returns the shared MariaDB server of this binary, with fsync off.
func MariaDB(tb testing.TB) *Server { return share(tb, mariadb{}) }

// OwnPostgres starts a separate PostgreSQL server with fsync on. It stops when
// the test ends.
func OwnPostgres(tb testing.TB) *Server { return own(tb, postgres{}) }

// OwnMariaDB starts a separate MariaDB server with fsync on. It stops when the
// test ends.
func OwnMariaDB(tb testing.TB) *Server { return own(tb, mariadb{}) }

func share(tb testing.TB, k kind) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.servers[k.name()]; s != nil {
		return s
	}
	require(tb, k)
	err := shared.failed[k.name()]
	if err == nil {
		var s *Server
		if s, err = create(k, false); err == nil {
			shared.servers[k.name()] = s
			return s
		}
		shared.failed[k.name()] = err
	}
	tb.Fatal(err)
	return nil
}

func own(tb testing.TB, k kind) *Server {
	tb.Helper()
	require(tb, k)
	s, err := create(k, true)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.remove)
	return s
}

// require skips or fails the test if the binaries are missing.
func require(tb testing.TB, k kind) {
	tb.Helper()
	err := k.find()
	switch {
	case err == nil:
	case os.Getenv("BLOBTRAIL_REQUIRE_SERVERS") == "all":
		tb.Fatalf("%s is required and missing: %v", k.name(), err)
	default:
		tb.Skipf("left out: needs %s (Debian package %s): %v", k.name(), k.packageName(), err)
	}
}

// Stop stops the shared servers and removes their data.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	for _, s := range shared.servers {
		s.remove()
	}
	clear(shared.servers)
}

func create(k kind, sync bool) (*Server, error) {
	as, err := accountFor(k)
	if err != nil {
		return nil, err
	}
	parent := ""
	if !sync {
		parent = memoryFolder()
	}
	dir, err := os.MkdirTemp(parent, "testdb-"+k.name()+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{kind: k, dir: dir, as: as, sync: sync}
	if err := s.init(); err != nil {
		s.remove()
		return nil, fmt.Errorf("starting %s: %w", k.name(), err)
	}
	return s, nil
}

func (s *Server) init() error {
	if s.as != nil {
		if err := os.Chown(s.dir, s.as.uid, s.as.gid); err != nil {
			return err
		}
	}
	if err := s.kind.create(s.dir, s.as); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		var err error
		if s.port, err = freePort(); err != nil {
			return err
		}
		// Another process may take the port before the server does.
		if err = s.start(); !errors.Is(err, errEnded) || attempt == 4 {
			return err
		}
	}
}

var errEnded = errors.New("the server ended, or another server uses its port")

// Start starts a stopped or killed server on the same port, and waits until it
// responds.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.kind.command(s.dir, s.port, s.sync)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	s.as.apply(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()

	db, err := sql.Open(s.kind.driver(), s.kind.admin(s.port))
	if err != nil {
		return err
	}
	defer db.Close()
	fail := func(err error) error {
		s.end(syscall.SIGKILL)
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%s does not respond: %w\n%s", s.kind.name(), err, text)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var data string
		err := db.QueryRow(s.kind.data()).Scan(&data)
		if err == nil && s.has(data) {
			return nil
		}
		if err == nil {
			return fail(errEnded)
		}
		select {
		case <-done:
			return fail(errEnded)
		case <-time.After(20 * time.Millisecond): // wait between attempts to connect
		}
		if time.Now().After(deadline) {
			return fail(err)
		}
	}
}

// has reports whether data is the server's data folder.
func (s *Server) has(data string) bool {
	theirs, err1 := os.Stat(data)
	ours, err2 := os.Stat(filepath.Join(s.dir, "data"))
	return err1 == nil && err2 == nil && os.SameFile(theirs, ours)
}

// Shutdown stops the server in an orderly way and disconnects its clients.
func (s *Server) Shutdown() { s.end(s.kind.stopSignal()) }

// Kill stops the server like a crash.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pid returns the process ID of the running server.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Port returns the port of the server on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Dir returns the server's data folder.
func (s *Server) Dir() string { return s.dir }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	select {
	case <-s.done:
		return
	default:
	}
	var children []int
	if signal == syscall.SIGKILL {
		// The backends of a killed PostgreSQL continue to respond for a short
		// time. It does not start again before they have ended.
		_ = s.cmd.Process.Signal(syscall.SIGSTOP) // prevents new backends
		children = childrenOf(s.cmd.Process.Pid)
	}
	_ = s.cmd.Process.Signal(signal)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	killer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	<-s.done
	killer.Stop()
	for deadline := time.Now().Add(10 * time.Second); slices.ContainsFunc(children, runs) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // wait between checks
	}
}

func (s *Server) remove() {
	s.Shutdown()
	_ = os.RemoveAll(s.dir)
}

var namespaces atomic.Int64

// New creates an empty database and returns its URL. In PostgreSQL, it creates
// a schema, which is faster.
func (s *Server) New(tb testing.TB) (dsn string) {
	tb.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), namespaces.Add(1))
	db := s.Admin(tb)
	defer db.Close()
	if _, err := db.Exec(s.kind.namespace(name)); err != nil {
		tb.Fatal(err)
	}
	return s.kind.dsn(s.port, name)
}

// Admin connects as the administrator. The caller closes the connection.
func (s *Server) Admin(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open(s.kind.driver(), s.kind.admin(s.port))
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// freePort returns an unused port. Tests replace it.
var freePort = func() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// account is the user that a server runs as. These servers refuse to run as
// root.
type account struct {
	name     string
	uid, gid int
}

// accountFor returns nil if the server can run as the current user.
func accountFor(k kind) (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	name := map[string]string{"PostgreSQL": "postgres", "MariaDB": "mysql"}[k.name()]
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot run as root: %w", k.name(), err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &account{name, uid, gid}, errors.Join(err1, err2)
}

// run runs a setup command to completion.
func (a *account) run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	a.apply(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, out)
	}
	return nil
}
