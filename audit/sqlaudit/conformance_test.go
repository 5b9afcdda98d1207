package sqlaudit_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestConformanceSQLite(t *testing.T) {
	audittest.Run(t, func(t *testing.T) audittest.Harness {
		path := filepath.Join(t.TempDir(), "trail.db")
		raw := rawDB(t, path)
		return audittest.Harness{
			Shared: true,
			Open: func(tb testing.TB) audittest.Journal {
				j, err := sqlaudit.Open(tb.Context(), "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
				require.NoError(tb, err)
				tb.Cleanup(func() { require.NoError(tb, j.Close(context.Background())) })
				return j
			},
			Advance: func(tb testing.TB, d time.Duration) {
				_, err := raw.Exec("UPDATE file_access_intents SET lease_until = lease_until - ?", d.Microseconds())
				require.NoError(tb, err)
			},
			OpenIntents: func(tb testing.TB) (n int) {
				require.NoError(tb, raw.Get(&n, "SELECT count(*) FROM file_access_intents"))
				return n
			},
		}
	})
}
