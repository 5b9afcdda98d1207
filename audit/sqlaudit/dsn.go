package sqlaudit

// This file implements data source names. All databases use the same form. It
// is converted to each driver's form, with the settings that the journal
// requires.

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
	driver     string // registered with database/sql
	importLine string // the import that registers the driver
	write      string // in the driver's own form
	read       string // same for the read pool; "" if reads and writes share one pool
	dialect    dialect
	single     bool        // SQLite: only one write connection
	path       string      // SQLite: path of the file, or ""
	info       os.FileInfo // SQLite: the file before it was opened
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
	return source{}, fmt.Errorf("sqlaudit: unknown scheme %q in the data source name: want %s", scheme, wantDSN)
}

const wantDSN = `"sqlite:PATH", "postgres://user:password@host/name" or "mysql://user:password@host/name"`

// parsePostgres adds the required settings: durable commits and text in UTF-8.
// It does not change the rest, because pgx parses names by the rules of libpq,
// not of net/url.
func parsePostgres(dsn string) (source, error) {
	s := source{driver: "pgx", importLine: `import _ "github.com/jackc/pgx/v5/stdlib"`, dialect: &postgres{}}
	notURL := errors.New(`sqlaudit: the data source name is not a valid URL: want "postgres://user:password@host:5432/name", with special characters of the user, the password and the name escaped as %XX`)
	_, body, ok := strings.Cut(dsn, "://")
	if !ok || strings.ContainsRune(dsn, 0) {
		return s, notURL
	}
	if i := strings.IndexAny(body, "@/"); i >= 0 && body[i] == '@' {
		if _, err := url.PathUnescape(body[:i]); err != nil {
			return s, notURL
		}
		body = body[i+1:]
	}
	query := ""
	if i := postgresQuery(body); i >= 0 {
		body, query = body[:i], body[i+1:]
	} else {
		dsn += "?"
	}
	if strings.ContainsRune(body, '@') {
		return s, notURL // '@' or '/' in the password: the rest of the password would be shown as host or name
	}
	durable := false
	for param := range strings.SplitSeq(query, "&") {
		param, _ = url.PathUnescape(param)
		key, value, _ := strings.Cut(param, "=")
		durable = durable || key == "synchronous_commit" || key == "options" && strings.Contains(value, "synchronous_commit")
	}
	add := func(param string) {
		if !strings.HasSuffix(dsn, "?") && !strings.HasSuffix(dsn, "&") {
			dsn += "&"
		}
		dsn += param
	}
	if !durable {
		add("synchronous_commit=on")
	}
	add("client_encoding=UTF8") // the last one takes effect
	s.write = dsn
	return s, nil
}

// postgresQuery returns the index of the '?' in a URL without scheme and user,
// or -1. Hosts in brackets may contain a '?'.
func postgresQuery(p string) int {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '[':
			if end := strings.IndexByte(p[i:], ']'); end > 0 {
				i += end
			}
		case '/', '?':
			if j := strings.IndexByte(p[i:], '?'); j >= 0 {
				return i + j
			}
			return -1
		}
	}
	return -1
}

const wantMySQL = `want "mysql://user:password@host:3306/name" or "mysql:user:password@tcp(host:3306)/name"`

// parseMySQL accepts a URL or the driver's own form.
func parseMySQL(rest string) (source, error) {
	s := source{driver: "mysql", importLine: `import _ "github.com/go-sql-driver/mysql"`, dialect: &mysql{}}
	var body, query string
	if url, ok := strings.CutPrefix(rest, "//"); ok {
		var err error
		if body, query, err = fromMySQLURL(url); err != nil {
			return s, err
		}
	} else {
		body, query, _ = strings.Cut(rest, "?")
		if i := strings.LastIndexByte(rest, '/'); i >= 0 { // a password may contain '?'
			var name string
			name, query, _ = strings.Cut(rest[i:], "?")
			body = rest[:i] + name
		}
	}
	if i := strings.LastIndexByte(body, '/'); i < 0 || i == len(body)-1 {
		return s, errors.New("sqlaudit: the data source name has no database: " + wantMySQL)
	}
	params, err := mysqlParams(query)
	if err != nil {
		return s, err
	}
	s.write = body + "?" + params
	return s, nil
}

// fromMySQLURL converts a URL without its scheme to the driver's form.
func fromMySQLURL(rest string) (body, query string, err error) {
	notURL := errors.New("sqlaudit: the data source name is not a valid URL: " + wantMySQL + ", with special characters of the user, the password and the name escaped as %XX")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, hasPassword := strings.Cut(authority[:at], ":")
		user, err1 := url.PathUnescape(user)
		password, err2 := url.PathUnescape(password)
		switch {
		case err1 != nil || err2 != nil:
			return "", "", notURL // the text of these errors would show the password
		case strings.ContainsRune(user, ':'):
			return "", "", errors.New("sqlaudit: invalid user in the data source name: the driver does not support a colon in it")
		}
		body = user
		if hasPassword {
			body += ":" + password
		}
		body, authority = body+"@", authority[at+1:]
	}
	name, query, _ := strings.Cut(path, "?")
	if strings.ContainsAny(name, "/@") || strings.ContainsRune(authority, '?') && path == "" {
		return "", "", notURL
	}
	if socket, err := url.PathUnescape(authority); err == nil && strings.HasPrefix(socket, "/") {
		return body + "unix(" + socket + ")/" + name, query, nil
	}
	u, err := url.Parse("mysql://" + authority)
	if err != nil || u.Host != authority {
		return "", "", notURL
	}
	host := authority
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "3306")
	}
	// The driver interprets the last slash as the one before the name.
	return body + "tcp(" + host + ")/" + name, strings.ReplaceAll(query, "/", "%2F"), nil
}

