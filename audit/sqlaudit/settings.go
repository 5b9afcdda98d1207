package sqlaudit

// This file implements the checks of connection settings. Some settings alter
// text that is stored or read, so that two connections see different values.
// Open avoids such settings in the data source name; New rejects them.

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// settingsError reports a session setting that alters values when they are
// stored or read.
type settingsError struct{ setting, value, want string }

func (e *settingsError) Error() string {
	return fmt.Sprintf("sqlaudit: the database connection has %s %q, which would alter values when they are stored or read: %s", e.setting, e.value, e.want)
}

// connectionsChecked limits the connections of the application's pool that New
// checks. Each of them may have different settings.
const connectionsChecked = 4

// checkSettings checks the settings of up to n connections, limited by the size
// of the pool. It holds all of them at once.
func checkSettings(ctx context.Context, db *sqlx.DB, d dialect, n int) error {
	for i := range n {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if i > 0 { // other callers may wait for the connections held here
			wait, cancel = context.WithTimeout(ctx, time.Second)
		}
		conn, err := db.Connx(wait)
		cancel()
		if err != nil && i > 0 && ctx.Err() == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sqlaudit: connecting to the database: %w", err)
		}
		defer conn.Close() // held until the end, so that the next one is different
		if err := d.settings(ctx, conn); err != nil {
			return err
		}
		if s := db.Stats(); s.MaxOpenConnections > 0 && s.InUse >= s.MaxOpenConnections {
			return nil
		}
	}
	return nil
}

const postgresEncoding = "current_setting('client_encoding')"

// postgresText reports whether text in this encoding is transferred unchanged.
func postgresText(encoding string) bool { return encoding == "UTF8" || encoding == "SQL_ASCII" }

func postgresEncodingError(encoding string) error {
	return &settingsError{"client_encoding", encoding, "set client_encoding=UTF8"}
}

func (*postgres) settings(ctx context.Context, q sqlx.QueryerContext) error {
	var s struct {
		Client string `db:"c"`
		Server string `db:"s"`
		Bytea  string `db:"b"`
		Date   string `db:"d"`
	}
	if err := sqlx.GetContext(ctx, q, &s, "SELECT "+postgresEncoding+" AS c, current_setting('server_encoding') AS s, current_setting('bytea_output') AS b, current_setting('DateStyle') AS d"); err != nil {
		return fmt.Errorf("sqlaudit: reading the database settings: %w", err)
	}
	// With the simple protocol, pgx can only parse certain text forms.
	var probe struct {
		Octets []byte    `db:"o"`
		Time   time.Time `db:"t"`
	}
	octets, at := []byte("\x00\\'\xff"), time.Date(2006, 1, 2, 3, 4, 5, 678901000, time.UTC)
	err := sqlx.GetContext(ctx, q, &probe, "SELECT $1::bytea AS o, $2::timestamptz AS t", octets, at)
	switch {
	case (err != nil || !bytes.Equal(probe.Octets, octets)) && s.Bytea != "hex":
		return &settingsError{"bytea_output", s.Bytea, "set bytea_output=hex, or do not use the simple protocol"}
	case (err != nil || !probe.Time.Equal(at)) && !strings.HasPrefix(s.Date, "ISO"):
		return &settingsError{"DateStyle", s.Date, "set DateStyle=ISO, or do not use the simple protocol"}
	case err != nil:
		return fmt.Errorf("sqlaudit: reading test values from the database: %w", err)
	case !postgresText(s.Server):
		return &settingsError{"server_encoding", s.Server, "use a database with ENCODING 'UTF8'"}
	case !postgresText(s.Client):
		return postgresEncodingError(s.Client)
	}
	return nil
}

