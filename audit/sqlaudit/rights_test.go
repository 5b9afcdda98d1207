package sqlaudit_test

// This file tests a role with exactly the documented rights. SQLite has no
// roles: anyone who can write to the file can change all of it.

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// rights are the rights from the section "Rights" of the package comment.
var rights = map[string][]string{
	"SELECT, INSERT":                 {"file_access_logs", "file_access_writers", "file_access_checkpoints"},
	"SELECT, INSERT, UPDATE, DELETE": {"file_access_intents", "file_access_grants"},
	"SELECT":                         {"file_access_migrations", "file_access_frontiers", "file_access_erasures"},
}

// changes are statements that the role must not be able to run.
var changes = []string{
	"UPDATE file_access_logs SET outcome = 'failed'",
	"UPDATE file_access_logs SET user_id = NULL",
	"DELETE FROM file_access_logs",
	"TRUNCATE TABLE file_access_logs",
	"DROP TABLE file_access_logs",
	"ALTER TABLE file_access_logs ADD COLUMN x integer",
	"ALTER TABLE file_access_logs RENAME TO x",
	"CREATE INDEX x ON file_access_logs (outcome)",
	"UPDATE file_access_writers SET origin = 'x'",
	"DELETE FROM file_access_writers",
	"TRUNCATE TABLE file_access_writers",
	"UPDATE file_access_checkpoints SET note = 'x'",
	"DELETE FROM file_access_checkpoints",
	"TRUNCATE TABLE file_access_checkpoints",
	"INSERT INTO file_access_frontiers (writer_id, tree_size, hashes, note) SELECT writer_id, tree_size, '', note FROM file_access_checkpoints",
	"UPDATE file_access_frontiers SET tree_size = 99",
	"DELETE FROM file_access_frontiers",
	"INSERT INTO file_access_erasures (writer_id, first_seq, op_id, note) SELECT writer_id, 0, writer_id, note FROM file_access_checkpoints",
	"DELETE FROM file_access_erasures",
	"UPDATE file_access_migrations SET version = 99",
	"DELETE FROM file_access_migrations",
	"DROP TABLE file_access_intents",
}

var changesOn = map[string][]string{
	"postgres": {
		"TRUNCATE file_access_logs CASCADE",
		"TRUNCATE file_access_logs_rest",
		"TRUNCATE {month}",
		"DELETE FROM {month}",
		"UPDATE {month} SET outcome = 'failed'",
		"INSERT INTO {month} SELECT * FROM file_access_logs",
		"DROP TABLE {month}",
		"ALTER TABLE file_access_logs DETACH PARTITION {month}",
		"ALTER TABLE file_access_logs DISABLE TRIGGER ALL",
		"ALTER TABLE file_access_logs OWNER TO CURRENT_USER",
		"DROP TRIGGER file_access_no_delete ON file_access_logs",
		"CREATE TRIGGER x BEFORE INSERT ON file_access_logs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"CREATE RULE x AS ON INSERT TO file_access_logs DO INSTEAD NOTHING",
		"CREATE OR REPLACE FUNCTION file_access_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
		"INSERT INTO file_access_logs SELECT * FROM file_access_logs ON CONFLICT (id) DO UPDATE SET outcome = 'failed'",
		"SET session_replication_role = replica",
		"SET ROLE admin",
	},
	"mysql": {
		"REPLACE INTO file_access_logs SELECT * FROM file_access_logs",
		"INSERT INTO file_access_logs SELECT * FROM file_access_logs ON DUPLICATE KEY UPDATE outcome = 'failed'",
		"UPDATE IGNORE file_access_logs SET outcome = 'failed'",
		"DELETE IGNORE FROM file_access_logs",
		"DROP TRIGGER file_access_logs_no_delete",
		"CREATE TRIGGER x BEFORE INSERT ON file_access_logs FOR EACH ROW SET NEW.outcome = 'failed'",
		"RENAME TABLE file_access_logs TO x",
		"CREATE OR REPLACE TABLE file_access_logs (x INT)",
		"SET GLOBAL read_only = 1",
		"SET SESSION sql_log_bin = 0",
	},
}

func TestRestrictedRole(t *testing.T) {
	for _, s := range systems[1:] {
		t.Run(s.name, func(t *testing.T) { testRestrictedRole(t, s) })
	}
}

func testRestrictedRole(t *testing.T, s *system) {
	owner, db := s.open(t, nil)
	require.NoError(t, owner.Log(t.Context(), event("the owner's")))
	at, err := url.Parse(db.dsn)
	require.NoError(t, err)
	var name, role, scope, month string
	if db.kind == "postgres" {
		name = at.Query().Get("search_path")
		role = "writer_" + name
		db.exec(t, "CREATE ROLE "+role+" LOGIN")
		db.exec(t, "GRANT USAGE ON SCHEMA "+name+" TO "+role)
		at.User = url.User(role)
		month = "file_access_logs_" + time.Now().UTC().Format("2006_01")
	} else {
		name = strings.TrimPrefix(at.Path, "/")
		role, scope = "'"+name+"'@'127.0.0.1'", name+"."
		db.exec(t, "CREATE USER "+role+" IDENTIFIED BY 'secret'")
		at.User = url.UserPassword(name, "secret")
	}
	for what, tables := range rights {
		for _, table := range tables {
			db.exec(t, "GRANT "+what+" ON "+scope+table+" TO "+role)
		}
	}

	// The role can run the library.
	j, own := openDSN(t, at.String(), nil)
	var l ledger
	for i := range 20 {
		require.NoError(t, l.work(j, i, event(strings.Repeat("k", i+1)), time.Minute))
	}
	in, err := j.Begin(t.Context(), event("left"), time.Nanosecond)
	require.NoError(t, err)
	require.NoError(t, in.Renew(t.Context(), time.Nanosecond))
	wait(t, "the lease runs out", func() bool {
		for _, in := range dangling(t, j, audit.DanglingQuery{}) {
			require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeUnknown, SettledBy: audit.SettledByReconciler}))
		}
		return db.count(t, "file_access_intents") == 0
	})
	require.NoError(t, j.Grants().Use(t.Context(), "grant", 2, time.Now().Add(time.Hour)))
	require.NoError(t, j.Grants().Revoke(t.Context(), "grant", time.Now().Add(time.Hour)))
	report, err := j.Verify(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, report.Findings)

	// Every change is rejected by a missing right, not by a trigger.
	before := entries(t, j, audit.Query{})
	all := append(append([]string{}, changes...), changesOn[db.kind]...)
	for _, statement := range all {
		_, err := own.Exec(strings.ReplaceAll(statement, "{month}", month))
		require.Error(t, err, statement)
		if db.kind == "postgres" {
			require.ErrorContains(t, err, "42501", statement)
		} else {
			require.Regexp(t, `^Error (1044|1142|1227|1370) `, err.Error(), statement)
		}
	}
	t.Logf("a role with SELECT and INSERT on the trail: %s; refused all of %d statements", l.check(t, j, db), len(all))
	_, err = j.Erase(officer, audit.Query{UserID: "u-1"})
	require.Error(t, err)
	assert.Equal(t, before, entries(t, j, audit.Query{})[:len(before)])
}