// mysqlParams adds the required settings to the parameters of the driver.
func mysqlParams(query string) (string, error) {
	var kept []string
	collation, timeout := "", false
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		if value, err := url.QueryUnescape(value); err != nil {
			return "", errors.New("sqlaudit: invalid parameters in the data source name: want key=value&key=value, with special characters escaped as %XX")
		} else if key == "collation" {
			collation = value
		}
		timeout = timeout || key == "timeout"
		switch strings.ToLower(key) {
		case "", "sql_mode", "interpolateparams", "charset", "collation", "columnswithalias",
			"character_set_client", "character_set_connection", "character_set_results", "collation_connection":
		default:
			kept = append(kept, param)
		}
	}
	kept = append(kept, "sql_mode=%27TRADITIONAL%27", // strict: values are never truncated silently
		"interpolateParams=true", // one round trip per statement
		"charset=utf8mb4")        // text is stored and read unchanged
	if strings.HasPrefix(collation, "utf8mb4_") {
		kept = append(kept, "collation="+collation)
	}
	if !timeout {
		kept = append(kept, "timeout=5s") // of connecting
	}
	return strings.Join(kept, "&"), nil
}

// parseError converts an error of a driver that cannot parse s.write. The
// driver's text may quote parts of the password, and the errors that it wraps
// may contain all of it.
func (s source) parseError(err error) error {
	text := err.Error()
	if first, last := strings.IndexByte(text, '`'), strings.LastIndex(text, "`: "); first < last { // pgx quotes the whole name
		text = "cannot parse the data source name" + text[last+1:]
	}
	for _, secret := range s.secrets() {
		if strings.Contains(text, secret) {
			text = "the driver cannot parse the data source name, and its reason is omitted because it would show a part of the password: escape special characters of the password as %XX"
			break
		}
	}
	return errors.New("sqlaudit: opening the database: " + text)
}

// secrets returns the parts of s.write that may be a password or a part of it,
// even if special characters were not escaped.
func (s source) secrets() []string {
	body := strings.TrimPrefix(strings.TrimPrefix(s.write, "postgresql://"), "postgres://")
	span := body
	if i := strings.LastIndexByte(span, '@'); i >= 0 {
		span = span[:i]
	} else if i := strings.LastIndexByte(span, '/'); i >= 0 {
		span = span[:i]
	}
	_, span, _ = strings.Cut(span, ":")
	found := strings.FieldsFunc(span, func(r rune) bool { return strings.ContainsRune("/?#@:&=()` ", r) })
	for param := range strings.FieldsFuncSeq(body, func(r rune) bool { return strings.ContainsRune("?&", r) }) {
		key, value, _ := strings.Cut(param, "=")
		if key, _ = url.PathUnescape(key); strings.Contains(strings.ToLower(key), "pass") && value != "" {
			found = append(found, value)
		}
	}
	for _, secret := range found {
		if plain, err := url.PathUnescape(secret); err == nil && plain != secret {
			found = append(found, plain)
		}
	}
	return found
}

// sqliteBusyTimeout limits how long a statement waits for other processes.
const sqliteBusyTimeout = 5 * time.Second

// parseSQLite accepts a path or ":memory:".
func parseSQLite(path string) (source, error) {
	s := source{driver: "sqlite", importLine: `import _ "modernc.org/sqlite"`, dialect: &sqlite{}, single: true}
	path = strings.TrimPrefix(path, "//")
	settings := "_pragma=busy_timeout(" + strconv.FormatInt(sqliteBusyTimeout.Milliseconds(), 10) + ")&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	switch {
	case path == "":
		return s, errors.New(`sqlaudit: the data source name "sqlite:" has no path: want "sqlite:PATH" or "sqlite::memory:"`)
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
	// Create the file here, because SQLite would make it readable for all
	// users. The -wal and -shm files get the mode of the database file.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return s, fmt.Errorf("sqlaudit: SQLite path %q: %w", path, err)
		}
	case !errors.Is(err, fs.ErrExist):
		return s, fmt.Errorf("sqlaudit: creating the SQLite database: %w", err)
	}
	if s.info, err = os.Stat(abs); err != nil {
		return s, fmt.Errorf("sqlaudit: SQLite path %q: %w", path, err)
	}
	s.path = abs
	// With mode=rw, connections opened later never create a new file.
	file := "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath() + "?mode=rw&"
	s.write = file + "_txlock=immediate&" + settings
	s.read = file + settings + "&_pragma=query_only(1)"
	return s, nil
}

func (s source) checkDriver() error {
	if slices.Contains(sql.Drivers(), s.driver) {
		return nil
	}
	return fmt.Errorf("sqlaudit: driver %q is not imported: add %s", s.driver, s.importLine)
}
