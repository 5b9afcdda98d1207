package sqlaudit_test

// This file tests databases with content that no program of ours stores. Verify
// must always detect it, quickly, and without reading all of it into memory.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// hostile are statements of the owner of an SQLite database. A semicolon
// separates the statements of one case.
var hostile = []string{
	// Values of another type with the same hash.
	"UPDATE file_access_logs SET file_key = CAST(file_key AS BLOB)", "UPDATE file_access_logs SET user_id = CAST(user_id AS BLOB)", "UPDATE file_access_logs SET tenant_id = CAST(tenant_id AS BLOB) WHERE seq = 2",
	"UPDATE file_access_logs SET action = CAST(action AS BLOB)", "UPDATE file_access_logs SET outcome = CAST(outcome AS BLOB)", "UPDATE file_access_logs SET settled_by = CAST(settled_by AS BLOB)",
	"UPDATE file_access_logs SET resource_id = CAST(resource_id AS BLOB)", "UPDATE file_access_logs SET occurred_at = CAST(occurred_at AS BLOB)", "UPDATE file_access_logs SET created_at = CAST(created_at AS BLOB)",
	"UPDATE file_access_logs SET id = CAST(id AS BLOB) WHERE seq = 2", "UPDATE file_access_logs SET op_id = CAST(op_id AS BLOB)", "UPDATE file_access_logs SET ref_op_id = CAST(op_id AS BLOB)", "UPDATE file_access_logs SET writer_id = CAST(writer_id AS BLOB)",
	"UPDATE file_access_logs SET attrs = CAST(attrs AS BLOB)", "UPDATE file_access_logs SET leaf = CAST(leaf AS TEXT)", "UPDATE file_access_logs SET sha256 = CAST(sha256 AS TEXT)", "UPDATE file_access_logs SET sha256 = x''",
	"UPDATE file_access_logs SET pii_salt = CAST(pii_salt AS TEXT)", "UPDATE file_access_logs SET pii_commitment = CAST(pii_commitment AS TEXT)", "UPDATE file_access_logs SET error_code = x''", "UPDATE file_access_logs SET error_code = ''", "UPDATE file_access_logs SET tenant_id = ''",
	"UPDATE file_access_logs SET size = CAST(size AS BLOB)", "UPDATE file_access_logs SET size = 1.5", "UPDATE file_access_logs SET size = 9e300", "UPDATE file_access_logs SET schema_version = CAST('1' AS BLOB)", "UPDATE file_access_logs SET schema_version = 1.5", "UPDATE file_access_logs SET schema_version = 2",
	"UPDATE file_access_writers SET origin = CAST(origin AS BLOB)", "UPDATE file_access_writers SET certificate = CAST(certificate AS TEXT)", "UPDATE file_access_writers SET public_key = CAST(public_key AS TEXT)", "UPDATE file_access_writers SET writer_id = CAST(writer_id AS BLOB)",
	"UPDATE file_access_checkpoints SET note = CAST(note AS BLOB)", "UPDATE file_access_checkpoints SET tree_size = CAST(tree_size AS BLOB) WHERE tree_size = 5", "UPDATE file_access_checkpoints SET writer_id = CAST(writer_id AS BLOB) WHERE tree_size = 2",
	// Other forms of the same value.
	"UPDATE file_access_logs SET created_at = replace(created_at, 'T', ' ')", "UPDATE file_access_logs SET created_at = replace(created_at, 'Z', '')", "UPDATE file_access_logs SET created_at = replace(created_at, '.', ',')", "UPDATE file_access_logs SET occurred_at = replace(occurred_at, 'Z', '0Z')",
	"UPDATE file_access_logs SET occurred_at = 'x'", "UPDATE file_access_writers SET started_at = replace(started_at, 'T', ' ')", "UPDATE file_access_writers SET started_at = 'x'", "UPDATE file_access_logs SET id = upper(id)", "UPDATE file_access_logs SET op_id = upper(op_id)", "UPDATE file_access_logs SET ref_op_id = ''",
	"UPDATE file_access_logs SET bucket = bucket || char(0)", "UPDATE file_access_logs SET file_key = file_key || CAST(x'00' AS TEXT)", "UPDATE file_access_logs SET file_key = CAST(x'ff' AS TEXT)",
	// Attributes that imitate other columns, or encode themselves differently.
	`UPDATE file_access_logs SET attrs = attrs || ',"bucket":"' || bucket || '"', bucket = NULL`, `UPDATE file_access_logs SET attrs = attrs || ',"bucket":"' || bucket || '","content_type":"' || content_type || '"', bucket = NULL, content_type = NULL`,
	"UPDATE file_access_logs SET attrs = attrs || ' '", "UPDATE file_access_logs SET attrs = '[]'", "UPDATE file_access_logs SET attrs = '{}'", "UPDATE file_access_logs SET attrs = 'null'", `UPDATE file_access_logs SET attrs = '{"a":1}'`, `UPDATE file_access_logs SET attrs = '{"a":null}'`,
	`UPDATE file_access_logs SET attrs = replace(attrs, 'source_key', 's\u006furce_key')`, `UPDATE file_access_logs SET attrs = replace(attrs, '{', '{"source_key":"x",')`, `UPDATE file_access_logs SET attrs = replace(attrs, '}', ',"a":"b"}')`,
	// Sequence numbers and sizes that are impossible or overflow.
	"UPDATE file_access_logs SET seq = 'x' WHERE seq = 2", "UPDATE file_access_logs SET seq = 'x' || seq", "UPDATE file_access_logs SET seq = 2.5 WHERE seq = 3", "UPDATE file_access_logs SET seq = 1e300 WHERE seq = 4", "UPDATE file_access_logs SET seq = x'31' WHERE seq = 1",
	"UPDATE file_access_logs SET seq = 9223372036854775807 WHERE seq = 4", "UPDATE file_access_logs SET seq = 9007199254740992 WHERE seq = 4", "UPDATE file_access_logs SET seq = -1 WHERE seq = 4", "UPDATE file_access_logs SET seq = -9223372036854775808 WHERE seq = 0",
	"UPDATE file_access_checkpoints SET tree_size = 9223372036854775807 WHERE tree_size = 5", "UPDATE file_access_checkpoints SET tree_size = -tree_size", "UPDATE file_access_checkpoints SET tree_size = 0 WHERE tree_size = 2", "UPDATE file_access_checkpoints SET tree_size = 'x' WHERE tree_size = 3",
	"INSERT INTO file_access_checkpoints SELECT writer_id, -7, 'x' FROM file_access_writers", "INSERT INTO file_access_checkpoints SELECT writer_id, 400000000, 'x' FROM file_access_writers", "INSERT INTO file_access_checkpoints SELECT writer_id, 9223372036854775807, x'00' FROM file_access_writers",
	"INSERT INTO file_access_frontiers SELECT writer_id, 5, x'00', 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, 3, x'', 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, -1, x'00', 'x' FROM file_access_writers",
	"INSERT INTO file_access_frontiers SELECT writer_id, 0, x'', 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, 9223372036854775807, x'00', 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, 9223372036854775807, zeroblob(2016), 'x' FROM file_access_writers",
	"INSERT INTO file_access_frontiers SELECT writer_id, 3, zeroblob(64), note FROM file_access_checkpoints WHERE tree_size = 3", "INSERT INTO file_access_frontiers SELECT writer_id, 5, zeroblob(64), note FROM file_access_checkpoints WHERE tree_size = 5", "INSERT INTO file_access_frontiers SELECT writer_id, 'x', x'00', 'x' FROM file_access_writers",
	"INSERT INTO file_access_erasures SELECT writer_id, 0, 'x', 'y' FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, -3, writer_id, 'y' FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, 9223372036854775806, writer_id, 'y' FROM file_access_writers",
	"INSERT INTO file_access_erasures SELECT writer_id, 'x', writer_id, 'y' FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, 1, writer_id, x'79' FROM file_access_writers",
	// Invalid writers.
	"INSERT INTO file_access_writers SELECT x'ffff', origin, public_key, certificate, started_at FROM file_access_writers", "INSERT INTO file_access_writers SELECT '', origin, public_key, certificate, started_at FROM file_access_writers",
	"INSERT INTO file_access_writers SELECT upper(writer_id), origin, public_key, certificate, started_at FROM file_access_writers", "INSERT INTO file_access_writers SELECT writer_id || 'x', origin, public_key, certificate, started_at FROM file_access_writers",
	"INSERT INTO file_access_writers SELECT '00000000-0000-0000-0000-000000000000', origin, public_key, certificate, started_at FROM file_access_writers", "INSERT INTO file_access_writers SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff', origin, x'', x'', '' FROM file_access_writers",
	"UPDATE file_access_logs SET writer_id = 'x' WHERE seq = 4", "UPDATE file_access_logs SET writer_id = x'' WHERE seq = 4", "UPDATE file_access_logs SET writer_id = '00000000-0000-0000-0000-000000000000' WHERE seq = 4",
	"UPDATE file_access_writers SET public_key = NULL", "UPDATE file_access_writers SET public_key = x''", "UPDATE file_access_writers SET public_key = zeroblob(33)", "UPDATE file_access_writers SET certificate = NULL", "UPDATE file_access_writers SET certificate = x'00'", "UPDATE file_access_writers SET origin = CAST(x'ff' AS TEXT)",
	"UPDATE file_access_checkpoints SET note = ''", "UPDATE file_access_checkpoints SET note = 'x'", "UPDATE file_access_checkpoints SET note = x'00'", "UPDATE file_access_checkpoints SET note = note || char(10)",
	"UPDATE file_access_logs SET leaf = x'00'", "UPDATE file_access_logs SET pii_salt = x''", "UPDATE file_access_logs SET pii_salt = NULL", "UPDATE file_access_logs SET pii_salt = NULL, user_id = NULL, ip_address = NULL, user_agent = NULL, request_id = NULL",
	// Values that are too large to read.
	"UPDATE file_access_logs SET attrs = zeroblob(4000000) WHERE seq = 2", "UPDATE file_access_logs SET file_key = CAST(zeroblob(4000000) AS TEXT) WHERE seq = 2", "UPDATE file_access_logs SET user_agent = CAST(randomblob(4000000) AS TEXT) WHERE seq = 2",
	"UPDATE file_access_logs SET leaf = zeroblob(4000000) WHERE seq = 2", "UPDATE file_access_logs SET id = CAST(zeroblob(4000000) AS TEXT) WHERE seq = 2", "UPDATE file_access_logs SET writer_id = zeroblob(4000000) WHERE seq = 2", "UPDATE file_access_logs SET seq = zeroblob(4000000) WHERE seq = 2",
	"UPDATE file_access_logs SET created_at = zeroblob(4000000) WHERE seq = 2", "UPDATE file_access_logs SET pii_salt = zeroblob(4000000) WHERE seq = 2",
	"UPDATE file_access_checkpoints SET note = zeroblob(4000000) WHERE tree_size = 5", "UPDATE file_access_writers SET certificate = zeroblob(4000000)", "UPDATE file_access_writers SET public_key = zeroblob(4000000)", "UPDATE file_access_writers SET origin = CAST(zeroblob(4000000) AS TEXT)", "UPDATE file_access_writers SET started_at = CAST(zeroblob(4000000) AS TEXT)",
	"INSERT INTO file_access_frontiers SELECT writer_id, 5, zeroblob(4000000), 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, 5, x'00', zeroblob(4000000) FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, 1, writer_id, zeroblob(4000000) FROM file_access_writers",
	"INSERT INTO file_access_erasures SELECT writer_id, 1, CAST(zeroblob(4000000) AS TEXT), 'x' FROM file_access_writers", "INSERT INTO file_access_writers SELECT CAST(zeroblob(4000000) AS TEXT), origin, public_key, certificate, started_at FROM file_access_writers",
	// Many large values.
	"CREATE TABLE x AS SELECT * FROM file_access_logs; DROP TABLE file_access_logs; ALTER TABLE x RENAME TO file_access_logs; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) INSERT INTO file_access_logs SELECT a.* FROM file_access_logs AS a, n, n AS m, n AS o WHERE a.seq = 2",
	"WITH RECURSIVE n (i) AS (SELECT 6 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO file_access_checkpoints SELECT writer_id, i, 'x' FROM file_access_writers, n", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO file_access_erasures SELECT writer_id, 1, writer_id || i, 'x' FROM file_access_writers, n",
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO file_access_writers SELECT CAST('x' || i AS BLOB), origin, public_key, certificate, started_at FROM file_access_writers, n",
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO file_access_frontiers SELECT writer_id, 5 + i, x'00', 'x' FROM file_access_writers, n",
	// Tables and columns.
	"DROP TABLE file_access_erasures", "DROP TABLE file_access_logs", "ALTER TABLE file_access_logs RENAME COLUMN attrs TO attributes", "ALTER TABLE file_access_logs RENAME TO l; CREATE VIEW file_access_logs AS SELECT * FROM l WHERE seq <> 2",
}

