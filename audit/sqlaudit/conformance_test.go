package sqlaudit_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestConformance(t *testing.T) { onEach(t, testConformance) }

func testConformance(t *testing.T, s *system) {
	audittest.Run(t, func(t *testing.T) audittest.Harness {
		dsn := s.dsn(t)
		db := newRaw(t, dsn)
		return audittest.Harness{
			Shared: true,
			Open: func(tb testing.TB) audittest.Journal {
				j, err := sqlaudit.Open(tb.Context(), dsn, &sqlaudit.Options{Logger: quiet})
				require.NoError(tb, err)
				tb.Cleanup(func() { require.NoError(tb, j.Close(context.Background())) })
				return j
			},
			Advance: func(tb testing.TB, d time.Duration) {
				db.exec(tb, "UPDATE file_access_intents SET lease_until = lease_until - ?", d.Microseconds())
			},
			OpenIntents: func(tb testing.TB) int { return db.count(tb, "file_access_intents") },
		}
	})
}
