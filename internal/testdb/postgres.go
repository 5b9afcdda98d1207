//go:build unix

package testdb

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
)

type postgres struct{}

func (postgres) name() string               { return "PostgreSQL" }
func (postgres) packageName() string        { return "postgresql" }
func (postgres) driver() string             { return "pgx" }
func (postgres) data() string               { return "SHOW data_directory" }
func (postgres) stopSignal() syscall.Signal { return syscall.SIGINT } // "fast": disconnects its clients

func (postgres) find() error {
	_, err := postgresBin()
	return err
}

// postgresBin returns the folder of the newest server. Debian does not add it
// to PATH.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no initdb in /usr/lib/postgresql/*/bin or PATH")
	}
	return filepath.Dir(path), nil
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

func (postgres) create(dir string, as *account) error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	return as.run(dir, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "admin", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions", "--no-sync")
}

func (postgres) command(dir string, port int, sync bool) *exec.Cmd {
	bin, _ := postgresBin()
	return exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "fsync="+onOff(sync), "-c", "synchronous_commit="+onOff(sync), "-c", "max_connections=200")
}

func (postgres) admin(port int) string {
	return fmt.Sprintf("postgres://admin@127.0.0.1:%d/postgres?sslmode=disable", port)
}

func (p postgres) dsn(port int, name string) string { return p.admin(port) + "&search_path=" + name }
func (postgres) namespace(name string) string       { return "CREATE SCHEMA " + name }

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
