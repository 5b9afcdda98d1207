package sqlaudit

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMySQLNames(t *testing.T) {
	const my = "sql_mode=%27TRADITIONAL%27&interpolateParams=true&charset=utf8mb4"
	for name, tc := range map[string]struct{ dsn, want string }{
		"URL":              {"mysql://u:p@h:3307/d", "u:p@tcp(h:3307)/d?" + my + "&timeout=5s"},
		"port":             {"mysql://u@h/d", "u@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"nobody":           {"mysql://h/d", "tcp(h:3306)/d?" + my + "&timeout=5s"},
		"odd password":     {"mysql://u:a%40b%2Fc%3F:d@h/d", "u:a@b/c?:d@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"bare password":    {"mysql://u:a+b@c?d#e@h/d", "u:a+b@c?d#e@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"odd user":         {"mysql://u%40x%2Fy:p@h/d", "u@x/y:p@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"odd name":         {"mysql://u@h/a%2Fb+c%20d%3F", "u@tcp(h:3306)/a%2Fb+c%20d%3F?" + my + "&timeout=5s"},
		"IPv6":             {"mysql://u@[::1]/d", "u@tcp([::1]:3306)/d?" + my + "&timeout=5s"},
		"socket":           {"mysql://u@%2Frun%2Fx.sock/d", "u@unix(/run/x.sock)/d?" + my + "&timeout=5s"},
		"driver form":      {"mysql:u:a/b?c@unix(/run/x.sock)/d", "u:a/b?c@unix(/run/x.sock)/d?" + my + "&timeout=5s"},
		"parameters":       {"mysql://u@h/d?tls=true&timeout=1s&sql_mode=%27%27", "u@tcp(h:3306)/d?tls=true&timeout=1s&" + my},
		"unread, as given": {"mysql://u@h/d?x=a+b%20c", "u@tcp(h:3306)/d?x=a+b%20c&" + my + "&timeout=5s"},
		"slash":            {"mysql://u@h/d?loc=Europe/Berlin&tls=true", "u@tcp(h:3306)/d?loc=Europe%2FBerlin&tls=true&" + my + "&timeout=5s"},
		"mariadb":          {"mariadb://u@h/d", "u@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"character set":    {"mysql://u@h/d?charset=latin1&collation=latin1_bin&Character_Set_Results=latin1", "u@tcp(h:3306)/d?" + my + "&timeout=5s"},
		"collation":        {"mysql://u@h/d?charset=utf8mb4,utf8&collation=utf8mb4_bin", "u@tcp(h:3306)/d?" + my + "&collation=utf8mb4_bin&timeout=5s"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseDSN(tc.dsn)
			require.NoError(t, err)
			assert.Equal(t, tc.want, s.write)
			_, err = mysqldriver.ParseDSN(s.write)
			require.NoError(t, err)
		})
	}
	s, err := parseDSN("mysql://a%40b%2F:p%40%2F%25%3A+%20%23@h/d%2F?x=%27a+b%27")
	require.NoError(t, err)
	got, err := mysqldriver.ParseDSN(s.write)
	require.NoError(t, err)
	assert.Equal(t, "a@b/", got.User)
	assert.Equal(t, "p@/%:+ #", got.Passwd)
	assert.Equal(t, "d/", got.DBName)
	assert.Equal(t, "'a b'", got.Params["x"])
}

// pgx parses our data source name like the original one. In addition, ours has
// durable commits and UTF-8.
func TestPostgresNames(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:p%40@h/d?sslmode=disable",
		"postgresql://h/d",
		"postgres://h",
		"postgres://h?application_name=x",
		"postgres://u@h/d?",
		"postgres://u@h/d?application_name=x&",
		"postgres://u:p@h/d?options=-c%20statement_timeout%3D7s&application_name=my%20app",
		"postgres://u:p@h/d?application_name=my+app%2B%26%25%3D",
		"postgres://us%40er%2F:p+a%40b%2Fc%25%3A%20d%3F%23@h/d%2Fb%3F+x",
		"postgres://u:a?b#c+d@h:1/d?application_name=e",
		"postgres://u:p@h1:5433,h2,[::1]:5434/d?target_session_attrs=read-write",
		"postgres://u:p@%2Frun%2Fpostgresql/d",
		"postgres:///d?host=/run/postgresql&user=u&password=p%26%3D+",
		"postgres://u:p@h/d?search_path=a%2Cb&dbname=e",
		"postgres://h/d?synchronous_commit=remote_apply",
		"postgres://h/d?synchronous%5Fcommit=local",
		"postgres://h/d?options=-csynchronous_commit%3Dremote_apply",
		"postgres://h/d?client_encoding=LATIN1",
	} {
		t.Run(dsn, func(t *testing.T) {
			s, err := parseDSN(dsn)
			require.NoError(t, err)
			want, err := pgx.ParseConfig(dsn)
			require.NoError(t, err)
			got, err := pgx.ParseConfig(s.write)
			require.NoError(t, err, s.write)
			if !strings.Contains(dsn, "commit") {
				want.RuntimeParams["synchronous_commit"] = "on"
			}
			want.RuntimeParams["client_encoding"] = "UTF8"
			assert.Equal(t, want.RuntimeParams, got.RuntimeParams)
			assert.Equal(t, []any{want.User, want.Password, want.Host, want.Port, want.Database}, []any{got.User, got.Password, got.Host, got.Port, got.Database})
			require.Len(t, got.Fallbacks, len(want.Fallbacks))
			for i, f := range got.Fallbacks {
				assert.Equal(t, want.Fallbacks[i].Host, f.Host)
				assert.Equal(t, want.Fallbacks[i].Port, f.Port)
			}
		})
	}
}

// If a data source name is invalid, neither the error nor an error that it
// wraps contains the password.
func TestNoErrorShowsAPassword(t *testing.T) {
	for _, password := range []string{"hunter2", "hun/ter2", "hun@ter2", "hun?ter2", "hun#ter2", "hun%ter2", "hun:ter2", "hun+ter2", "hun ter2", "hun%40ter2", "hun`ter2", "12/hunter2", "[hunter2", "a=hunter2"} {
		for _, form := range []string{
			"postgres://u:PW@h:x/d", "postgres://u:PW@h/d?sslmode=no", "postgres://u:PW@h/d?a", "postgres://u:PW", "postgres://u:PW/d", "postgres://u:PW@[h/d", "postgres://h/d?password=PW&sslmode=no", "postgres:u:PW@h/d",
			"postgres://u:PW@127.0.0.1:1/d?connect_timeout=1", "postgres://127.0.0.1:1/d?password=PW&connect_timeout=1", "postgres://u:PW@127.0.0.1:1/PW",
			"mysql://u:PW@h:x/d", "mysql://u:PW@h", "mysql://u:PW/d", "mysql://u:PW@[h/d", "mysql:u:PW/d", "mysql:u:PW@h/d", "mysql:u:PW@tcp(h/d", "mysql:u:PW", "mysql:PW@tcp(h)/d?loc=No/Where", "mysql://u:PW@h/d?timeout=x",
			"mysql://u:PW@127.0.0.1:1/d", "mysql:u:PW@tcp(127.0.0.1:1)/d",
			"oracle:u/PW@h",
		} {
			dsn := strings.ReplaceAll(form, "PW", password)
			if strings.Contains(form, "h:x") || strings.HasSuffix(form, "/PW") {
				dsn = strings.Replace(form, "PW", password, 1)
			}
			if !strings.Contains(form, "@") && (strings.Contains(password, "12/") || strings.Contains(password, "@")) {
				continue // the text is a port and a database name, or a password and a host
			}
			j, err := Open(t.Context(), dsn, nil)
			if j != nil {
				require.NoError(t, j.Close(t.Context()))
			}
			for ; err != nil; err = errors.Unwrap(err) {
				assert.NotContains(t, err.Error(), "ter2", dsn)
			}
		}
	}
}

func TestMissingDriverNamesItsImport(t *testing.T) {
	err := source{driver: "nobody", importLine: `import _ "example.org/nobody"`}.checkDriver()
	require.ErrorContains(t, err, `add import _ "example.org/nobody"`)
	assert.NotContains(t, sql.Drivers(), "nobody")
}
