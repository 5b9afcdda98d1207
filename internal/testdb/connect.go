//go:build unix

package testdb

import (
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"
)

// Connect opens the database of a journal's DSN with its plain driver, as an
// application, an auditor or an attacker would. The test closes it.
func Connect(tb testing.TB, dsn string) *sqlx.DB {
	tb.Helper()
	driver, source := "pgx", dsn
	kind, rest, _ := strings.Cut(dsn, ":")
	switch kind {
	case "sqlite":
		driver, source = "sqlite", "file:"+rest+"?_pragma=busy_timeout(5000)"
	case "mysql":
		address := strings.Replace(strings.TrimPrefix(rest, "//"), "@", "@tcp(", 1)
		driver, source = "mysql", strings.Replace(address, "/", ")/", 1)
	}
	db, err := sqlx.Open(driver, source)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}
