//go:build unix

package testdb

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	tr "github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

func TestServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *Server{"PostgreSQL": OwnPostgres, "MariaDB": OwnMariaDB} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			assert.NotEqual(t, s.New(t), s.New(t))
			db := s.Admin(t)
			defer db.Close()
			tr.NoError(t, db.Ping())
			s.Kill()
			tr.Error(t, db.Ping())
			s.Start(t)
			tr.NoError(t, db.Ping(), "what was there before a crash is there after it")
			s.Shutdown()
			tr.Error(t, db.Ping())
		})
	}
}

func TestSharedServerIsOne(t *testing.T) {
	assert.Same(t, Postgres(t), Postgres(t))
}

// Between choosing a free port and using it, another process may take it. That
// may even be another server of this kind, which would respond.
func TestAPortThatIsTaken(t *testing.T) {
	for name, tc := range map[string]struct {
		kind  kind
		other func(testing.TB) *Server
	}{"PostgreSQL": {postgres{}, Postgres}, "MariaDB": {mariadb{}, MariaDB}} {
		t.Run(name, func(t *testing.T) {
			other := tc.other(t)
			look, taken := freePort, []int{other.Port()}
			defer func() { freePort = look }()
			freePort = func() (int, error) {
				if len(taken) == 0 {
					return look()
				}
				port := taken[0]
				taken = taken[1:]
				return port, nil
			}
			s, err := create(tc.kind, false)
			tr.NoError(t, err)
			defer s.remove()
			assert.NotEqual(t, other.Port(), s.Port())
			db := other.Admin(t)
			defer db.Close()
			tr.NoError(t, db.Ping(), "the other one is unharmed")
		})
	}
}

func TestMissingServers(t *testing.T) {
	t.Setenv("PATH", "")
	t.Run("skip", func(t *testing.T) {
		t.Setenv("BLOBTRAIL_REQUIRE_SERVERS", "")
		reached := false
		t.Run("", func(t *testing.T) {
			require(t, missing{})
			reached = true
		})
		assert.False(t, reached)
	})
}

type missing struct{ postgres }

func (missing) find() error { return os.ErrNotExist }
