package sqlaudit

// This file implements the watch over a SQLite database file. SQLite continues to
// write to a file that was removed or replaced, and acknowledged entries would be
// lost with that file.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

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

	mu   sync.Mutex
	info os.FileInfo // of the last check

	session  any  // the driver's connection that wrote last
	hasWAL   bool // it has a write-ahead log
	wal, shm os.FileInfo
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
	f := new(sqliteFile)
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
// or was emptied. It compares the files alone: whoever overwrites the open file in
// place is found by Verify.
func (d *sqlite) check() error {
	f := d.file
	if f == nil {
		return nil
	}
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
		case info.Size() == 0 && f.info.Size() > 0:
			return &fileError{f.paths[i], "was emptied"}
		}
	}
	f.info = info
	return nil
}

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
	f.session, f.hasWAL, f.wal, f.shm = session, mode == "wal", nil, nil
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
func (d *sqlite) committed() error {
	f := d.file
	if f == nil {
		return nil
	}
	err := d.check()
	if err == nil {
		f.mu.Lock()
		err = f.sameLog()
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

// checkFile returns a *fileError if the journal's SQLite file is not the one at its
// path.
func (j *Journal) checkFile() error {
	if d, ok := j.d.(*sqlite); ok {
		return d.check()
	}
	return nil
}
