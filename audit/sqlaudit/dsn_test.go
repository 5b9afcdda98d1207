package sqlaudit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDSN(t *testing.T) {
	const my = "?interpolateParams=true&sql_mode=%27TRADITIONAL%27&timeout=5s"
	for name, tc := range map[string]struct{ dsn, want string }{
		"mysql URL":           {"mysql://u:p@h:3307/d", "u:p@tcp(h:3307)/d" + my},
		"mysql, port":         {"mysql://u@h/d", "u@tcp(h:3306)/d" + my},
		"mysql, nobody":       {"mysql://h/d", "tcp(h:3306)/d" + my},
		"mysql, odd password": {"mysql://u:a%40b%2Fc%3F:d@h/d", "u:a@b/c?:d@tcp(h:3306)/d" + my},
		"mysql, IPv6":         {"mysql://u@[::1]/d", "u@tcp([::1]:3306)/d" + my},
		"mysql, driver form":  {"mysql:u:a/b?c@unix(/run/x.sock)/d", "u:a/b?c@unix(/run/x.sock)/d" + my},
		"mysql, parameters":   {"mysql://u@h/d?tls=true&timeout=1s&sql_mode=%27%27", "u@tcp(h:3306)/d?interpolateParams=true&sql_mode=%27TRADITIONAL%27&timeout=1s&tls=true"},
		"mariadb":             {"mariadb://u@h/d", "u@tcp(h:3306)/d" + my},
		"postgres":            {"postgres://u:p%40@h/d?sslmode=disable", "postgres://u:p%40@h/d?sslmode=disable&synchronous_commit=on"},
		"postgres, chosen":    {"postgresql://h/d?synchronous_commit=remote_apply", "postgresql://h/d?synchronous_commit=remote_apply"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseDSN(tc.dsn)
			require.NoError(t, err)
			assert.Equal(t, tc.want, s.write)
		})
	}
}

func TestMissingDriverNamesItsImport(t *testing.T) {
	err := source{driver: "nobody", importLine: `import _ "example.org/nobody"`}.checkDriver()
	require.ErrorContains(t, err, `add import _ "example.org/nobody"`)
}
