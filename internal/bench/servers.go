package main

// This file starts the database servers, with the package used by the tests and
// with syncs on. It also simulates a network that is slower than this machine.

import (
	"fmt"
	"net"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/blobtrail/blobtrail/internal/testdb"
)

func postgres(e *env) (string, error) { return onServer(e, "postgres", testdb.OwnPostgres) }

func mariadb(e *env) (string, error) { return onServer(e, "mariadb", testdb.OwnMariaDB) }

// onServer creates an empty database on the row's server of this kind.
func onServer(e *env, name string, start func(testing.TB) *testdb.Server) (dsn string, err error) {
	done := make(chan struct{})
	go func() { // Fatal and Skip end the goroutine
		defer close(done)
		tb := &testingTB{env: e, err: &err}
		if e.servers[name] == nil {
			server := start(tb)
			if e.servers == nil {
				e.servers = make(map[string]*testdb.Server)
			}
			e.servers[name] = server
		}
		dsn = e.servers[name].New(tb)
	}()
	<-done
	return dsn, err
}

// testingTB represents a row as a test. It has the methods that testdb uses.
type testingTB struct {
	testing.TB
	env *env
	err *error
}

func (t *testingTB) Helper() {}

func (t *testingTB) Cleanup(f func()) { t.env.cleanup(func() error { f(); return nil }) }

func (t *testingTB) Fatal(args ...any) {
	*t.err = fmt.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}

func (t *testingTB) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *testingTB) Skipf(format string, args ...any) {
	*t.err = fmt.Errorf("%w: %s", errLeftOut, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// distant adds a network with the given round trip between the program and the
// database.
func distant(near database, roundTrip time.Duration) database {
	return func(e *env) (string, error) {
		dsn, err := near(e)
		if err != nil {
			return "", err
		}
		u, err := url.Parse(dsn)
		if err != nil {
			return "", err
		}
		u.Host, err = slowWire(e, u.Host, roundTrip/2)
		return u.String(), err
	}
}

// slowWire listens and forwards data to target and back with the given delay.
func slowWire(e *env, target string, delay time.Duration) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	e.cleanup(l.Close)
	type packet struct {
		due  time.Time
		data []byte
	}
	pass := func(from, to net.Conn) {
		packets := make(chan packet, 1024)
		go func() {
			defer close(packets)
			for {
				buf := make([]byte, 64<<10)
				n, err := from.Read(buf)
				if n > 0 {
					packets <- packet{time.Now().Add(delay), buf[:n]}
				}
				if err != nil {
					return
				}
			}
		}()
		for p := range packets {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // if to is closed, from will be closed too
		}
		_ = to.Close()
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return l.Addr().String(), nil
}
