package handlers

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// protobuf is the media type of Prometheus's binary format, which is the only one that has native histograms.
const protobuf = "application/vnd.google.protobuf"

// metrics serves what is counted, in a format of Prometheus.
type metrics struct {
	http.Handler
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.CounterVec
	commands *prometheus.CounterVec
	limits   *limitHits
	answered atomic.Int64 // requests
	failed   atomic.Int64 // of these, those with 5xx
	resolved sync.Map     // *outcomeMetrics by outcomeKey
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restante_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "restante_http_request_duration_seconds", Help: "Time to answer, by route; a receive is held on purpose.",
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30},
		}, []string{"route"}),
	}
	m.problems = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "restante_problems_total", Help: "Requests that were refused or failed, by the code of the problem: which limits are hit, for example.",
	}, []string{"code"})
	for code := range meanings {
		m.problems.WithLabelValues(string(code)) // so that the first one of a code is an increase
	}
	m.commands = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "restante_wormhole_commands_total", Help: "Commands of wormhole clients, by type and by what became of them: ok, the error that they were told, refused for another one, or failed.",
	}, []string{"command", "outcome"})
	m.commands.WithLabelValues("bind", "ok") // so that the metric is there from the start
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "restante_build_info", Help: "1, with the version of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": s.Version, "go": runtime.Version()},
	})
	build.Set(1)
	m.limits = newLimitHits(s.RefusedConnections)
	registry := prometheus.NewRegistry()
	s.Service.Observe(m.observer(registry, s.MetricsByApp, s.Tracer))
	registry.MustRegister(m.requests, m.duration, m.problems, m.commands, build, m.limits, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), statusCollector{s})
	stats := s.Service.Stats()
	for _, c := range []struct {
		name, help string
		count      *atomic.Int64
	}{
		{"restante_frames_total", "Frames handed out, repeated ones included.", &stats.Frames},
		{"restante_heartbeats_total", "Receives that ended without a frame, and heartbeats of streams.", &stats.Heartbeats},
		{"restante_superseded_total", "Receives that made way for another.", &stats.Superseded},
		{"restante_replayed_total", "Repeated commands that got their recorded reply.", &stats.Replayed},
		{"restante_overflowed_total", "Sessions ended because their frames piled up.", &stats.Overflowed},
		{"restante_prune_runs_total", "Runs of pruning.", &stats.PruneRuns},
		{"restante_prune_good_runs_total", "Runs of pruning in which nothing failed.", &stats.PruneGood},
		{"restante_prune_failures_total", "Things that could not be pruned, each time.", &stats.PruneFailed},
		{"restante_storage_failures_total", "Transactions that the storage could not serve.", &stats.StorageFails},
		{"restante_transactions_retried_total", "Transactions that lost against others and were run again.", &stats.Retried},
		{"restante_webhooks_told_total", "Events that a webhook took.", &stats.Told},
		{"restante_webhooks_failures_total", "Attempts to tell a webhook that failed.", &stats.NotTold},
		{"restante_webhooks_refused_total", "Attempts that failed because the receiver has an address to which this server does not connect.", &stats.Refused},
		{"restante_wakes_lost_total", "Topics of news that other replicas could not be told of; then they are told that there was something.", &stats.Lost},
		{"restante_wakes_missed_total", "Times that news of other replicas may have been missed, so that every reader was woken.", &stats.Missed},
		{"restante_wakes_announced_total", "Topics of news that other replicas were told of.", &stats.Announced},
		{"restante_wakes_heard_total", "Topics of news that other replicas told of.", &stats.Heard},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.count.Load()) }))
	}
	for outcome, count := range map[string]*atomic.Int64{"new": &stats.Begun, "resumed": &stats.Resumed, "rejected": &stats.Rejected} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "restante_handshakes_total", Help: "Handshakes by outcome.", ConstLabels: prometheus.Labels{"outcome": outcome},
		}, func() float64 { return float64(count.Load()) }))
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "restante_receives_parked", Help: "Receives that are held now."},
		func() float64 { return float64(stats.Parked.Load()) }))
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "restante_streams_open", Help: "Event streams and session sockets that are open now."},
		func() float64 { return float64(stats.Streams.Load()) }))
	m.Handler = &rememberedMetrics{served: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), age: s.Limits.Metrics}
	return m
}

func (m *metrics) observe(verb, route string, info *requestInfo, took time.Duration) {
	if info.code != "" {
		m.problems.WithLabelValues(string(info.code)).Inc()
	}
	m.answered.Add(1)
	if info.status >= http.StatusInternalServerError {
		m.failed.Add(1)
	}
	of := m.resolve(outcomeKey{verb, route, info.status})
	of.requests.Inc()
	of.duration.Observe(took.Seconds())
}

// outcomeKey is what requests are counted by.
type outcomeKey struct {
	verb, route string
	status      int
}

// outcomeMetrics count the requests of one kind.
type outcomeMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// resolve returns the metrics of a kind of request. There are few kinds: verbs, routes and statuses are the server's.
func (m *metrics) resolve(k outcomeKey) *outcomeMetrics {
	if known, is := m.resolved.Load(k); is {
		return known.(*outcomeMetrics) //nolint:forcetypeassert // it has nothing else
	}
	status := strconv.Itoa(k.status)
	if k.status == 0 {
		status = "abandoned" // the client left before there was an answer
	}
	of := &outcomeMetrics{m.requests.WithLabelValues(k.verb, k.route, status), m.duration.WithLabelValues(k.route)}
	m.resolved.Store(k, of)
	return of
}

// command counts a command of a wormhole client.
func (m *metrics) command(command, outcome string) {
	m.commands.WithLabelValues(command, outcome).Inc()
}
