package sqlaudit

// This file implements the watch over a SQLite database file. SQLite continues to
// write to a file that was removed or replaced, and acknowledged entries would be
// lost with that file.

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// fileError reports that the file at the database's path is not the open one. It
// wraps no error of os.Stat: callers would take fs.ErrNotExist for a missing object.
type fileError struct{ path, what string }

func (e *fileError) Error() string {
	return fmt.Sprintf("sqlaudit: the SQLite file %s %s while it was open: restore the original file, or restart the program to use the file that is there now", e.path, e.what)
}

// goneError marks a fileError that was found after a commit. The commit went to the
// file that is no longer at its path.
type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

// sqliteFile is an open database file.
type sqliteFile struct {
	paths []string // the names it must have: as SQLite resolved it, and as given
	db    *sqlx.DB

	mu      sync.Mutex
	info    os.FileInfo // of the last check that found its content intact
	content sqliteContent

	session  any  // the driver's connection that wrote last
	hasWAL   bool // it has a write-ahead log
	wal, shm os.FileInfo
	head     []byte // of the log
}

// sqliteContent describes the content of a database file without its write-ahead
// log.
type sqliteContent struct {
	tables bool
	same   bool // the last entry of the check before is there, or was purged

	// Last is the entry with the greatest id.
	Last   string `db:"id"`
	Writer string `db:"writer_id"`
	Seq    int64  `db:"seq"`
}

// watch begins to watch the file of db; a database in memory has none. given is the
// path that the caller of Open named, and before the file there before SQLite
// opened it. New knows neither.
func (d *sqlite) watch(ctx context.Context, db *sqlx.DB, given string, before os.FileInfo) error {
	var list []struct {
		Seq  int    `db:"seq"`
		Name string `db:"name"`
		File string `db:"file"`
	}
	if err := db.SelectContext(ctx, &list, "PRAGMA database_list"); err != nil {
		return fmt.Errorf("sqlaudit: asking the database for its file: %w", err)
	}
	f := &sqliteFile{db: db}
	for _, l := range list {
		if l.Name == "main" && l.File != "" {
			f.paths = append(f.paths, l.File)
		}
	}
	if len(f.paths) == 0 {
		return nil // in memory
	}
	if given != "" && given != f.paths[0] {
		f.paths = append(f.paths, given)
	}
	info, err := os.Stat(f.paths[0])
	if err != nil || before != nil && !os.SameFile(info, before) {
		return &fileError{f.paths[0], "was removed or replaced"}
	}
	f.info = info
	var mode string
	if err := db.GetContext(ctx, &mode, "PRAGMA journal_mode"); err != nil {
		return fmt.Errorf("sqlaudit: asking the database for its settings: %w", err)
	}
	f.hasWAL = mode == "wal"
	if f.content, err = f.read(ctx); err != nil && !errors.Is(err, errNoTables) {
		return fmt.Errorf("sqlaudit: reading the database's file: %w", err)
	}
	d.file = f
	return nil
}

// watchFile begins to watch the file of a SQLite database.
func watchFile(ctx context.Context, db *sqlx.DB, d dialect, path string, info os.FileInfo) error {
	if d, ok := d.(*sqlite); ok {
		return d.watch(ctx, db, path, info)
	}
	return nil
}

// check returns a *fileError if the file at one of the paths is not the open one,
// or has lost content. It calls os.Stat, and reads the file only if that has
// changed, as it does at checkpoints.
func (d *sqlite) check(ctx context.Context) error {
	if d.file == nil {
		return nil
	}
	f := d.file
	f.mu.Lock()
	defer f.mu.Unlock()
	var info os.FileInfo
	for i := len(f.paths) - 1; i >= 0; i-- {
		var err error
		info, err = os.Stat(f.paths[i])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &fileError{f.paths[i], "was removed"}
		case err != nil:
			return fmt.Errorf("sqlaudit: looking for the database's file: %v", err) //nolint:errorlint // as with fileError
		case !os.SameFile(info, f.info):
			return &fileError{f.paths[i], "was replaced by another"}
		}
	}
	if !f.hasWAL || info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime()) {
		return nil // without a write-ahead log, SQLite itself looks at the file each time
	}
	return f.checkContent(ctx, info)
}

// checkContent compares the file's content with that of the last check. While
// another process moves pages from the write-ahead log to the file, the content is
// inconsistent. So checkContent tries again.
func (f *sqliteFile) checkContent(ctx context.Context, info os.FileInfo) error {
	for attempt := 0; ; attempt++ {
		content, err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNoTables) && !f.content.tables && info.Size() >= f.info.Size():
			f.info = info // there is nothing in the file yet
			return nil
		case err == nil && content.same:
			f.info, f.content = info, content
			return nil
		case attempt == 10:
			return &fileError{f.paths[0], "was overwritten or cut off"}
		}
		timer := time.NewTimer(5 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if info, err = os.Stat(f.paths[0]); err != nil {
			return &fileError{f.paths[0], "was removed"}
		}
	}
}

