package sqlaudit

// This file implements the metrics. They go to OpenTelemetry's global meter
// provider. Without a provider, nothing is measured.

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

var meter = otel.Meter("github.com/blobtrail/blobtrail/audit/sqlaudit")

// metrics are the instruments of one journal. A record is an entry or an
// intent.
type metrics struct {
	length   metric.Int64UpDownCounter
	size     metric.Int64Histogram
	duration metric.Float64Histogram
	repeated metric.Int64Counter
	failures metric.Int64Counter

	database metric.MeasurementOption
	classes  [gone + 1]metric.MeasurementOption
}

func newMetrics(d dialect) (*metrics, error) {
	m := new(metrics)
	var errs [5]error
	m.length, errs[0] = meter.Int64UpDownCounter("blobtrail.sqlaudit.queue.length",
		metric.WithUnit("{record}"), metric.WithDescription("Records waiting to be stored."))
	m.size, errs[1] = meter.Int64Histogram("blobtrail.sqlaudit.flush.size",
		metric.WithUnit("{record}"), metric.WithDescription("Records in each transaction attempt."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000))
	m.duration, errs[2] = meter.Float64Histogram("blobtrail.sqlaudit.flush.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of each transaction attempt."),
		metric.WithExplicitBucketBoundaries(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	m.repeated, errs[3] = meter.Int64Counter("blobtrail.sqlaudit.flush.failures",
		metric.WithUnit("{attempt}"), metric.WithDescription("Failed transaction attempts. Most of them are retried."))
	m.failures, errs[4] = meter.Int64Counter("blobtrail.sqlaudit.failures",
		metric.WithUnit("{record}"), metric.WithDescription("Records not stored, or not known to be stored."))

	system := map[string]string{"sqlite": "sqlite", "postgres": "postgresql", "mysql": "mysql"}[d.name()]
	database := attribute.String("db.system.name", system)
	m.database = metric.WithAttributeSet(attribute.NewSet(database))
	for c, name := range map[class]string{fatal: "fatal", retry: "unavailable", unclear: "unclear", conflict: "conflict", poison: "refused", locked: "locked", gone: "gone"} {
		m.classes[c] = metric.WithAttributeSet(attribute.NewSet(database, attribute.String("error.type", name)))
	}
	return m, errors.Join(errs[:]...)
}

// queued adds n to the number of waiting records. n may be negative.
func (m *metrics) queued(n int) { m.length.Add(context.Background(), int64(n), m.database) }

// flushed records the size and duration of an attempt to store b.
func (m *metrics) flushed(ctx context.Context, b *batch, began time.Time) {
	m.size.Record(ctx, int64(len(b.rows)+len(b.begins)), m.database)
	m.duration.Record(ctx, time.Since(began).Seconds(), m.database)
}

func (m *metrics) attemptFailed(ctx context.Context, c class) { m.repeated.Add(ctx, 1, m.classes[c]) }

func (m *metrics) failed(ctx context.Context, jb *job) {
	m.failures.Add(ctx, int64(jb.size()), m.database)
}
