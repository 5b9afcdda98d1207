package sqlaudit_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

const oldMonth = "file_access_logs_2024_01"

// endMonth moves the entries so far into a past month, or, if cut is not "",
// those up to the entry with the ID cut.
func endMonth(t *testing.T, db *raw, cut string) {
	t.Helper()
	var partition, first string
	require.NoError(t, db.Get(&partition, "SELECT 'file_access_logs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"))
	require.NoError(t, db.Get(&first, "SELECT id::text FROM file_access_logs ORDER BY id LIMIT 1"))
	if cut == "" {
		theClockMovesOn()
		require.NoError(t, db.Get(&cut, `SELECT left(h, 8) || '-' || substr(h, 9) || '-0000-0000-000000000000' FROM (
			SELECT lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') AS h) AS f`))
	}
	for _, statement := range []string{
		"BEGIN",
		"ALTER TABLE file_access_logs DETACH PARTITION " + partition,
		"INSERT INTO file_access_logs_rest SELECT * FROM " + partition + " WHERE id >= '" + cut + "'",
		"DROP TRIGGER IF EXISTS file_access_no_delete ON " + partition,
		"DELETE FROM " + partition + " WHERE id >= '" + cut + "'",
		"ALTER TABLE " + partition + " RENAME TO " + oldMonth,
		"ALTER TABLE file_access_logs ATTACH PARTITION " + oldMonth + " FOR VALUES FROM ('" + first + "') TO ('" + cut + "')",
		"COMMIT",
	} {
		_, err := db.Exec(statement)
		require.NoError(t, err, statement)
	}
}

// newMonths is a trail on PostgreSQL with three writers.
func newMonths(t *testing.T) (*trail, *raw) {
	t.Helper()
	tr := newTrailOn(t, systems[1])
	tr.write(t, 2300) // more than one step removes
	tr.write(t, 30)
	j := tr.open(t)
	settleMany(t, j, 40)
	_, err := j.Erase(officer, audit.Query{Key: "files/7"})
	require.NoError(t, err)
	require.NoError(t, j.Close(context.Background()))
	db := newRaw(t, tr.dsn)
	db.SetMaxOpenConns(1) // for the transaction of endMonth
	return tr, db
}

// settleMany settles one operation with n entries.
func settleMany(t *testing.T, j *sqlaudit.Journal, n int) {
	t.Helper()
	in, err := j.Begin(t.Context(), event("many"), 0)
	require.NoError(t, err)
	also := make([]audit.Event, n-1)
	for i := range also {
		also[i] = event(fmt.Sprintf("many/%d", i))
	}
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
}

const monthEntries = 2300 + 30 + 40 + 2

func TestPurgeDropsMonths(t *testing.T) {
	tr, db := newMonths(t)
	endMonth(t, db, "")
	before := time.Now()
	j := tr.open(t)
	logMany(t, j, 10)
	var exported bytes.Buffer
	synced := 0
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before, Export: exportTo{&exported, func() error { synced++; return nil }}})
	require.NoError(t, err)
	assert.Equal(t, sqlaudit.PurgeResult{Entries: monthEntries, Writers: 3}, res)
	assert.Equal(t, 5, synced)
	assert.Equal(t, monthEntries, strings.Count(exported.String(), `{"entry":`))
	assert.Equal(t, 3, strings.Count(exported.String(), `{"writer":`))
	assert.EqualValues(t, monthEntries, verifyExport(t, bytes.NewReader(exported.Bytes()), tr.key).Entries)
	assert.Zero(t, db.tables(t, oldMonth), "the partition is gone")
	assert.Equal(t, 3, db.count(t, "file_access_checkpoints AS c WHERE EXISTS (SELECT 1 FROM file_access_frontiers AS f WHERE f.writer_id = c.writer_id)"))
	assert.Equal(t, 3, db.count(t, "file_access_frontiers"))
	left := entries(t, j, audit.Query{})
	assert.Len(t, left, 12)
	p, err := j.Prove(t.Context(), left[3].ID)
	require.NoError(t, err)
	_, err = proof.Verify(p, tr.key)
	require.NoError(t, err)
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

