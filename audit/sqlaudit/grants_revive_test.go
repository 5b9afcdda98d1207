package sqlaudit_test

// This file tests that a role that may write to file_access_grants can only use
// up or revoke links.

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/signurl"
)

// revivals are statements that try to revive the links 'used', 'withdrawn' and
// 'fresh'. Each list runs on one connection, and its statements may fail.
var revivals = map[string][][]string{
	"any": {
		{"INSERT INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES ('fresh', -1000, 0, 9000000000000000)"},
		{"INSERT INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES ('fresh', 0, -1, 9000000000000000)"},
		{"INSERT INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES ('fresh', 0, 0, 0)"},
		{"INSERT INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES ('used', 0, 0, 0)"},
		{"UPDATE file_access_grants SET used = 0"}, {"UPDATE file_access_grants SET used = -1"}, {"UPDATE file_access_grants SET revoked = 0"}, {"UPDATE file_access_grants SET revoked = -1"},
		{"UPDATE file_access_grants SET grant_id = 'other' WHERE grant_id = 'used'"}, {"UPDATE file_access_grants SET expires_at = 0", "DELETE FROM file_access_grants"}, {"DELETE FROM file_access_grants"},
		{"UPDATE file_access_grants SET used = used + 9223372036854775807"}, {"UPDATE file_access_grants SET revoked = 2", "UPDATE file_access_grants SET revoked = 0"},
	},
	"sqlite": {
		{"INSERT OR REPLACE INTO file_access_grants VALUES ('used', 0, 0, 9000000000000000)"}, {"INSERT OR REPLACE INTO file_access_grants VALUES ('withdrawn', 0, 0, 9000000000000000)"}, {"REPLACE INTO file_access_grants VALUES ('used', 0, 0, 0)"},
		{"INSERT INTO file_access_grants VALUES ('used', 0, 0, 0) ON CONFLICT DO UPDATE SET used = 0"}, {"UPDATE OR REPLACE file_access_grants SET grant_id = 'used' WHERE grant_id = 'withdrawn'"},
		{"PRAGMA ignore_check_constraints = ON", "INSERT INTO file_access_grants VALUES ('fresh', -1000, 0, 9000000000000000)"}, {"PRAGMA recursive_triggers = OFF", "REPLACE INTO file_access_grants VALUES ('used', 0, 0, 0)"},
		{"INSERT INTO file_access_grants VALUES ('fresh', x'00', 0, 9000000000000000)"}, {"UPDATE file_access_grants SET used = 'x'"}, {"UPDATE file_access_grants SET used = 1e300"}, {"INSERT INTO file_access_grants VALUES (CAST('used' AS BLOB), 0, 0, 0)"},
	},
	"postgres": {
		{"INSERT INTO file_access_grants VALUES ('used', 0, 0, 0) ON CONFLICT (grant_id) DO UPDATE SET used = 0"}, {"SET session_replication_role = replica", "DELETE FROM file_access_grants"}, {"TRUNCATE file_access_grants"},
	},
	"mysql": {
		{"REPLACE INTO file_access_grants VALUES ('used', 0, 0, 9000000000000000)"}, {"INSERT INTO file_access_grants VALUES ('used', 0, 0, 0) ON DUPLICATE KEY UPDATE used = 0"}, {"INSERT IGNORE INTO file_access_grants VALUES ('fresh', -1000, 0, 9000000000000000)"},
		{"SET SESSION check_constraint_checks = 0", "INSERT INTO file_access_grants VALUES ('fresh', -1000, 0, 9000000000000000)"}, {"SET SESSION timestamp = 4102444800", "DELETE FROM file_access_grants"}, {"SET SESSION time_zone = '+13:00'", "DELETE FROM file_access_grants"},
		{"SET SESSION sql_mode = ''", "INSERT INTO file_access_grants VALUES ('fresh', -1000, 0, 9000000000000000)"}, {"SET SESSION foreign_key_checks = 0, unique_checks = 0", "REPLACE INTO file_access_grants VALUES ('used', 0, 0, 0)"},
	},
}