func TestVerifyOfHostileValues(t *testing.T) {
	tr := newTrail(t)
	j := tr.open(t)
	for i := range 5 {
		require.NoError(t, j.Log(t.Context(), hostileEvent(i)))
	}
	require.NoError(t, j.Close(context.Background()))
	db := newRaw(t, tr.dsn)
	dropTriggers(t, db)
	require.NoError(t, db.Close())
	whole, err := os.ReadFile(strings.TrimPrefix(tr.dsn, "sqlite:"))
	require.NoError(t, err)
	for i, statements := range hostile {
		if testing.Short() && i%10 != 0 {
			continue // the other run covers all of them
		}
		t.Run(statements[:min(len(statements), 120)], func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trail.db")
			require.NoError(t, os.WriteFile(path, whole, 0o600))
			copied := &trail{"sqlite:" + path, tr.signing, tr.key, tr.bucket}
			db, err := sqlx.Open("sqlite", "file:"+path+"?_pragma=synchronous(OFF)")
			require.NoError(t, err)
			defer db.Close()
			for statement := range strings.SplitSeq(statements, "; ") {
				res, err := db.Exec(statement)
				require.NoError(t, err)
				if n, err := res.RowsAffected(); strings.HasPrefix(statement, "UPDATE") {
					require.NoError(t, err)
					require.Positive(t, n)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := requireTampered(t, copied)
			runtime.ReadMemStats(&after)
			most := uint64(16 << 20)
			if strings.Contains(statements, large) {
				most = 3 << 20
			}
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, most, "bytes allocated")
			for _, f := range r.Findings {
				assert.Less(t, len(f.String()), 1000)
			}
			readOn(t, db)
		})
	}
}

