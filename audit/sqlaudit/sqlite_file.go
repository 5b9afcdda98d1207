package sqlaudit

// This file implements the checks of a SQLite database file. If an open file is
// removed or replaced, SQLite continues to write to the old file. Acknowledged
// entries would be lost with it.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/jmoiron/sqlx"
)

// fileError reports that the file at the database's path is not the open one.
// It does not wrap the error of os.Stat, because callers would mistake
// fs.ErrNotExist for a missing object.
type fileError struct{ path, what string }

func (e *fileError) Error() string {
	return fmt.Sprintf("sqlaudit: the SQLite file %s %s while it was open: restore the original file, or restart the program to use the current file", e.path, e.what)
}

// goneError marks a fileError found after a commit. The commit went to a file
// that is no longer at its path.
type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

// sqliteFile is an open database file.
type sqliteFile struct {
	paths []string // paths that must refer to it: the one resolved by SQLite, and the one passed to Open

	mu   sync.Mutex
	info os.FileInfo // from the last check

	session  any  // driver connection that wrote last
	hasWAL   bool // uses a write-ahead log
	wal, shm os.FileInfo
}

// watch starts the checks of db's file. A database in memory has no file. given
// is the path passed to Open. before describes the file at that path before
// SQLite opened it. In New, both are unknown.
func (d *sqlite) watch(ctx context.Context, db *sqlx.DB, given string, before os.FileInfo) error {
	var list []struct {
		Seq  int    `db:"seq"`
		Name string `db:"name"`
		File string `db:"file"`
	}
	if err := db.SelectContext(ctx, &list, "PRAGMA database_list"); err != nil {
		return fmt.Errorf("sqlaudit: reading the path of the database: %w", err)
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
		return fmt.Errorf("sqlaudit: reading the database settings: %w", err)
	}
	f.hasWAL = mode == "wal"
	d.file = f
	return nil
}

// watchFile starts the checks of a SQLite database's file.
func watchFile(ctx context.Context, db *sqlx.DB, d dialect, path string, info os.FileInfo) error {
	if d, ok := d.(*sqlite); ok {
		return d.watch(ctx, db, path, info)
	}
	return nil
}

// check returns a *fileError if the file at one of the paths is not the open
// one, or is now empty. It compares only the identity of the files: if the open
// file is overwritten in place, only Verify detects it.
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
			return fmt.Errorf("sqlaudit: checking the database file: %v", err) //nolint:errorlint // as with fileError
		case !os.SameFile(info, f.info):
			return &fileError{f.paths[i], "was replaced by another"}
		case info.Size() == 0 && f.info.Size() > 0:
			return &fileError{f.paths[i], "was emptied"}
		}
	}
	f.info = info
	return nil
}

// checkLog checks the write-ahead log and its index. It runs after tx has
// written and before it commits. All connections share these files. The files
// exist while at least one connection is open, so checkLog accepts new files
// together with a new connection.
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
	f.shm, _ = os.Stat(f.paths[0] + "-shm") // does not exist in exclusive mode
	return nil
}

// sameLog implements checkLog for the connection that wrote last.
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

// committed returns a goneError if a commit went to another file than the
// current one at the path.
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

// checkFile returns a *fileError if the journal's SQLite file is not the one at
// its path.
func (j *Journal) checkFile() error {
	if d, ok := j.d.(*sqlite); ok {
		return d.check()
	}
	return nil
}
