package handlers

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what is counted, in the text format of Prometheus.
type metrics struct {
	http.Handler
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	answered atomic.Int64 // requests
	failed   atomic.Int64 // of these, those with 5xx
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restante_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "restante_http_request_duration_seconds", Help: "Time to answer, by route; a receive is held on purpose.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30},
		}, []string{"route"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), statusCollector{s})
	stats := s.Service.Stats()
	for _, c := range []struct {
		name, help string
		count      *atomic.Int64
	}{
		{"restante_frames_total", "Frames handed out, repeated ones included.", &stats.Frames},
		{"restante_heartbeats_total", "Receives that ended without a frame, and heartbeats of streams.", &stats.Heartbeats},
		{"restante_superseded_total", "Receives that made way for another.", &stats.Superseded},
		{"restante_replayed_total", "Repeated commands that got their recorded reply.", &stats.Replayed},
		{"restante_handshakes_total", "Accepted handshakes.", &stats.Handshakes},
		{"restante_handshakes_resumed_total", "Accepted handshakes that resumed a session.", &stats.Resumed},
		{"restante_handshakes_rejected_total", "Refused handshakes.", &stats.Rejected},
		{"restante_overflowed_total", "Sessions ended because their frames piled up.", &stats.Overflowed},
		{"restante_prune_runs_total", "Runs of pruning.", &stats.PruneRuns},
		{"restante_prune_good_runs_total", "Runs of pruning in which nothing failed.", &stats.PruneGood},
		{"restante_prune_failures_total", "Things that could not be pruned, each time.", &stats.PruneFailed},
		{"restante_storage_failures_total", "Transactions that the storage could not serve.", &stats.StorageFails},
		{"restante_transactions_retried_total", "Transactions that lost against others and were run again.", &stats.Retried},
		{"restante_wakes_announced_total", "Topics of news that other replicas were told of.", &stats.Announced},
		{"restante_wakes_heard_total", "Topics of news that other replicas told of.", &stats.Heard},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.count.Load()) }))
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "restante_receives_parked", Help: "Receives that are held now."},
		func() float64 { return float64(stats.Parked.Load()) }))
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "restante_streams_open", Help: "Event streams and session sockets that are open now."},
		func() float64 { return float64(stats.Streams.Load()) }))
	served := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	m.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept", "text/plain") // the only format that the contract promises, whatever a scraper prefers
		served.ServeHTTP(w, r)
	})
	return m
}

func (m *metrics) observe(verb, route string, status int, took time.Duration) {
	m.answered.Add(1)
	if status >= http.StatusInternalServerError {
		m.failed.Add(1)
	}
	m.requests.WithLabelValues(method(verb), route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

// statusCollector collects the numbers of the status. Monitoring continues when the storage is unavailable.
type statusCollector struct{ s *Server }

var statusMetrics = struct{ things, attached, updated, ready, failing *prometheus.Desc }{
	prometheus.NewDesc("restante_things", "What is stored, at the last count.", []string{"kind"}, nil),
	prometheus.NewDesc("restante_sessions_attached", "Sessions whose clients this process sees.", nil, nil),
	prometheus.NewDesc("restante_updated_timestamp_seconds", "When the last modification was committed.", nil, nil),
	prometheus.NewDesc("restante_ready", "1 if requests can be served.", nil, nil),
	prometheus.NewDesc("restante_prune_failing", "Things that could not be pruned and are tried again later.", nil, nil),
}

// Describe implements [prometheus.Collector].
func (statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{statusMetrics.things, statusMetrics.attached, statusMetrics.updated, statusMetrics.ready, statusMetrics.failing} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.s.Service.Status(context.Background()) // it has a time limit of its own
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(statusMetrics.things, float64(now.Counts.Nameplates), "nameplate")
	gauge(statusMetrics.things, float64(now.Counts.Mailboxes), "mailbox")
	gauge(statusMetrics.things, float64(now.Counts.Messages), "message")
	gauge(statusMetrics.things, float64(now.Counts.Sessions), "session")
	gauge(statusMetrics.attached, float64(now.Attached))
	gauge(statusMetrics.updated, float64(unixMillis(now.Updated))/1000)
	gauge(statusMetrics.failing, float64(len(now.Failures)))
	ready := 0.0
	if now.Ready {
		ready = 1
	}
	gauge(statusMetrics.ready, ready)
}
