package sqlaudit_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

func TestTriggersRefuseTampering(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, j.Log(t.Context(), event(key)))
	}
	all := "id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf"
	copyOf := "SELECT id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf FROM file_access_logs WHERE file_key = 'b'"
	before := entries(t, j, audit.Query{})
	for name, statement := range map[string]string{
		"edit":                     "UPDATE file_access_logs SET file_key = 'x' WHERE file_key = 'b'",
		"edit to NULL":             "UPDATE file_access_logs SET file_key = NULL WHERE file_key = 'b'",
		"backdate":                 "UPDATE file_access_logs SET created_at = '2001-01-01T00:00:00.000000Z'",
		"change of actor":          "UPDATE file_access_logs SET user_id = 'somebody else'",
		"change of address":        "UPDATE file_access_logs SET ip_address = '::1'",
		"change of agent":          "UPDATE file_access_logs SET user_agent = 'x'",
		"change of request":        "UPDATE file_access_logs SET request_id = 'x'",
		"change of salt":           "UPDATE file_access_logs SET pii_salt = x'00'",
		"change of tenant":         "UPDATE file_access_logs SET tenant_id = NULL",
		"change of leaf":           "UPDATE file_access_logs SET leaf = x'00'",
		"renumber":                 "UPDATE file_access_logs SET seq = seq + 10",
		"another id":               "UPDATE file_access_logs SET id = '0' || id",
		"another rowid":            "UPDATE file_access_logs SET rowid = rowid + 10",
		"erase and edit":           "UPDATE file_access_logs SET user_id = NULL, outcome = 'failed'",
		"update or replace":        "UPDATE OR REPLACE file_access_logs SET id = (SELECT max(id) FROM file_access_logs)",
		"delete one":               "DELETE FROM file_access_logs WHERE file_key = 'b'",
		"delete all":               "DELETE FROM file_access_logs",
		"insert or replace by id":  "INSERT OR REPLACE INTO file_access_logs (" + all + ") " + copyOf,
		"replace by id":            "REPLACE INTO file_access_logs (" + all + ") " + copyOf,
		"replace by number":        "REPLACE INTO file_access_logs (" + all + ") SELECT 'x', op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf FROM file_access_logs WHERE file_key = 'b'",
		"replace by rowid":         "REPLACE INTO file_access_logs (rowid, " + all + ") SELECT rowid, 'x', op_id, writer_id, 77, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf FROM file_access_logs WHERE file_key = 'b'",
		"upsert":                   "INSERT INTO file_access_logs (" + all + ") " + copyOf + " ON CONFLICT (id) DO UPDATE SET outcome = 'failed'",
		"change a writer":          "UPDATE file_access_writers SET origin = 'x'",
		"delete a writer":          "DELETE FROM file_access_writers",
		"replace a writer":         "REPLACE INTO file_access_writers (writer_id, origin, started_at) SELECT writer_id, 'x', started_at FROM file_access_writers",
		"replace a writer's rowid": "REPLACE INTO file_access_writers (rowid, writer_id, origin, started_at) SELECT rowid, 'x', 'x', started_at FROM file_access_writers",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := db.Exec(statement)
			require.ErrorContains(t, err, "is append-only")
		})
	}
	assert.Equal(t, before, entries(t, j, audit.Query{}))
	assert.Equal(t, 1, db.count(t, "file_access_writers WHERE writer_id = ?", j.WriterID()))
}

func TestPersonalFieldsCanBeErased(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	require.NoError(t, j.Log(t.Context(), event("a")))
	before := entries(t, j, audit.Query{})[0]
	_, err := db.Exec("UPDATE file_access_logs SET user_id = NULL, ip_address = NULL, user_agent = NULL, request_id = NULL, pii_salt = NULL")
	require.NoError(t, err)
	after := entries(t, j, audit.Query{})[0]
	assert.Equal(t, audit.Actor{TenantID: "acme"}, after.Actor)
	after.Actor = before.Actor
	assert.Equal(t, before, after)
	_, err = db.Exec("UPDATE file_access_logs SET user_id = 'u-1'")
	require.ErrorContains(t, err, "is append-only", "what was erased can't come back")
}