func TestGrantsAreNotRevived(t *testing.T) { onEach(t, testGrantsAreNotRevived) }

func testGrantsAreNotRevived(t *testing.T, s *system) {
	dsn := s.dsn(t)
	j, owner := openDSN(t, dsn, nil)
	g, end := j.Grants(), time.Now().Add(time.Hour)
	ctx := context.Background()
	for _, list := range append(revivals["any"], revivals[owner.kind]...) {
		t.Run(list[len(list)-1], func(t *testing.T) {
			require.NoError(t, g.Use(ctx, "used", 1, end))
			require.NoError(t, g.Revoke(ctx, "withdrawn", end))
			conn, err := owner.Connx(ctx)
			require.NoError(t, err)
			run := func() {
				for _, statement := range list {
					_, _ = conn.ExecContext(ctx, statement)
				}
			}
			run()
			require.ErrorIs(t, g.Use(ctx, "used", 1, end), signurl.ErrRevoked)
			require.ErrorIs(t, g.Use(ctx, "withdrawn", 1, end), signurl.ErrRevoked)
			good := 0
			for range 4 {
				if err := g.Use(ctx, "fresh", 1, end); err == nil {
					good++
				}
				run()
				_, _ = conn.ExecContext(ctx, "DELETE FROM file_access_grants")
			}
			assert.LessOrEqual(t, good, 1)
			require.ErrorIs(t, g.Use(ctx, "used", 1, end), signurl.ErrRevoked)
			require.ErrorIs(t, g.Use(ctx, "withdrawn", 1, end), signurl.ErrRevoked)
			require.NoError(t, conn.Close())
			forget(t, owner)
		})
	}
}

// forget empties the table like its owner can, and restores the triggers.
func forget(t *testing.T, r *raw) {
	t.Helper()
	ctx := context.Background()
	conn, err := r.Connx(ctx)
	require.NoError(t, err)
	defer conn.Close()
	exec := func(statement string) {
		_, err := conn.ExecContext(ctx, statement)
		require.NoError(t, err, statement)
	}
	const guard = "file_access_grants_no_delete"
	switch r.kind {
	case "sqlite":
		var create string
		require.NoError(t, conn.GetContext(ctx, &create, "SELECT sql FROM sqlite_master WHERE name = '"+guard+"'"))
		exec("DROP TRIGGER " + guard)
		exec("DELETE FROM file_access_grants")
		exec(create)
	case "postgres":
		exec("ALTER TABLE file_access_grants DISABLE TRIGGER ALL")
		exec("DELETE FROM file_access_grants")
		for _, name := range []string{"only_grow", "no_delete", "no_truncate"} {
			exec("ALTER TABLE file_access_grants ENABLE ALWAYS TRIGGER file_access_" + name)
		}
	case "mysql":
		exec("TRUNCATE TABLE file_access_grants")
	}
}

// The counts are not trusted if other migrations created the database.
func TestGrantsWithANegativeCount(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	db.exec(t, "DROP TABLE file_access_grants")
	db.exec(t, "CREATE TABLE file_access_grants (grant_id TEXT PRIMARY KEY, used INTEGER, revoked INTEGER, expires_at INTEGER)")
	for _, used := range []any{-1, -1000, int64(-1 << 63), 1.5, "x"} {
		db.exec(t, "DELETE FROM file_access_grants")
		db.exec(t, "INSERT INTO file_access_grants VALUES ('a', ?, 0, 0)", used)
		for range 3 {
			require.Error(t, j.Grants().Use(t.Context(), "a", 1, time.Now().Add(time.Hour)), "%v", used)
		}
	}
	db.exec(t, "UPDATE file_access_grants SET used = -1")
	require.ErrorIs(t, j.Grants().Use(t.Context(), "a", 1, time.Now()), proof.ErrTampered)
	require.NoError(t, j.Grants().Revoke(t.Context(), "a", time.Now().Add(time.Hour)))
	require.ErrorIs(t, j.Grants().Use(t.Context(), "a", 1, time.Now()), signurl.ErrRevoked)
}
