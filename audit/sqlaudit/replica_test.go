package sqlaudit_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// readOnly are connection parameters that prevent all writes, like on a
// replica.
var readOnly = map[string]string{"postgres": "default_transaction_read_only=on", "mariadb": "tx_read_only=1"}

// A reader works on a database without write access.
func TestReadReplica(t *testing.T) { onEach(t, testReadReplica) }

func testReadReplica(t *testing.T, s *system) {
	if readOnly[s.name] == "" {
		return // a file has no replicas
	}
	j, db := s.open(t, nil)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, j.Log(t.Context(), event(key)))
	}
	var log strings.Builder
	separator := "?"
	if strings.Contains(db.dsn, "?") {
		separator = "&"
	}
	replica, err := sqlaudit.Open(t.Context(), db.dsn+separator+readOnly[s.name], &sqlaudit.Options{
		SkipMigrate: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, replica.Close(t.Context())) }()
	got := entries(t, replica, audit.Query{})
	assert.Equal(t, []string{"a", "b", "c"}, keys(got))
	counts, err := replica.Counts(t.Context(), audit.Query{}, sqlaudit.Total)
	require.NoError(t, err)
	assert.Len(t, counts, 1)
	report, err := replica.Verify(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	_, err = replica.Prove(t.Context(), got[1].ID)
	require.NoError(t, err)
	assert.NotContains(t, log.String(), "read")
	require.Error(t, replica.Log(t.Context(), event("d")))
	assert.Equal(t, 3, db.count(t, "file_access_logs"))
}