// large is the number of bytes of a value that must not be read.
const large = "4000000"

// hostileEvent has a value in every column.
func hostileEvent(i int) audit.Event {
	e := event(fmt.Sprintf("files/%d", i))
	e.Size, e.SHA256, e.ContentType, e.Attrs = new(int64(i)), make([]byte, 32), "application/pdf", map[string]string{"source_key": "contracts/ä.pdf"}
	if i != 2 {
		e.ErrorCode, e.GrantID = "timeout", "g"
	}
	return e
}

// requireTampered verifies a trail and expects findings within a few seconds.
func requireTampered(t *testing.T, tr *trail) *proof.Report {
	t.Helper()
	db := newRaw(t, tr.dsn)
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := sqlaudit.Verify(ctx, db.DB.DB, &sqlaudit.VerifyOptions{Keys: []string{tr.key}, Published: sqlaudit.Checkpoints{Bucket: tr.bucket, Prefix: "checkpoints/"}})
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), proof.ErrTampered, "%v", r.Remarks)
	assert.Equal(t, proof.VerdictTampered, r.Verdict)
	return r
}

// readOn reads the trail with every reader. Reading may fail, but must end.
func readOn(t *testing.T, db *sqlx.DB) {
	t.Helper()
	j, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet, SkipMigrate: true, Timeout: 5 * time.Second})
	if err != nil {
		return // a table is missing
	}
	defer j.Close(context.Background())
	ctx, cancel := context.WithTimeout(officer, 5*time.Second)
	defer cancel()
	for _, newest := range []bool{false, true} {
		errs := 0
		var last error
		for _, err := range j.Entries(ctx, audit.Query{NewestFirst: newest}) {
			if last = err; err != nil {
				errs++
			}
		}
		assert.LessOrEqual(t, errs, 1, "the error comes last")
		assert.NotErrorIs(t, last, context.DeadlineExceeded)
	}
	_, err = j.Counts(ctx, audit.Query{}, sqlaudit.PerDay)
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
	_, err = j.Erase(ctx, audit.Query{UserID: "u-1"})
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
	_, err = j.Purge(ctx, sqlaudit.PurgeOptions{Before: time.Now()})
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
}

