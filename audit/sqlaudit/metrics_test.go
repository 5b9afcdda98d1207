package sqlaudit_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// measured returns the metrics of this package: sums by the name and attributes
// of the instrument. A histogram has its count under its name, and its sum
// under "sum " and the name.
func measured(t *testing.T, reader metric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	out := make(map[string]float64)
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != "github.com/blobtrail/blobtrail/audit/sqlaudit" {
			continue
		}
		for _, m := range scope.Metrics {
			name := strings.TrimPrefix(m.Name, "blobtrail.sqlaudit.")
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					system, ok := p.Attributes.Value("db.system.name")
					require.True(t, ok)
					assert.Equal(t, "sqlite", system.AsString())
					kind, _ := p.Attributes.Value("error.type")
					out[strings.TrimSpace(name+" "+kind.AsString())] += float64(p.Value)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					out[name] += float64(p.Count)
					out["sum "+name] += float64(p.Sum)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out[name] += float64(p.Count)
					out["sum "+name] += p.Sum
				}
			}
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(provider)
	defer otel.SetMeterProvider(before)
	defer func() { require.NoError(t, provider.Shutdown(context.Background())) }()

	j, db := sqliteSystem.open(t, nil)
	db.poison(t, "poison")
	release := db.block(t)
	results := make(chan error, 12)
	log := func(key string) { results <- j.Log(context.Background(), event(key)) }
	go log("first")
	wait(t, "the flush begins", func() bool { return sqlaudit.Waiting(j) == 0 && sqlaudit.Flushing(j) })
	for range 9 {
		go log("k")
	}
	go log("poison")
	go func() {
		_, err := j.Begin(context.Background(), event("begun"), 0)
		results <- err
	}()
	wait(t, "the others wait", func() bool { return sqlaudit.Waiting(j) == 11 })
	wait(t, "that is measured", func() bool { return measured(t, reader)["queue.length"] == 11 })
	release()
	failed := 0
	for range 12 {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, audit.ErrEvent)
			failed++
		}
	}
	assert.Equal(t, 1, failed)
	require.NoError(t, j.Close(t.Context()))

	got := measured(t, reader)
	assert.Zero(t, got["queue.length"])
	assert.EqualValues(t, 1, got["failures"])
	assert.GreaterOrEqual(t, got["flush.failures refused"], 1.0)
	assert.GreaterOrEqual(t, got["flush.size"], 3.0, "attempts: the first, those together, and apart")
	assert.Equal(t, got["flush.size"], got["flush.duration"])
	assert.GreaterOrEqual(t, got["sum flush.size"], 12.0)
	assert.Positive(t, got["sum flush.duration"])
}
