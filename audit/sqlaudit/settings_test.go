package sqlaudit_test

// This file tests settings of the application's connections. With each of them,
// a journal either works exactly or refuses to open.

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// mysqlPool opens a database like an application would.
func mysqlPool(t testing.TB, dsn, params string) *sqlx.DB {
	t.Helper()
	address := strings.Replace(strings.TrimPrefix(dsn, "mysql://"), "@", "@tcp(", 1)
	db, err := sqlx.Open("mysql", strings.Replace(address, "/", ")/", 1)+"?"+params)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// requireExact writes text that most settings would alter, and compares it
// through a plain connection.
func requireExact(t *testing.T, j *sqlaudit.Journal, plain string) {
	t.Helper()
	for _, key := range []string{"äöü/Rechnung № 7 — 漢字 \U0001F4C4.pdf", `a\'b"c\\n?$1::text|| --;`, "tail  "} {
		e := event(key)
		e.Actor.UserID, e.ContentType, e.SHA256 = key, key, []byte(`\'`+"\x00\xff1234567890123456789012345678")
		e.Attrs = map[string]string{key: key, "empty": ""}
		require.NoError(t, j.Log(t.Context(), e))
		in, err := j.Begin(t.Context(), e, 0)
		require.NoError(t, err)
		require.NoError(t, in.Renew(t.Context(), time.Minute))
		in, err = j.Claim(t.Context(), in.OpID(), 0, nil)
		require.NoError(t, err)
		assert.Equal(t, key, in.Event().Key)
		require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))

		other, err := sqlaudit.Open(t.Context(), plain, &sqlaudit.Options{Logger: quiet, SkipMigrate: true})
		require.NoError(t, err)
		defer other.Close(t.Context())
		got := entries(t, j, audit.Query{Key: key})
		require.Len(t, got, 2)
		assert.Equal(t, e.Attrs, got[0].Attrs)
		assert.Equal(t, e.SHA256, got[0].SHA256)
		assert.Equal(t, key, got[0].Actor.UserID)
		assert.Equal(t, got, entries(t, other, audit.Query{Key: key}))
		for _, reader := range []*sqlaudit.Journal{j, other} {
			report, err := reader.Verify(t.Context(), nil)
			require.NoError(t, err)
			requireSound(t, report)
		}
	}
}

func TestMySQLSettings(t *testing.T) {
	for params, refused := range map[string]string{
		"charset=latin1":                                        "character_set_client",
		"charset=latin1&interpolateParams=true":                 "character_set_client",
		"charset=utf8":                                          "character_set_client",
		"charset=ascii,utf8mb4":                                 "character_set_client",
		"collation=latin1_german1_ci":                           "character_set_client",
		"character_set_results=latin1":                          "character_set_results",
		"character_set_connection=latin1":                       "character_set_connection",
		"character_set_client=latin1":                           "character_set_client",
		"sql_mode=%27%27":                                       "not strict",
		"sql_mode=%27STRICT_ALL_TABLES,EMPTY_STRING_IS_NULL%27": "EMPTY_STRING_IS_NULL",
		"charset=utf8mb4":                                       "",
		"collation=utf8mb4_unicode_ci":                          "",
		"character_set_results=NULL":                            "",
		"interpolateParams=true&sql_mode=%27TRADITIONAL,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT%27":     "",
		"sql_mode=%27ANSI,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE%27": "",
		"parseTime=true&loc=Asia%2FTokyo&time_zone=%27-08:00%27&interpolateParams=true":                          "",
		"clientFoundRows=true&multiStatements=true&timeTruncate=1s":                                              "", "columnsWithAlias=true": "columnsWithAlias", "multiStatements=true": "",
		"sql_mode=%27ORACLE,STRICT_ALL_TABLES%27&interpolateParams=true&tx_isolation=%27SERIALIZABLE%27": "ORACLE", "interpolateParams=true&tx_isolation=%27SERIALIZABLE%27": "",
		"autocommit=0": "autocommit",
	} {
		t.Run(params, func(t *testing.T) {
			t.Parallel()
			dsn := systems[2].dsn(t)
			j, err := sqlaudit.New(t.Context(), mysqlPool(t, dsn, params).DB, &sqlaudit.Options{Logger: quiet})
			if refused != "" {
				require.ErrorContains(t, err, refused)
				if strings.HasPrefix(params, "c") {
					j, _ := openDSN(t, dsn+"?"+params, nil) // which sets it right
					requireExact(t, j, dsn)
				}
				return
			}
			require.NoError(t, err)
			defer j.Close(t.Context())
			requireExact(t, j, dsn)
		})
	}
}