var errNoTables = errors.New("no tables")

// read reads the file without its write-ahead log. It uses SQLite, because the
// process would lose SQLite's locks if this package opened and closed the file.
func (f *sqliteFile) read(ctx context.Context) (c sqliteContent, err error) {
	uri := "file:" + (&url.URL{Path: filepath.ToSlash(f.paths[0])}).EscapedPath() + "?mode=ro&immutable=1"
	db := sqlx.NewDb(sql.OpenDB(fileConnector{f.db.Driver(), uri}), "sqlite")
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.GetContext(ctx, &tables, "SELECT count(*) FROM sqlite_master WHERE name IN ('file_access_logs', 'file_access_frontiers')"); err != nil {
		return c, err
	}
	if tables < 2 {
		return c, errNoTables
	}
	c.tables = true
	if err := db.GetContext(ctx, &c.same, "SELECT ? = '' OR EXISTS (SELECT 1 FROM file_access_logs WHERE id = ?) OR EXISTS (SELECT 1 FROM file_access_frontiers WHERE writer_id = ? AND tree_size > ?)",
		f.content.Last, f.content.Last, f.content.Writer, f.content.Seq); err != nil {
		return c, err
	}
	err = db.GetContext(ctx, &c, "SELECT id, writer_id, seq FROM file_access_logs ORDER BY id DESC LIMIT 1")
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return c, err
}

// fileConnector opens a file with the driver of a pool.
type fileConnector struct {
	driver driver.Driver
	name   string
}

func (c fileConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }
func (c fileConnector) Driver() driver.Driver                        { return c.driver }

// checkLog checks the write-ahead log and its index, after tx has written and
// before it commits. All connections share these files, which exist while one of
// the connections is open. So checkLog accepts new ones with a new connection.
func (d *sqlite) checkLog(ctx context.Context, tx *sqlx.Tx, session any) error {
	f := d.file
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if session == f.session {
		return f.sameLog()
	}
	var mode string
	if err := tx.GetContext(ctx, &mode, "PRAGMA journal_mode"); err != nil {
		return err
	}
	f.session, f.hasWAL, f.wal, f.shm, f.head = session, mode == "wal", nil, nil, nil
	if !f.hasWAL {
		return nil
	}
	var err error
	if f.wal, err = os.Stat(f.paths[0] + "-wal"); err != nil {
		f.session = nil
		return &fileError{f.paths[0] + "-wal", "was removed"}
	}
	f.shm, _ = os.Stat(f.paths[0] + "-shm") // there is none in exclusive mode
	return nil
}

// sameLog is checkLog for the connection that wrote last.
func (f *sqliteFile) sameLog() error {
	if !f.hasWAL {
		return nil
	}
	for name, want := range map[string]os.FileInfo{f.paths[0] + "-wal": f.wal, f.paths[0] + "-shm": f.shm} {
		if want == nil {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return &fileError{name, "was removed"}
		case !os.SameFile(info, want):
			return &fileError{name, "was replaced by another"}
		}
	}
	return nil
}

// committed returns a goneError if a commit went to another file than the one at
// the path.
func (d *sqlite) committed(ctx context.Context) error {
	f := d.file
	if f == nil {
		return nil
	}
	err := d.check(ctx)
	if err == nil {
		f.mu.Lock()
		if err = f.sameLog(); err == nil && f.hasWAL {
			err = f.checkHead()
		}
		f.mu.Unlock()
	}
	var lost *fileError
	if errors.As(err, &lost) {
		return goneError{err}
	}
	if err != nil {
		return unclearError{err}
	}
	return nil
}

// checkHead checks that the write-ahead log was not cut off. A log without a head
// was, and so was a log that is shorter than before with the same head: SQLite
// writes another head when it starts the log again.
func (f *sqliteFile) checkHead() error {
	name := f.paths[0] + "-wal"
	file, err := os.Open(name) // SQLite has no locks on this one
	if err != nil {
		return &fileError{name, "was removed"}
	}
	defer file.Close()
	head := make([]byte, 32)
	info, err := file.Stat()
	if err == nil {
		_, err = io.ReadFull(file, head)
	}
	if err != nil || !bytes.HasPrefix(head, []byte{0x37, 0x7f, 0x06}) || bytes.Equal(head, f.head) && info.Size() < f.wal.Size() {
		return &fileError{name, "was cut off"}
	}
	f.head, f.wal = head, info
	return nil
}

// checkFile returns a *fileError if the journal's SQLite file is not the one at its
// path.
func (j *Journal) checkFile(ctx context.Context) error {
	if d, ok := j.d.(*sqlite); ok {
		return d.check(ctx)
	}
	return nil
}
