package sqlaudit_test

// This file tests features of single databases.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

func TestPostgresPartitions(t *testing.T) {
	j, db := systems[1].open(t, nil)
	require.NoError(t, j.Log(t.Context(), event("now")))
	assert.Zero(t, db.count(t, "file_access_logs_rest"))
	var partition string
	require.NoError(t, db.Get(&partition, "SELECT tableoid::regclass::text FROM file_access_logs"))
	var month string
	require.NoError(t, db.Get(&month, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"))
	assert.True(t, strings.HasSuffix(partition, "file_access_logs_"+month), partition)

	// Future partitions contain the first and the last millisecond of their
	// month.
	var made int
	require.NoError(t, db.Get(&made, "SELECT file_access_make_partitions('2099-11-30', 3)"))
	assert.Equal(t, 3, made)
	require.NoError(t, db.Get(&made, "SELECT file_access_make_partitions('2099-11-30', 3)"))
	assert.Zero(t, made)
	for name, tc := range map[string]struct{ at, want string }{
		"last of october":   {"2099-10-31 23:59:59.999", "file_access_logs_rest"},
		"first of november": {"2099-11-01 00:00:00", "file_access_logs_2099_11"},
		"last of december":  {"2099-12-31 23:59:59.999", "file_access_logs_2099_12"},
		"first of january":  {"2100-01-01 00:00:00", "file_access_logs_2100_01"},
		"first of february": {"2100-02-01 00:00:00", "file_access_logs_rest"},
	} {
		t.Run(name, func(t *testing.T) {
			var hex string
			require.NoError(t, db.Get(&hex, "SELECT lpad(to_hex((extract(epoch FROM ($1::timestamp AT TIME ZONE 'UTC')) * 1000)::bigint), 12, '0')", tc.at))
			id := hex[:8] + "-" + hex[8:] + "-7000-8000-00000000000" + fmt.Sprint(len(name)%10)
			db.exec(t, "INSERT INTO file_access_logs ("+required+") SELECT '"+id+"', op_id, writer_id, "+fmt.Sprint(1000+len(name))+
				", occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf FROM file_access_logs WHERE file_key = 'now'")
			var got string
			require.NoError(t, db.Get(&got, "SELECT tableoid::regclass::text FROM file_access_logs WHERE id = $1", id))
			assert.True(t, strings.HasSuffix(got, tc.want), got)
		})
	}
	t.Run("guarded", func(t *testing.T) {
		_, err := db.Exec("TRUNCATE file_access_logs_2099_11")
		require.ErrorContains(t, err, "append-only")
		_, err = db.Exec("DELETE FROM file_access_logs_2099_11")
		require.ErrorContains(t, err, "append-only")
	})
	t.Run("made ahead of time", func(t *testing.T) {
		require.NoError(t, sqlaudit.Maintain(j))
		var next string
		require.NoError(t, db.Get(&next, "SELECT to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM')"))
		assert.Equal(t, 1, db.tables(t, "file_access_logs_"+next))
		db.exec(t, "DROP TABLE file_access_logs_"+next)
		require.NoError(t, sqlaudit.Maintain(j))
		assert.Equal(t, 1, db.tables(t, "file_access_logs_"+next))
	})
}

// openUnmaintained opens a journal that creates partitions only on demand.
func openUnmaintained(t *testing.T) (*sqlaudit.Journal, *raw) {
	dsn := systems[1].dsn(t)
	first, _ := openDSN(t, dsn, nil)
	require.NoError(t, first.Close(t.Context()))
	return openDSN(t, dsn, &sqlaudit.Options{SkipMigrate: true})
}

// If a month began without a partition, its entries are in
// file_access_logs_rest, and its partition can no longer be created. Later
// months are not affected.
func TestPostgresPartitionsAfterAMonthWithout(t *testing.T) {
	j, db := openUnmaintained(t)
	months := make([]string, 3)
	for i := range months {
		require.NoError(t, db.Get(&months[i], "SELECT 'file_access_logs_' || to_char((now() AT TIME ZONE 'UTC') + make_interval(months => $1), 'YYYY_MM')", i))
		db.exec(t, "DROP TABLE IF EXISTS "+months[i])
	}
	require.NoError(t, j.Log(t.Context(), event("k")))
	require.Equal(t, 1, db.count(t, "file_access_logs_rest"))
	require.NoError(t, sqlaudit.Maintain(j))
	assert.Zero(t, db.tables(t, months[0]))
	assert.Equal(t, 1, db.tables(t, months[1]))
	assert.Equal(t, 1, db.tables(t, months[2]))
	assert.Equal(t, 1, db.count(t, "file_access_logs_rest"))
	require.NoError(t, j.Log(t.Context(), event("k")))
}

// A long-running reader temporarily prevents the creation of a partition, and
// the wait for it does not block other readers.
func TestPostgresPartitionsDoNotBlockReaders(t *testing.T) {
	j, db := openUnmaintained(t)
	var next string
	require.NoError(t, db.Get(&next, "SELECT 'file_access_logs_' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM')"))
	db.exec(t, "DROP TABLE "+next)
	tx, err := db.Beginx()
	require.NoError(t, err)
	defer tx.Rollback()
	var n int
	require.NoError(t, tx.Get(&n, "SELECT count(*) FROM file_access_logs"))
	require.ErrorContains(t, sqlaudit.Maintain(j), "lock timeout")
	require.NoError(t, tx.Rollback())
	require.NoError(t, sqlaudit.Maintain(j))
	assert.Equal(t, 1, db.tables(t, next))
}

func TestLenientModeIsRefused(t *testing.T) {
	db := newRaw(t, systems[2].dsn(t))
	db.SetMaxOpenConns(1)
	db.exec(t, "SET SESSION sql_mode = ''")
	_, err := sqlaudit.New(t.Context(), db.DB.DB, &sqlaudit.Options{Logger: quiet})
	require.ErrorContains(t, err, "not strict")
}

func TestDriverSettingsMakeNoDifference(t *testing.T) {
	dsn := systems[2].dsn(t)
	j, _ := openDSN(t, dsn, nil)
	require.NoError(t, j.Log(t.Context(), event("k")))
	want := entries(t, j, audit.Query{})
	for name, params := range map[string]string{
		"plain": "", "times parsed": "?parseTime=true&loc=Asia%2FTokyo", "session elsewhere": "?time_zone=%27-08%3A00%27", "found rows": "?clientFoundRows=true", "interpolated": "?interpolateParams=true",
	} {
		t.Run(name, func(t *testing.T) {
			address := strings.Replace(strings.TrimPrefix(dsn, "mysql://"), "@", "@tcp(", 1)
			db, err := sqlx.Open("mysql", strings.Replace(address, "/", ")/", 1)+params)
			require.NoError(t, err)
			defer db.Close()
			other, err := sqlaudit.New(t.Context(), db.DB, &sqlaudit.Options{Logger: quiet})
			require.NoError(t, err)
			defer other.Close(t.Context())
			assert.Equal(t, want, entries(t, other, audit.Query{}))
			in, err := other.Begin(t.Context(), event("x"), 0)
			require.NoError(t, err)
			_, err = other.Begin(t.Context(), in.Event(), 0)
			require.ErrorIs(t, err, audit.ErrEvent)
			require.NoError(t, in.Renew(t.Context(), 0))
			require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
			require.ErrorIs(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}), audit.ErrNotHeld)
			j, _ := openDSN(t, dsn, nil)
			want = entries(t, j, audit.Query{})
			assert.Equal(t, want, entries(t, other, audit.Query{}))
		})
	}
}