// A transaction that began before midnight ends in the next month.
func TestPurgeOfAMonthThatEndsWithinATransaction(t *testing.T) {
	tr, db := newMonths(t)
	var cut string
	require.NoError(t, db.Get(&cut, "SELECT id::text FROM file_access_logs WHERE file_key = 'many/20'"))
	endMonth(t, db, cut)
	theClockMovesOn()
	before := time.Now()
	j := tr.open(t)
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
	require.NoError(t, err)
	assert.Equal(t, sqlaudit.PurgeResult{Entries: monthEntries, Writers: 3}, res)
	assert.Zero(t, db.tables(t, oldMonth))
	assert.Equal(t, 2, db.count(t, "file_access_logs"), "what Purge says itself")
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

// A month that cannot be removed completely is purged entry by entry.
func TestPurgeWithinAMonth(t *testing.T) {
	tr, db := newMonths(t)
	theClockMovesOn()
	before := time.Now()
	tr.write(t, 10)
	endMonth(t, db, "")
	j := tr.open(t)
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
	require.NoError(t, err)
	assert.Equal(t, sqlaudit.PurgeResult{Entries: monthEntries, Writers: 3}, res)
	assert.Equal(t, 10, db.count(t, oldMonth))
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

// A long-running reader delays the purge, but no other caller.
func TestPurgeWaitsForReaders(t *testing.T) {
	tr, db := newMonths(t)
	endMonth(t, db, "")
	before := time.Now()
	j := tr.open(t)
	logMany(t, j, 1)
	tx, err := db.Beginx()
	require.NoError(t, err)
	defer tx.Rollback()
	var n int
	require.NoError(t, tx.Get(&n, "SELECT count(*) FROM file_access_logs"))
	purged := make(chan error, 1)
	go func() {
		_, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
		purged <- err
	}()
	other := newRaw(t, tr.dsn)
	wait(t, "the purge waits for its lock", func() bool {
		return other.count(t, "pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'file_access_logs'::regclass") > 0
	})
	for range 3 {
		require.NoError(t, j.Log(t.Context(), event("meanwhile")))
	}
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-purged)
	assert.Zero(t, other.tables(t, oldMonth))
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

// A reader with a snapshot sees all entries.
func TestPurgeOfAMonthThatIsBeingVerified(t *testing.T) {
	tr, db := newMonths(t)
	endMonth(t, db, "")
	before := time.Now()
	j := tr.open(t)
	tx, err := sqlaudit.ReadTx(j)
	require.NoError(t, err)
	defer tx.Rollback()
	var n int
	require.NoError(t, tx.Get(&n, "SELECT count(*) FROM file_access_writers")) // takes the snapshot
	purged := make(chan error, 1)
	go func() {
		_, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
		purged <- err
	}()
	other := newRaw(t, tr.dsn)
	wait(t, "the purge waits for its lock, or is over", func() bool {
		return len(purged) > 0 || other.count(t, "pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'file_access_logs'::regclass") > 0
	})
	require.NoError(t, tx.Get(&n, "SELECT count(*) FROM file_access_logs"))
	assert.Equal(t, monthEntries, n)
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-purged)
	assert.Zero(t, other.tables(t, oldMonth))
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

// Tampered entries are not dropped with their month.
func TestPurgeOfATamperedMonth(t *testing.T) {
	for name, statement := range map[string]string{
		"edited":  "UPDATE " + oldMonth + " SET file_key = 'x' WHERE seq = 3",
		"deleted": "DELETE FROM " + oldMonth + " WHERE seq = 3",
	} {
		t.Run(name, func(t *testing.T) {
			tr, db := newMonths(t)
			endMonth(t, db, "")
			before := time.Now()
			db.exec(t, "ALTER TABLE "+oldMonth+" DISABLE TRIGGER ALL")
			db.exec(t, statement)
			kept := db.count(t, oldMonth)
			j := tr.open(t)
			_, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
			require.ErrorIs(t, err, proof.ErrTampered)
			assert.Equal(t, kept, db.count(t, oldMonth))
			require.NoError(t, j.Close(context.Background()))
			require.Error(t, tr.verify(t).Err())
		})
	}
}

// The documented rights are sufficient for erasing and purging. A role that
// does not own the partitions removes entries row by row.
func TestRetentionRole(t *testing.T) {
	tr, db := newMonths(t)
	endMonth(t, db, "")
	before := time.Now()
	schema := db.dsn[strings.LastIndex(db.dsn, "=")+1:]
	role := "officer_" + strings.ReplaceAll(schema, "-", "_")
	for _, grant := range []string{
		"CREATE ROLE " + role + " LOGIN",
		"GRANT USAGE ON SCHEMA " + schema + " TO " + role,
		"GRANT SELECT, INSERT ON file_access_logs, file_access_writers, file_access_checkpoints, file_access_erasures, file_access_frontiers TO " + role,
		"GRANT UPDATE, DELETE ON file_access_logs TO " + role,
		"GRANT DELETE ON file_access_checkpoints, file_access_frontiers TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON file_access_intents, file_access_grants TO " + role,
		"GRANT SELECT ON file_access_migrations TO " + role,
	} {
		db.exec(t, grant)
	}
	j, err := sqlaudit.Open(t.Context(), strings.Replace(tr.dsn, "admin@", role+"@", 1), &sqlaudit.Options{Logger: quiet, DeploymentKey: tr.signing})
	require.NoError(t, err)
	n, err := j.Erase(officer, audit.Query{Key: "files/8"})
	require.NoError(t, err)
	assert.EqualValues(t, 2, n)
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
	require.NoError(t, err)
	assert.EqualValues(t, monthEntries, res.Entries)
	assert.Zero(t, db.count(t, oldMonth))
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}