// hostileServers are statements of the owner of a database on a server.
var hostileServers = map[string][]string{
	"postgres": {
		`UPDATE file_access_logs SET attrs = attrs || ',"bucket":"' || bucket || '"', bucket = NULL`, "UPDATE file_access_logs SET attrs = attrs || ' '", "UPDATE file_access_logs SET attrs = repeat('x', 4000000) WHERE seq = 2",
		"UPDATE file_access_logs SET leaf = decode(repeat('00', 4000000), 'hex') WHERE seq = 2", "UPDATE file_access_logs SET sha256 = '' WHERE seq = 2", "UPDATE file_access_logs SET error_code = '' WHERE seq = 2", "UPDATE file_access_logs SET occurred_at = 'infinity' WHERE seq = 2",
		"UPDATE file_access_logs SET occurred_at = '4711-01-01 BC' WHERE seq = 2", "UPDATE file_access_logs SET seq = 9223372036854775807 WHERE seq = 4", "UPDATE file_access_checkpoints SET tree_size = 9223372036854775807 WHERE tree_size = 5",
		"UPDATE file_access_checkpoints SET note = repeat('x', 4000000) WHERE tree_size = 5", "INSERT INTO file_access_frontiers SELECT writer_id, 9223372036854775807, '\\x00', 'x' FROM file_access_writers", "INSERT INTO file_access_frontiers SELECT writer_id, 3, decode(repeat('00', 4000000), 'hex'), 'x' FROM file_access_writers",
		"INSERT INTO file_access_writers SELECT '00000000-0000-0000-0000-000000000000', origin, public_key, certificate, started_at FROM file_access_writers", "UPDATE file_access_writers SET started_at = 'infinity'", "UPDATE file_access_writers SET certificate = decode(repeat('00', 4000000), 'hex')",
		"INSERT INTO file_access_erasures SELECT writer_id, -3, writer_id, 'y' FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, 2, writer_id, repeat('x', 4000000) FROM file_access_writers",
		"ALTER TABLE file_access_logs ALTER COLUMN file_key TYPE bytea USING file_key::bytea", "ALTER TABLE file_access_logs ALTER COLUMN seq TYPE text", "ALTER TABLE file_access_logs RENAME COLUMN attrs TO attributes", "DROP TABLE file_access_frontiers",
		"ALTER TABLE file_access_logs RENAME TO l; CREATE VIEW file_access_logs AS SELECT * FROM l WHERE seq <> 2",
	},
	"mysql": {
		`UPDATE file_access_logs SET attrs = CONCAT(attrs, ',"bucket":"', bucket, '"'), bucket = NULL`, "UPDATE file_access_logs SET attrs = CONCAT(attrs, ' ')", "UPDATE file_access_logs SET attrs = REPEAT('x', 4000000) WHERE seq = 2", "UPDATE file_access_logs SET sha256 = '' WHERE seq = 2",
		"UPDATE file_access_logs SET error_code = '' WHERE seq = 2", "UPDATE file_access_logs SET id = UPPER(id) WHERE seq = 2", "UPDATE file_access_logs SET id = '' WHERE seq = 2", "UPDATE file_access_logs SET writer_id = '' WHERE seq = 2", "UPDATE file_access_logs SET writer_id = UPPER(writer_id) WHERE seq = 4",
		"UPDATE file_access_logs SET seq = 9223372036854775807 WHERE seq = 4", "UPDATE file_access_checkpoints SET tree_size = 9223372036854775807 WHERE tree_size = 5", "INSERT INTO file_access_frontiers SELECT writer_id, 9223372036854775807, x'00', 'x' FROM file_access_writers", "INSERT INTO file_access_writers SELECT '', origin, public_key, certificate, started_at FROM file_access_writers",
		"INSERT INTO file_access_writers SELECT '!', origin, public_key, certificate, started_at FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, -3, writer_id, 'y' FROM file_access_writers", "INSERT INTO file_access_erasures SELECT writer_id, 2, '', REPEAT('x', 4000000) FROM file_access_writers",
		"ALTER TABLE file_access_logs MODIFY attrs LONGBLOB; UPDATE file_access_logs SET attrs = REPEAT('x', 4000000) WHERE seq = 2", "ALTER TABLE file_access_logs MODIFY seq VARCHAR(20) NOT NULL; UPDATE file_access_logs SET seq = 'x' WHERE seq = '2'", "ALTER TABLE file_access_logs MODIFY created_at VARCHAR(64) NOT NULL; UPDATE file_access_logs SET created_at = REPLACE(created_at, ' ', 'T') WHERE seq = 2",
		"ALTER TABLE file_access_writers MODIFY writer_id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL; INSERT INTO file_access_writers SELECT REPEAT('a', 200), origin, public_key, certificate, started_at FROM file_access_writers", "DROP TABLE file_access_frontiers", "ALTER TABLE file_access_logs CHANGE attrs attributes MEDIUMTEXT",
	},
}