func TestWeakDurabilityIsReported(t *testing.T) {
	for name, dsn := range map[string]string{
		"postgres": testdb.Postgres(t).New(t), "mariadb": testdb.MariaDB(t).New(t), // these servers run without fsync
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			j, err := sqlaudit.Open(t.Context(), dsn, &sqlaudit.Options{Logger: textLogger(&log)})
			require.NoError(t, err)
			require.NoError(t, j.Close(t.Context()))
			assert.Contains(t, log.String(), "may lose acknowledged entries")
			assert.NotContains(t, log.String(), "test-password")
		})
	}
}

// MariaDB closes the connection if a statement is larger than
// max_allowed_packet, 16 MiB by default.
func TestASettlementLargerThanAPacket(t *testing.T) {
	j, db := systems[2].open(t, nil)
	var packet int
	require.NoError(t, db.Get(&packet, "SELECT @@max_allowed_packet"))
	in, err := j.Begin(t.Context(), event("large"), 0)
	require.NoError(t, err)
	var also []audit.Event
	for size := 0; size <= packet; {
		e := event(fmt.Sprint(len(also)))
		e.Attrs = make(map[string]string)
		for i := range 7 {
			e.Attrs[fmt.Sprint(i)] = strings.Repeat(`"`, 2000)
			size += 4 * 2000 // a JSON string in an SQL string
		}
		also = append(also, e)
	}
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}, also...))
	require.NoError(t, j.Log(t.Context(), event("after")))
	assert.Equal(t, len(also)+2, db.count(t, "file_access_logs"))
	report, err := j.Verify(t.Context(), nil)
	require.NoError(t, err)
	requireSound(t, report)
}