func TestPostgresSettings(t *testing.T) {
	server := testdb.Postgres(t)
	for params, refused := range map[string]string{
		"client_encoding=LATIN1":                 "client_encoding",
		"options=-c%20client_encoding%3DWIN1252": "client_encoding",
		"client_encoding=SQL_ASCII":              "",
		"client_encoding=unicode":                "",
		"timezone=Asia/Tokyo&datestyle=German&bytea_output=escape&intervalstyle=iso_8601":                        "",
		"default_query_exec_mode=simple_protocol&client_encoding=UTF8":                                           "",
		"default_query_exec_mode=exec":                                                                           "",
		"default_query_exec_mode=simple_protocol&bytea_output=escape":                                            "bytea_output",
		"default_query_exec_mode=simple_protocol&datestyle=German":                                               "DateStyle",
		"default_query_exec_mode=simple_protocol&standard_conforming_strings=off":                                "standard_conforming_strings",
		"standard_conforming_strings=off&escape_string_warning=off&backslash_quote=on&quote_all_identifiers=on":  "",
		"default_transaction_isolation=serializable&transform_null_equals=on&array_nulls=off&xmloption=document": "",
	} {
		t.Run(params, func(t *testing.T) {
			t.Parallel()
			dsn := server.New(t)
			db := testdb.Connect(t, dsn+"&"+params)
			j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet})
			if refused != "" {
				require.ErrorContains(t, err, refused)
				if strings.Contains(params, "encoding") {
					j, _ := openDSN(t, dsn+"&"+params, nil) // which sets it right
					requireExact(t, j, dsn)
				}
				return
			}
			require.NoError(t, err)
			defer j.Close(t.Context())
			requireExact(t, j, dsn)
		})
	}
	for encoding, refused := range map[string]string{"LATIN1": "server_encoding", "SQL_ASCII": ""} {
		t.Run(encoding, func(t *testing.T) {
			admin := server.Admin(t)
			defer admin.Close()
			name := strings.ToLower("enc_" + encoding)
			_, err := admin.Exec("CREATE DATABASE " + name + " ENCODING '" + encoding + "' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
			require.NoError(t, err)
			dsn := fmt.Sprintf("postgres://admin@127.0.0.1:%d/%s?sslmode=disable", server.Port(), name)
			j, err := sqlaudit.Open(t.Context(), dsn, &sqlaudit.Options{Logger: quiet})
			if refused != "" {
				require.ErrorContains(t, err, refused)
				return
			}
			require.NoError(t, err)
			defer j.Close(t.Context())
			requireExact(t, j, dsn)
			other, err := sqlaudit.New(t.Context(), testdb.Connect(t, dsn).DB, &sqlaudit.Options{Logger: quiet})
			require.NoError(t, err)
			defer other.Close(t.Context())
		})
	}
}

func TestSQLiteSettings(t *testing.T) {
	for params, refused := range map[string]string{
		"_pragma=encoding('UTF-16')": "PRAGMA encoding",
		"_pragma=encoding('UTF-8')&_pragma=case_sensitive_like(1)&_pragma=recursive_triggers(1)&_pragma=journal_mode(DELETE)": "",
		"_time_format=sqlite&_inttotime=1&_timezone=Asia%2FTokyo":                                                             "",
		"_texttotime=1": "_texttotime",
	} {
		t.Run(params, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trail.db")
			db, err := sqlx.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&"+params)
			require.NoError(t, err)
			defer db.Close()
			j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet})
			if refused != "" {
				require.ErrorContains(t, err, refused)
				return
			}
			require.NoError(t, err)
			defer j.Close(t.Context())
			requireExact(t, j, "sqlite:"+path)
		})
	}
}

// varying sets up each connection with the current statement.
type varying struct {
	driver.Connector
	statement func() string
}

func (v varying) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := v.Connector.Connect(ctx)
	if statement := v.statement(); err == nil && statement != "" {
		_, err = c.(driver.ExecerContext).ExecContext(ctx, statement, nil)
	}
	return c, err
}

// A connection that is opened later, or whose session is changed, never stores
// altered values.
func TestSettingsOfLaterConnections(t *testing.T) {
	for name, params := range map[string]string{"postgres": "", "mariadb": "interpolateParams=true", "mariadb, prepared": "interpolateParams=false"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := systems[2]
			var plain *sqlx.DB
			kind, _, _ := strings.Cut(name, ",")
			if kind == "postgres" {
				s = systems[1]
			}
			dsn := s.dsn(t)
			if kind == "postgres" {
				plain = testdb.Connect(t, dsn)
			} else {
				plain = mysqlPool(t, dsn, params)
			}
			source := dsn
			if kind != "postgres" {
				u, err := url.Parse(dsn)
				require.NoError(t, err)
				source = fmt.Sprintf("%s@tcp(%s)%s?%s", u.User, u.Host, u.Path, params)
			}
			statement := ""
			connector, err := plain.Driver().(driver.DriverContext).OpenConnector(source)
			require.NoError(t, err)
			db := sqlx.NewDb(sql.OpenDB(varying{Connector: connector, statement: func() string { return statement }}), plain.DriverName())
			defer db.Close()
			db.SetMaxOpenConns(1)
			j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet})
			require.NoError(t, err)
			defer j.Close(t.Context())
			require.NoError(t, j.Log(t.Context(), event("ä")))
			statement = map[string]string{"postgres": "SET client_encoding = LATIN1", "mariadb": "SET NAMES latin1"}[kind]
			db.SetConnMaxLifetime(time.Nanosecond)
			require.ErrorContains(t, j.Log(t.Context(), event("ö")), map[string]string{"postgres": "client_encoding", "mariadb": "character_set_client"}[kind])
			_, err = j.Verify(t.Context(), nil)
			require.ErrorContains(t, err, "would alter values when they are stored or read")
			statement = ""
			require.NoError(t, j.Log(t.Context(), event("ü")))
			assert.Equal(t, []string{"ä", "ü"}, keys(entries(t, j, audit.Query{})))
		})
	}
}