func TestVerifyOfHostileServers(t *testing.T) {
	for _, s := range systems[1:] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			tr := newTrailOn(t, s)
			kind, _, _ := strings.Cut(tr.dsn, ":")
			j := tr.open(t)
			for i := range 5 {
				require.NoError(t, j.Log(t.Context(), hostileEvent(i)))
			}
			require.NoError(t, j.Close(context.Background()))
			db := newRaw(t, tr.dsn)
			db.dropTriggers(t)
			tables := []string{"logs", "writers", "checkpoints", "frontiers", "erasures"}
			for _, table := range tables {
				db.exec(t, "CREATE TABLE as_"+table+" AS SELECT * FROM file_access_"+table)
			}
			restore := func() {
				for _, table := range tables {
					db.exec(t, "DELETE FROM file_access_"+table)
					db.exec(t, "INSERT INTO file_access_"+table+" SELECT * FROM as_"+table)
				}
			}
			for _, statements := range hostileServers[kind] {
				restore()
				ran := t.Run(statements[:min(len(statements), 120)], func(t *testing.T) {
					for statement := range strings.SplitSeq(statements, "; ") {
						db.exec(t, statement)
					}
					r := requireTampered(t, tr)
					if strings.Contains(statements, large) && !strings.HasPrefix(statements, "ALTER") {
						assert.Contains(t, fmt.Sprint(r.Findings), "too long", "it is not read")
					}
					if !strings.HasPrefix(statements, "ALTER") && !strings.HasPrefix(statements, "DROP") {
						readOn(t, db.DB)
					}
				})
				if strings.HasPrefix(statements, "ALTER") || strings.HasPrefix(statements, "DROP") {
					db.rebuild(t, tables)
				}
				if !ran {
					break
				}
			}
		})
	}
}

