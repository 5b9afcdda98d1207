//go:build unix

// Package testdb starts private PostgreSQL and MariaDB servers for tests, from
// the binaries of the system's packages, with their data in a temporary folder.
// It is imported by tests only.
//
// A test binary shares one server of each kind, started by the first test that
// asks for one and stopped by [Stop], which belongs in TestMain. It does not
// wait for the disk, and on Linux its data is in memory, so that the many tests
// that make a database of their own are quick. A test about durability or speed,
// or one that stops or hurts its server, starts one of its own, on disk and with
// fsync on.
//
// Where the binaries are missing, tests skip with one line that says what they
// leave out. With BLOBTRAIL_REQUIRE_SERVERS=all they fail instead.
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

// kind is what differs between the two.
type kind interface {
	name() string
	packageName() string
	// find looks for the binaries.
	find() error
	// create makes the data in dir, owned by the account.
	create(dir string, as *account) error
	command(dir string, port int, sync bool) *exec.Cmd
	stopSignal() syscall.Signal
	driver() string
	// data is a query for the folder of a server's data.
	data() string
	// admin is the driver's data source name for the administrator.
	admin(port int) string
	// dsn is the URL of a database or schema.
	dsn(port int, name string) string
	// namespace returns the statement that makes an empty one.
	namespace(name string) string
}

// shared are the servers of this test binary.
var shared = struct {
	sync.Mutex
	servers map[string]*Server
	failed  map[string]error
}{servers: make(map[string]*Server), failed: make(map[string]error)}

// Postgres returns the PostgreSQL server that the tests of this binary share,
// with fsync off.
func Postgres(tb testing.TB) *Server { return share(tb, postgres{}) }

// MariaDB returns the MariaDB server that the tests of this binary share, with
// fsync off.
func MariaDB(tb testing.TB) *Server { return share(tb, mariadb{}) }

// OwnPostgres starts a PostgreSQL server with fsync on that is stopped when the
// test ends.
func OwnPostgres(tb testing.TB) *Server { return own(tb, postgres{}) }

// OwnMariaDB starts a MariaDB server with fsync on that is stopped when the test
// ends.
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
		// Somebody else may take the port before the server does.
		if err = s.start(); !errors.Is(err, errEnded) || attempt == 4 {
			return err
		}
	}
}

var errEnded = errors.New("it ended, or another server has its port")

// Start starts a server that was stopped or killed, on the same port, and
// waits until it answers.
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
		return fmt.Errorf("%s does not answer: %w\n%s", s.kind.name(), err, text)
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
		case <-time.After(20 * time.Millisecond): // between two attempts to connect
		}
		if time.Now().After(deadline) {
			return fail(err)
		}
	}
}

// has reports whether data is the folder of the server's data.
func (s *Server) has(data string) bool {
	theirs, err1 := os.Stat(data)
	ours, err2 := os.Stat(filepath.Join(s.dir, "data"))
	return err1 == nil && err2 == nil && os.SameFile(theirs, ours)
}

// Shutdown ends the server in its orderly way, cutting off its clients.
func (s *Server) Shutdown() { s.end(s.kind.stopSignal()) }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pid is the process id of the running server.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Port is where the server listens on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Dir is the folder of the server's data.
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
		// A killed PostgreSQL would leave its backends to answer a little while,
		// and does not start again before they are gone.
		_ = s.cmd.Process.Signal(syscall.SIGSTOP) // so that it has no more of them
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
		time.Sleep(time.Millisecond) // between two looks
	}
}

func (s *Server) remove() {
	s.Shutdown()
	_ = os.RemoveAll(s.dir)
}

var namespaces atomic.Int64

// New makes an empty database (in PostgreSQL a schema, which is faster) and
// returns its URL.
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

// Admin connects as the administrator. The caller closes it.
func (s *Server) Admin(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open(s.kind.driver(), s.kind.admin(s.port))
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// freePort is replaced by tests.
var freePort = func() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// account is whom a server runs as: these servers refuse to run as root.
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
		return nil, fmt.Errorf("%s can't run as root: %w", k.name(), err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &account{name, uid, gid}, errors.Join(err1, err2)
}

// run runs a set-up command to its end.
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
