package sqlaudit

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkVerify compares checking a trail with reading its rows.
func BenchmarkVerify(b *testing.B) {
	const n, writers = 100_000, 4
	path := b.TempDir() + "/trail.db"
	for range writers {
		j, err := Open(b.Context(), "sqlite:"+path, &Options{Logger: attackLogger})
		require.NoError(b, err)
		_, err = spread(64, n/writers, func(i int64) error { return j.Log(context.Background(), benchEvent(i)) })
		require.NoError(b, err)
		require.NoError(b, j.Close(context.Background()))
	}
	j, err := Open(b.Context(), "sqlite:"+path, &Options{Logger: attackLogger})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, j.Close(context.Background())) })
	selectAll := func() {
		rows, err := j.readDB.Query("SELECT " + strings.Join(columns, ", ") + " FROM file_access_logs ORDER BY writer_id, seq")
		require.NoError(b, err)
		defer rows.Close()
		raw := make([]sql.RawBytes, len(columns))
		dst := make([]any, len(columns))
		for i := range raw {
			dst[i] = &raw[i]
		}
		count := 0
		for rows.Next() {
			require.NoError(b, rows.Scan(dst...))
			count++
		}
		require.NoError(b, rows.Err())
		require.Equal(b, n, count)
	}
	for _, parallel := range []int{1, 2} {
		b.Run(map[int]string{1: "sqlite/one writer at a time", 2: "sqlite/two writers at a time"}[parallel], func(b *testing.B) {
			var plain, verify time.Duration
			var checkpoints int64
			for range b.N {
				began := time.Now()
				selectAll()
				plain += time.Since(began)
				began = time.Now()
				r, err := j.Verify(b.Context(), &VerifyOptions{Parallel: parallel})
				verify += time.Since(began)
				require.NoError(b, err)
				require.NoError(b, r.Err())
				checkpoints = r.Checkpoints
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(n*float64(b.N)/plain.Seconds(), "select-rows/s")
			b.ReportMetric(n*float64(b.N)/verify.Seconds(), "verify-rows/s")
			b.ReportMetric(float64(checkpoints), "checkpoints")
			b.ReportMetric(verify.Seconds()/plain.Seconds(), "times-select")
		})
	}
}