// dropTriggers is the first step of an attack by the database's owner.
func (r *raw) dropTriggers(t *testing.T) {
	t.Helper()
	list := map[string]string{
		"postgres": "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 AND tgrelid::regclass::text LIKE 'file_access_%'",
		"mysql":    "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
	}[r.kind]
	var drops []string
	require.NoError(t, r.Select(&drops, list))
	for _, drop := range drops {
		r.exec(t, drop)
	}
}

// rebuild replaces the altered tables by plain ones.
func (r *raw) rebuild(t *testing.T, tables []string) {
	t.Helper()
	for _, table := range tables {
		name, cascade := "file_access_"+table, ""
		if r.kind == "postgres" {
			cascade = " CASCADE"
		}
		_, err := r.Exec("DROP VIEW IF EXISTS " + name)
		if err == nil || r.kind == "postgres" {
			_, _ = r.Exec("DROP TABLE IF EXISTS l" + cascade)
		}
		r.exec(t, "DROP TABLE IF EXISTS "+name+cascade)
		r.exec(t, "CREATE TABLE "+name+" AS SELECT * FROM as_"+table)
	}
}

// A malformed row does not hide other rows.
func TestQueriesSkipMalformedEntries(t *testing.T) {
	for name, statement := range map[string]string{
		"attrs":        "UPDATE file_access_logs SET attrs = 'x' WHERE seq = 550",
		"a key":        "UPDATE file_access_logs SET file_key = CAST(file_key AS BLOB) WHERE seq = 550",
		"an id":        "UPDATE file_access_logs SET id = CAST(id AS BLOB) WHERE seq = 550",
		"a long id":    "UPDATE file_access_logs SET id = id || CAST(zeroblob(4000) AS TEXT) WHERE seq = 550",
		"an odd id":    "UPDATE file_access_logs SET id = upper(id) WHERE seq = 550",
		"a time":       "UPDATE file_access_logs SET occurred_at = x'00' WHERE seq = 550",
		"a large text": "UPDATE file_access_logs SET bucket = CAST(zeroblob(4000000) AS TEXT) WHERE seq = 550",
		"a place":      "UPDATE file_access_logs SET seq = 'x' WHERE seq = 550",
		"an action":    "UPDATE file_access_logs SET action = zeroblob(4000000) WHERE seq = 550",
	} {
		t.Run(name, func(t *testing.T) {
			j, db := sqliteSystem.open(t, nil)
			in, err := j.Begin(t.Context(), event("0"), 0)
			require.NoError(t, err)
			also := make([]audit.Event, 600)
			for i := range also {
				also[i] = event(fmt.Sprint(i + 1))
			}
			require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
			var id string
			require.NoError(t, db.Get(&id, "SELECT id FROM file_access_logs WHERE seq = 550"))
			dropTriggers(t, db)
			db.exec(t, statement)
			for _, q := range []audit.Query{{}, {NewestFirst: true}, {TenantID: "acme"}, {Limit: 600}} {
				var got []string
				var last error
				for e, err := range j.Entries(t.Context(), q) {
					require.NoError(t, last, "nothing follows an error")
					if last = err; err == nil {
						got = append(got, e.Key)
					}
				}
				assert.Len(t, got, 600)
				assert.NotContains(t, got, "550")
				if q.Limit > 0 && last == nil && strings.Contains(name, "id") {
					continue // the row now comes after the others
				}
				require.ErrorIs(t, last, proof.ErrTampered)
				assert.ErrorContains(t, last, "skipped 1 malformed entries")
				if !strings.Contains(name, "id") {
					assert.ErrorContains(t, last, id)
				}
			}
			counts, err := j.Counts(t.Context(), audit.Query{}, sqlaudit.PerHour)
			total := int64(0)
			for _, c := range counts {
				total += c.Entries
			}
			if name == "a time" || name == "an action" {
				require.ErrorIs(t, err, proof.ErrTampered)
				assert.EqualValues(t, 600, total)
			} else {
				require.NoError(t, err)
				assert.EqualValues(t, 601, total)
			}
			erased, err := j.Erase(officer, audit.Query{UserID: "u-1"})
			if slices.Contains([]string{"an id", "an odd id", "a place"}, name) {
				require.ErrorIs(t, err, proof.ErrTampered)
				assert.EqualValues(t, 600, erased)
			} else if name != "a long id" {
				require.NoError(t, err)
				assert.EqualValues(t, 601, erased)
			}
			_, err = j.Prove(t.Context(), id)
			assert.True(t, errors.Is(err, proof.ErrTampered) || errors.Is(err, sqlaudit.ErrNoEntry), "%v", err)
		})
	}
}
