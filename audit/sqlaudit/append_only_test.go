package sqlaudit_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// required lists the required columns of file_access_logs, for forged entries.
const required = "id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf"

// forged copies the entry with key b and replaces some columns.
func forged(replaced map[string]string) string {
	list := strings.Split(required, ", ")
	for i, column := range list {
		if value, ok := replaced[column]; ok {
			list[i] = value
		}
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM file_access_logs WHERE file_key = 'b'"
}

const otherID = "'01941f29-7c00-7000-8000-000000000001'"

var attacks = map[string]string{
	"edit":              "UPDATE file_access_logs SET file_key = 'x' WHERE file_key = 'b'",
	"edit to NULL":      "UPDATE file_access_logs SET file_key = NULL WHERE file_key = 'b'",
	"add a space":       "UPDATE file_access_logs SET file_key = 'b ' WHERE file_key = 'b'",
	"backdate":          "UPDATE file_access_logs SET created_at = '2001-01-01 00:00:00.000000'",
	"change of actor":   "UPDATE file_access_logs SET user_id = 'somebody else'",
	"change of address": "UPDATE file_access_logs SET ip_address = '::1'",
	"change of agent":   "UPDATE file_access_logs SET user_agent = 'x'",
	"change of request": "UPDATE file_access_logs SET request_id = 'x'",
	"change of salt":    "UPDATE file_access_logs SET pii_salt = leaf",
	"change of tenant":  "UPDATE file_access_logs SET tenant_id = NULL",
	"change of leaf":    "UPDATE file_access_logs SET leaf = pii_commitment",
	"renumber":          "UPDATE file_access_logs SET seq = seq + 10",
	"another id":        "UPDATE file_access_logs SET id = " + otherID + " WHERE file_key = 'b'",
	"erase and edit":    "UPDATE file_access_logs SET user_id = NULL, outcome = 'failed'",
	"delete one":        "DELETE FROM file_access_logs WHERE file_key = 'b'",
	"delete all":        "DELETE FROM file_access_logs",
	"change a writer":   "UPDATE file_access_writers SET origin = 'x'",
	"delete a writer":   "DELETE FROM file_access_writers",
}

var attacksOn = map[string]map[string]string{
	"sqlite": {
		"another rowid":            "UPDATE file_access_logs SET rowid = rowid + 10",
		"update or replace":        "UPDATE OR REPLACE file_access_logs SET id = (SELECT max(id) FROM file_access_logs)",
		"insert or replace":        "INSERT OR REPLACE INTO file_access_logs (" + required + ") " + forged(nil),
		"replace by id":            "REPLACE INTO file_access_logs (" + required + ") " + forged(map[string]string{"seq": "77"}),
		"replace by number":        "REPLACE INTO file_access_logs (" + required + ") " + forged(map[string]string{"id": otherID}),
		"replace by rowid":         "REPLACE INTO file_access_logs (rowid, " + required + ") " + strings.Replace(forged(map[string]string{"id": otherID, "seq": "77"}), "SELECT ", "SELECT rowid, ", 1),
		"upsert":                   "INSERT INTO file_access_logs (" + required + ") " + forged(nil) + " ON CONFLICT (id) DO UPDATE SET outcome = 'failed'",
		"replace a writer":         "REPLACE INTO file_access_writers (writer_id, origin, started_at) SELECT writer_id, 'x', started_at FROM file_access_writers",
		"replace a writer's rowid": "REPLACE INTO file_access_writers (rowid, writer_id, origin, started_at) SELECT rowid, 'x', 'x', started_at FROM file_access_writers",
	},
	"postgres": {
		"truncate":                    "TRUNCATE file_access_logs",
		"truncate with dependants":    "TRUNCATE file_access_logs CASCADE",
		"truncate a partition":        "DO $$ BEGIN EXECUTE 'TRUNCATE file_access_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'); END $$",
		"truncate the rest":           "TRUNCATE file_access_logs_rest",
		"delete in a partition":       "DO $$ BEGIN EXECUTE 'DELETE FROM file_access_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'); END $$",
		"edit in a partition":         "DO $$ BEGIN EXECUTE 'UPDATE file_access_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') || ' SET outcome = ''failed'''; END $$",
		"delete as a replica":         "SET session_replication_role = replica; DELETE FROM file_access_logs",
		"edit as a replica":           "SET session_replication_role = replica; UPDATE file_access_logs SET outcome = 'failed'",
		"truncate as a replica":       "SET session_replication_role = replica; TRUNCATE file_access_logs",
		"delete a writer, as replica": "SET session_replication_role = replica; DELETE FROM file_access_writers",
		"truncate writers":            "TRUNCATE file_access_writers",
		"upsert": "INSERT INTO file_access_logs (" + required + ") " + forged(nil) +
			" ON CONFLICT (id) DO UPDATE SET outcome = 'failed'",
	},
	"mysql": {
		"replace":          "REPLACE INTO file_access_logs (" + required + ") " + forged(nil),
		"upsert":           "INSERT INTO file_access_logs (" + required + ") " + forged(nil) + " ON DUPLICATE KEY UPDATE outcome = 'failed'",
		"update ignore":    "UPDATE IGNORE file_access_logs SET outcome = 'failed'",
		"delete ignore":    "DELETE IGNORE FROM file_access_logs",
		"replace a writer": "REPLACE INTO file_access_writers (writer_id, origin, started_at) SELECT writer_id, 'x', started_at FROM file_access_writers",
	},
}

func TestTriggersRefuseTampering(t *testing.T) { onEach(t, testTriggersRefuseTampering) }

func testTriggersRefuseTampering(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, j.Log(t.Context(), event(key)))
	}
	before := entries(t, j, audit.Query{})
	all := maps.Clone(attacks)
	maps.Copy(all, attacksOn[db.kind])
	for name, statement := range all {
		t.Run(name, func(t *testing.T) {
			conn, err := db.Connx(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			for part := range strings.SplitSeq(statement, "; ") {
				if strings.HasPrefix(statement, "DO ") {
					part = statement
				}
				if _, err = conn.ExecContext(t.Context(), part); err != nil || part == statement {
					break
				}
			}
			if strings.HasPrefix(statement, "SET ") {
				_, resetErr := conn.ExecContext(t.Context(), "RESET session_replication_role")
				require.NoError(t, resetErr)
			}
			require.ErrorContains(t, err, "is append-only")
			assert.Equal(t, before, entries(t, j, audit.Query{}))
		})
	}
	assert.Equal(t, 1, db.count(t, "file_access_writers WHERE writer_id = ?", sqlaudit.WriterID(j)))
}

func TestPersonalFieldsCanBeErased(t *testing.T) { onEach(t, testPersonalFieldsCanBeErased) }

func testPersonalFieldsCanBeErased(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	require.NoError(t, j.Log(t.Context(), event("a")))
	before := entries(t, j, audit.Query{})[0]
	db.exec(t, "UPDATE file_access_logs SET user_id = NULL, ip_address = NULL, user_agent = NULL, request_id = NULL, pii_salt = NULL")
	after := entries(t, j, audit.Query{})[0]
	assert.Equal(t, audit.Actor{TenantID: "acme"}, after.Actor)
	after.Actor = before.Actor
	assert.Equal(t, before, after)
	_, err := db.Exec("UPDATE file_access_logs SET user_id = 'u-1'")
	require.ErrorContains(t, err, "is append-only", "what was erased can't come back")
}
