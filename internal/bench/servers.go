package main

// The database servers, started by the package that the tests start them with, and with their syncs on.

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/blobtrail/blobtrail/internal/testdb"
)

func postgres(e *env) (string, error) { return onServer(e, "postgres", testdb.OwnPostgres) }

func mariadb(e *env) (string, error) { return onServer(e, "mariadb", testdb.OwnMariaDB) }

// onServer makes an empty database on the row's server of this kind.
func onServer(e *env, name string, start func(testing.TB) *testdb.Server) (dsn string, err error) {
	done := make(chan struct{})
	go func() { // which Fatal and Skip can end
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

// testingTB is a row in the place of a test. It has what testdb uses.
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