// mysqlSettings is a condition for a session that stores and reads text
// unchanged.
const mysqlSettings = "@@character_set_client = 'utf8mb4' AND @@character_set_connection = 'utf8mb4' AND COALESCE(@@character_set_results, 'utf8mb4') = 'utf8mb4'" +
	" AND (FIND_IN_SET('STRICT_TRANS_TABLES', @@sql_mode) OR FIND_IN_SET('STRICT_ALL_TABLES', @@sql_mode)) AND NOT FIND_IN_SET('EMPTY_STRING_IS_NULL', @@sql_mode) AND NOT FIND_IN_SET('ORACLE', @@sql_mode) AND @@autocommit"

func (*mysql) settings(ctx context.Context, q sqlx.QueryerContext) error {
	var s struct {
		OK         bool    `db:"ok"`
		Client     string  `db:"c"`
		Connection string  `db:"n"`
		Results    *string `db:"r"`
		Mode       string  `db:"m"`
		Auto       bool    `db:"a"`
	}
	err := sqlx.GetContext(ctx, q, &s, "SELECT s.* FROM (SELECT "+mysqlSettings+" AS ok, @@character_set_client AS c, @@character_set_connection AS n, @@character_set_results AS r, @@sql_mode AS m, @@autocommit AS a) AS s")
	switch {
	case err != nil && strings.Contains(err.Error(), "missing destination name s."):
		return &settingsError{"columnsWithAlias", "true", "remove this parameter"}
	case err != nil:
		return fmt.Errorf("sqlaudit: reading the database settings: %w", err)
	}
	const charset = "add charset=utf8mb4 to the data source name, and no other character set or collation"
	switch {
	case s.OK:
		return nil
	case s.Client != "utf8mb4":
		return &settingsError{"character_set_client", s.Client, charset}
	case s.Connection != "utf8mb4":
		return &settingsError{"character_set_connection", s.Connection, charset}
	case s.Results != nil && *s.Results != "utf8mb4":
		return &settingsError{"character_set_results", *s.Results, charset}
	case strings.Contains(s.Mode, "EMPTY_STRING_IS_NULL"), strings.Contains(s.Mode, "ORACLE"):
		return &settingsError{"sql_mode", s.Mode, "remove EMPTY_STRING_IS_NULL and ORACLE"}
	case !s.Auto:
		return &settingsError{"autocommit", "0", "set autocommit=1"}
	}
	return &settingsError{"sql_mode", s.Mode, "it is not strict, so values that are too long would be truncated silently: add STRICT_TRANS_TABLES"}
}

// check rejects a connection with wrong settings. It checks each connection
// once, as long as it is one of the last 16. Flushes in one statement check the
// settings themselves.
func (d *mysql) check(ctx context.Context, conn *sqlx.Conn) error {
	var session any
	if err := conn.Raw(func(c any) error { session = c; return nil }); err != nil {
		return retryError{err}
	}
	d.mu.Lock()
	known := slices.Contains(d.checked, session)
	d.mu.Unlock()
	if known {
		return nil
	}
	if err := d.settings(ctx, conn); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checked = append(d.checked, session)
	if len(d.checked) > 16 {
		d.checked = slices.Delete(d.checked, 0, 1)
	}
	return nil
}

// settings also checks that the file at the path is still the open one.
func (d *sqlite) settings(ctx context.Context, q sqlx.QueryerContext) error {
	if err := d.check(); err != nil {
		return err
	}
	var encoding string
	if err := sqlx.GetContext(ctx, q, &encoding, "PRAGMA encoding"); err != nil {
		return fmt.Errorf("sqlaudit: reading the database settings: %w", err)
	}
	if encoding != "UTF-8" {
		return &settingsError{"PRAGMA encoding", encoding, "create a database file with UTF-8, the default encoding"}
	}
	// Only text shows whether a time is stored in the exact form.
	var at any
	if err := q.QueryRowxContext(ctx, "SELECT '2006-01-02T15:04:05.000000Z'").Scan(&at); err != nil {
		return fmt.Errorf("sqlaudit: reading test values from the database: %w", err)
	}
	if _, isTime := at.(time.Time); isTime {
		return &settingsError{"_texttotime", "true", "remove this parameter"}
	}
	return nil
}
