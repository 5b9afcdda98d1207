package main

// This file defines the Prometheus metrics. See docs/monitoring.md for alerts.

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/blobtrail/blobtrail/blobstore"
)

type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	running  prometheus.Gauge
	bytes    prometheus.Counter
	settled  *prometheus.CounterVec
	lastly   prometheus.Gauge
}

func newMetrics(s *service) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "invoices_http_requests_total", Help: "Requests by route and status."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "invoices_http_request_seconds", Help: "Duration of requests, including the transfer of content.", Buckets: []float64{.005, .02, .1, .5, 2, 10, 60, 600}}, []string{"route"}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "invoices_http_requests_running", Help: "Requests in progress."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "invoices_stored_bytes_total", Help: "Bytes of stored files."}),
		lastly:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "invoices_settled_timestamp_seconds", Help: "Time of the last successful settlement of unfinished operations; 0 means never."}),
		settled:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "invoices_reconciled_total", Help: "Settled operations of killed processes, by outcome."}, []string{"outcome"}),
	}
	m.reconciled(blobstore.Reconciled{}) // start at 0, so that the first event counts as an increase
	m.registry.MustRegister(m.requests, m.duration, m.running, m.bytes, m.settled, m.lastly, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "invoices_trail_open_intents", Help: "Operations in progress or unsettled; -1 if the database does not respond."}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			n, err := s.journal.OpenIntents(ctx)
			if err != nil {
				return -1
			}
			return float64(n)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "invoices_trail_sound", Help: "1 if the last verification found no changes, 0 if it found some or none has run yet."}, func() float64 {
			if _, sound, _ := s.checked.last(); sound {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "invoices_trail_verified_timestamp_seconds", Help: "Time of the last verification of the trail; 0 means never."}, func() float64 {
			at, _, ever := s.checked.last()
			if !ever {
				return 0
			}
			return float64(at.Unix())
		}))
	return m
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry}))
	return mux
}

// count measures the requests of a route.
func (m *metrics) count(route string, next http.Handler) http.Handler {
	labels := prometheus.Labels{"route": route}
	return promhttp.InstrumentHandlerInFlight(m.running,
		promhttp.InstrumentHandlerDuration(m.duration.MustCurryWith(labels),
			promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(labels), next)))
}

func (m *metrics) stored(bytes int64) { m.bytes.Add(float64(bytes)) }

func (m *metrics) reconciled(r blobstore.Reconciled) {
	m.settled.WithLabelValues("ok").Add(float64(r.OK))
	m.settled.WithLabelValues("failed").Add(float64(r.Failed))
	m.settled.WithLabelValues("unknown").Add(float64(r.Unknown))
}
