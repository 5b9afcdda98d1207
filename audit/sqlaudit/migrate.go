package sqlaudit

// This file implements the migrator. It applies numbered SQL files in order,
// each once, in one process at a time. A checksum detects files that were
// changed after they were applied.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations returns the SQL files that create this package's tables. Use them
// if your program runs all migrations with another tool and opens the journal
// with [Options.SkipMigrate].
//
// There is one folder for each database: "sqlite", "postgres" and "mysql",
// which also serves MariaDB. Apply the files of a folder in the order of their
// names. A statement ends with a semicolon at the end of a line, followed by an
// empty line or the end of the file.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is embedded in the program
	}
	return sub
}

// migration is one numbered file, such as 0001_journal.sql.
type migration struct {
	version  int
	name     string
	sql      string
	checksum string
}

func migrationsOf(files fs.FS, folder string) ([]migration, error) {
	names, err := fs.Glob(files, folder+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var out []migration
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		base := path.Base(name)
		number, _, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(out)+1 {
			return nil, fmt.Errorf("sqlaudit: migration %s: want number %d", name, len(out)+1)
		}
		sum := sha256.Sum256(text)
		out = append(out, migration{version, base, string(text), hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// statements splits a file after each line that ends in a semicolon and is
// followed by an empty line.
func (m migration) statements() []string {
	var out []string
	for _, s := range strings.SplitAfter(m.sql, ";\n\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// record stores in the database that m was applied.
func (m migration) record(ctx context.Context, conn *sqlx.Conn, bind int) error {
	_, err := conn.ExecContext(ctx, sqlx.Rebind(bind, "INSERT INTO file_access_migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)"),
		m.version, m.name, m.checksum, time.Now().UTC().Format(timeFormat))
	return err
}

const createMigrations = `CREATE TABLE IF NOT EXISTS file_access_migrations (
	version    INTEGER      NOT NULL PRIMARY KEY,
	name       VARCHAR(255) NOT NULL,
	checksum   CHAR(64)     NOT NULL,
	applied_at VARCHAR(27)  NOT NULL
)`

type querier interface {
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// pending returns the migrations that are not applied yet. It fails if an
// applied migration differs from its file.
func pending(ctx context.Context, q querier, all []migration) ([]migration, error) {
	var applied []struct {
		Version  int    `db:"version"`
		Name     string `db:"name"`
		Checksum string `db:"checksum"`
	}
	if err := q.SelectContext(ctx, &applied, "SELECT version, name, checksum FROM file_access_migrations ORDER BY version"); err != nil {
		return nil, err
	}
	done := make(map[int]bool, len(applied))
	for _, a := range applied {
		done[a.Version] = true
		// A higher version was applied by a newer program. It is ignored,
		// because old and new programs run side by side during a rollout.
		if a.Version >= 1 && a.Version <= len(all) && a.Checksum != all[a.Version-1].checksum {
			return nil, fmt.Errorf("sqlaudit: migration %s was applied with different content than %s has now: "+
				"recorded checksum %s, checksum of the file %s", a.Name, all[a.Version-1].name, a.Checksum, all[a.Version-1].checksum)
		}
	}
	var out []migration
	for _, m := range all {
		if !done[m.version] {
			out = append(out, m)
		}
	}
	return out, nil
}

// migrate applies the pending migrations. The first check needs neither a lock
// nor the right to create tables. A process with few rights can therefore start
// after another role has run the migrations.
func migrate(ctx context.Context, db *sqlx.DB, d dialect, files fs.FS) error {
	all, err := migrationsOf(files, d.name())
	if err != nil {
		return err
	}
	var tables int
	if err := db.GetContext(ctx, &tables, sqlx.Rebind(d.bind(), d.countTables()), "file_access_migrations"); err != nil {
		return fmt.Errorf("sqlaudit: looking for the tables: %w", err)
	}
	if tables > 0 {
		if todo, err := pending(ctx, db, all); err != nil || len(todo) == 0 {
			return err
		}
	}
	return d.locked(ctx, db, func(conn *sqlx.Conn) error {
		if _, err := conn.ExecContext(ctx, createMigrations); err != nil {
			return fmt.Errorf("sqlaudit: creating file_access_migrations: %w", err)
		}
		todo, err := pending(ctx, conn, all)
		if err != nil {
			return err
		}
		for _, m := range todo {
			if err := d.apply(ctx, conn, m); err != nil {
				return fmt.Errorf("sqlaudit: migration %s: %w", m.name, err)
			}
		}
		return nil
	})
}
