package sqlaudit

// Data source names: one form for all databases, turned into what each driver
// wants, with the settings that the journal relies on.

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// source is a parsed data source name.
type source struct {
	driver     string // as registered with database/sql
	importLine string // what registers it
	write      string // the driver's own form
	read       string // the same for the pool of readers; "" if they share one
	dialect    dialect
	single     bool // SQLite: one writer
}

func parseDSN(dsn string) (source, error) {
	scheme, rest, ok := strings.Cut(dsn, ":")
	if !ok || strings.ContainsAny(scheme, "/\\. ") {
		return source{}, errors.New(`sqlaudit: the data source name has no scheme: want ` + wantDSN)
	}
	switch scheme {
	case "sqlite":
		return parseSQLite(rest)
	case "postgres", "postgresql":
		return parsePostgres(dsn)
	case "mysql", "mariadb":
		return parseMySQL(rest)
	}
	return source{}, fmt.Errorf("sqlaudit: scheme %q of the data source name is not known: want %s", scheme, wantDSN)
}

const wantDSN = `"sqlite:PATH", "postgres://user:password@host/name" or "mysql://user:password@host/name"`

// parsePostgres adds what makes an acknowledged commit a durable one.
func parsePostgres(dsn string) (source, error) {
	s := source{driver: "pgx", importLine: `import _ "github.com/jackc/pgx/v5/stdlib"`, dialect: &postgres{}}
	u, err := url.Parse(dsn)
	if err != nil { // whose message would show the password
		return s, errors.New(`sqlaudit: the data source name is no URL: want "postgres://user:password@host:5432/name", special characters of the password as %XX`)
	}
	q := u.Query()
	if !q.Has("synchronous_commit") {
		q.Set("synchronous_commit", "on")
	}
	u.RawQuery = q.Encode()
	s.write = u.String()
	return s, nil
}

// parseMySQL takes a URL, or the driver's own form.
func parseMySQL(rest string) (source, error) {
	s := source{driver: "mysql", importLine: `import _ "github.com/go-sql-driver/mysql"`, dialect: &mysql{}}
	const want = `want "mysql://user:password@host:3306/name" or "mysql:user:password@tcp(host:3306)/name"`
	body, query, _ := strings.Cut(rest, "?")
	if i := strings.LastIndexByte(rest, '/'); i >= 0 { // a password may hold a '?'
		var name string
		name, query, _ = strings.Cut(rest[i:], "?")
		body = rest[:i] + name
	}
	if strings.HasPrefix(body, "//") {
		u, err := url.Parse("mysql:" + body)
		if err != nil {
			return s, errors.New("sqlaudit: the data source name is no URL: " + want + ", special characters of the password as %XX")
		}
		host := u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "3306")
		}
		body = ""
		if u.User != nil {
			body = u.User.Username()
			if password, ok := u.User.Password(); ok {
				body += ":" + password
			}
			body += "@"
		}
		body += "tcp(" + host + ")" + u.EscapedPath()
	}
	if i := strings.LastIndexByte(body, '/'); i < 0 || i == len(body)-1 {
		return s, errors.New("sqlaudit: the data source name names no database: " + want)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return s, errors.New("sqlaudit: the parameters of the data source name can't be read: " + want)
	}
	q.Set("sql_mode", "'TRADITIONAL'") // strict: nothing is cut silently
	q.Set("interpolateParams", "true") // one round trip for a statement
	if !q.Has("timeout") {
		q.Set("timeout", "5s") // of connecting
	}
	s.write = body + "?" + q.Encode()
	return s, nil
}

// sqliteBusyTimeout is how long a statement waits for other processes.
const sqliteBusyTimeout = 5 * time.Second

// parseSQLite takes a path or ":memory:".
func parseSQLite(path string) (source, error) {
	s := source{driver: "sqlite", importLine: `import _ "modernc.org/sqlite"`, dialect: &sqlite{}, single: true}
	path = strings.TrimPrefix(path, "//")
	settings := "_pragma=busy_timeout(" + strconv.FormatInt(sqliteBusyTimeout.Milliseconds(), 10) + ")&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	switch {
	case path == "":
		return s, errors.New(`sqlaudit: the data source name "sqlite:" names no file: want "sqlite:PATH" or "sqlite::memory:"`)
	case path == ":memory:":
		s.write = "file::memory:?_txlock=immediate&" + settings
		return s, nil
	case strings.ContainsRune(path, 0):
		return s, errors.New("sqlaudit: the SQLite path contains a NUL character")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return s, fmt.Errorf("sqlaudit: SQLite path %q: %w", path, err)
	}
	// Created here, since SQLite would let everybody read what it creates. Its
	// -wal and -shm files take the mode of the database.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return s, fmt.Errorf("sqlaudit: SQLite path %q: %w", path, err)
		}
	case !errors.Is(err, fs.ErrExist):
		return s, fmt.Errorf("sqlaudit: creating the SQLite database: %w", err)
	}
	file := "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath()
	s.write = file + "?_txlock=immediate&" + settings
	s.read = file + "?" + settings + "&_pragma=query_only(1)"
	return s, nil
}

func (s source) checkDriver() error {
	if slices.Contains(sql.Drivers(), s.driver) {
		return nil
	}
	return fmt.Errorf("sqlaudit: the program has no driver %q: add %s", s.driver, s.importLine)
}
