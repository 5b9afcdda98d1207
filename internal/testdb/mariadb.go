//go:build unix

package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	_ "github.com/go-sql-driver/mysql" // registers "mysql"
)

type mariadb struct{}

func (mariadb) name() string               { return "MariaDB" }
func (mariadb) packageName() string        { return "mariadb-server" }
func (mariadb) driver() string             { return "mysql" }
func (mariadb) data() string               { return "SELECT @@datadir" }
func (mariadb) stopSignal() syscall.Signal { return syscall.SIGTERM }

func (mariadb) find() error {
	_, err := mariadbd()
	if err != nil {
		return err
	}
	_, err = exec.LookPath("mariadb-install-db")
	return err
}

func mariadbd() (string, error) {
	if path, err := exec.LookPath("mariadbd"); err == nil {
		return path, nil
	}
	const sbin = "/usr/sbin/mariadbd"
	if _, err := os.Stat(sbin); err == nil {
		return sbin, nil
	}
	return "", errors.New("no mariadbd in PATH or /usr/sbin")
}

const mariadbPassword = "test-password"

func (mariadb) create(dir string, as *account) error {
	install, err := exec.LookPath("mariadb-install-db")
	if err != nil {
		return err
	}
	grant := "CREATE USER IF NOT EXISTS 'admin'@'127.0.0.1' IDENTIFIED BY '" + mariadbPassword + "';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n"
	if err := os.WriteFile(filepath.Join(dir, "init.sql"), []byte(grant), 0o644); err != nil {
		return err
	}
	return as.run(dir, install, "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--tmpdir="+dir, "--skip-test-db", "--auth-root-authentication-method=normal",
		"--innodb-flush-log-at-trx-commit=0")
}

func (mariadb) command(dir string, port int, sync bool) *exec.Cmd {
	path, _ := mariadbd()
	args := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--port=" + strconv.Itoa(port),
		"--tmpdir=" + dir, // a starting server clears a shared folder
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--socket=" + filepath.Join(dir, "sock"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--init-file=" + filepath.Join(dir, "init.sql"), "--max-connections=200"}
	if sync {
		args = append(args, "--innodb-flush-log-at-trx-commit=1")
	} else {
		args = append(args, "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync")
	}
	return exec.Command(path, args...)
}

func (mariadb) admin(port int) string {
	return fmt.Sprintf("admin:%s@tcp(127.0.0.1:%d)/", mariadbPassword, port)
}

func (mariadb) dsn(port int, name string) string {
	return fmt.Sprintf("mysql://admin:%s@127.0.0.1:%d/%s", mariadbPassword, port, name)
}

// namespace selects the server's most lenient character set, because the tables
// must not depend on it.
func (mariadb) namespace(name string) string {
	return "CREATE DATABASE " + name + " CHARACTER SET latin1"
}
