package sqlaudit

// Data source names: one form for all databases, turned into what each driver
// wants, with the settings that the journal relies on.

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		return source{}, errors.New(`sqlaudit: the data source name has no scheme: want "sqlite:PATH"`)
	}
	switch scheme {
	case "sqlite":
		return parseSQLite(rest)
	}
	return source{}, fmt.Errorf(`sqlaudit: scheme %q of the data source name is not known: want "sqlite:PATH"`, scheme)
}

// parseSQLite takes a path or ":memory:".
func parseSQLite(path string) (source, error) {
	s := source{driver: "sqlite", importLine: `import _ "modernc.org/sqlite"`, dialect: &sqlite{}, single: true}
	path = strings.TrimPrefix(path, "//")
	const settings = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
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
