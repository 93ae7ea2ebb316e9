package handlers

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"restante/api"
	"restante/rendezvous"
)

// protobuf is the media type of Prometheus's binary format.
const protobuf = "application/vnd.google.protobuf"

// metrics serves what is counted, in the text format of Prometheus.
type metrics struct {
	http.Handler
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.CounterVec
	commands *prometheus.CounterVec
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
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.duration, m.problems, m.commands, build, m.transactions(s), retired(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), statusCollector{s})
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
		if !names(r.Header.Values("Accept"), protobuf) { // which is the only format that has native histograms
			r.Header.Set("Accept", "text/plain") // the other format that the contract promises, whatever a scraper prefers
		}
		served.ServeHTTP(w, r)
	})
	return m
}

func (m *metrics) observe(verb, route string, info *requestInfo, took time.Duration) {
	status := strconv.Itoa(info.status)
	if info.status == 0 {
		status = "abandoned" // the client left before there was an answer
	}
	if info.code != "" {
		m.problems.WithLabelValues(string(info.code)).Inc()
	}
	m.answered.Add(1)
	if info.status >= http.StatusInternalServerError {
		m.failed.Add(1)
	}
	m.requests.WithLabelValues(method(verb), route, status).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

// command counts a command of a wormhole client.
func (m *metrics) command(command, outcome string) {
	m.commands.WithLabelValues(command, outcome).Inc()
}

// retired returns the counter of what was retired, and has the service count it.
func retired(s *Server) prometheus.Collector {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "restante_retired_total", Help: "Nameplates and mailboxes that were retired, by the result in their usage records: happy, lonely, scary, errory, pruney, crowded or quiet.",
	}, []string{"kind", "result"})
	for _, kind := range []rendezvous.Kind{rendezvous.KindNameplate, rendezvous.KindMailbox} {
		for _, result := range rendezvous.Results {
			count.WithLabelValues(string(kind), string(result))
		}
	}
	s.Service.ObserveRetired(func(kind rendezvous.Kind, result rendezvous.Result) {
		count.WithLabelValues(string(kind), string(result)).Inc()
	})
	return count
}

// The resolution of native histograms: a bucket is at most 10 % wider than the one before, and there are at most 160.
const (
	nativeFactor  = 1.1
	nativeBuckets = 160
)

// transactions returns the histogram of the time of transactions, and has the service observe it.
func (m *metrics) transactions(s *Server) prometheus.Collector {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "restante_transaction_duration_seconds", Help: "Time of transactions, waiting for the writer included, by whether they only read.",
		Buckets:                     []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
	}, []string{"kind"})
	reads, writes := took.WithLabelValues("read"), took.WithLabelValues("write")
	s.Service.ObserveTransactions(func(d time.Duration, wrote bool) {
		if wrote {
			writes.Observe(d.Seconds())
		} else {
			reads.Observe(d.Seconds())
		}
	})
	return took
}

// statusCollector collects the numbers of the status. Monitoring continues when the storage is unavailable.
type statusCollector struct{ s *Server }

// statusGauge is a number of the status.
type statusGauge struct {
	desc  *prometheus.Desc
	value func(api.Status) float64
}

// newStatusGauge makes a gauge with one label at most.
func newStatusGauge(name, help string, value func(api.Status) float64, label ...string) statusGauge {
	var labels prometheus.Labels
	if len(label) == 2 {
		labels = prometheus.Labels{label[0]: label[1]}
	}
	return statusGauge{prometheus.NewDesc(name, help, nil, labels), value}
}

var statusGauges = []statusGauge{
	newStatusGauge("restante_things", thingsHelp, func(s api.Status) float64 { return float64(s.Counts.Nameplates) }, "kind", "nameplate"),
	newStatusGauge("restante_things", thingsHelp, func(s api.Status) float64 { return float64(s.Counts.Mailboxes) }, "kind", "mailbox"),
	newStatusGauge("restante_things", thingsHelp, func(s api.Status) float64 { return float64(s.Counts.Messages) }, "kind", "message"),
	newStatusGauge("restante_things", thingsHelp, func(s api.Status) float64 { return float64(s.Counts.Sessions) }, "kind", "session"),
	newStatusGauge("restante_sessions_attached", "Sessions whose clients this process sees.", func(s api.Status) float64 { return float64(s.Sessions.Attached) }),
	newStatusGauge("restante_sessions_detached", "Live sessions whose clients this process does not see.", func(s api.Status) float64 { return float64(s.Sessions.Detached) }),
	newStatusGauge("restante_clients", clientsHelp, func(s api.Status) float64 { return float64(s.Clients.Polls) }, "transport", "poll"),
	newStatusGauge("restante_clients", clientsHelp, func(s api.Status) float64 { return float64(s.Clients.Streams) }, "transport", "stream"),
	newStatusGauge("restante_clients", clientsHelp, func(s api.Status) float64 { return float64(s.Clients.Sockets) }, "transport", "socket"),
	newStatusGauge("restante_clients", clientsHelp, func(s api.Status) float64 { return float64(s.Clients.Wormhole) }, "transport", "wormhole"),
	newStatusGauge("restante_code_digits", "Digits of the nameplate that was allocated last; 0 before the first.", func(s api.Status) float64 { return float64(s.CodeDigits) }),
	newStatusGauge("restante_storage_bytes", storageHelp, func(s api.Status) float64 { return float64(s.StorageBytes.Database) }, "part", "database"),
	newStatusGauge("restante_storage_bytes", storageHelp, func(s api.Status) float64 { return float64(s.StorageBytes.Log) }, "part", "log"),
	newStatusGauge("restante_clock_skew_seconds", "By how much the storage's clock is ahead of this machine's.", func(s api.Status) float64 { return float64(s.ClockSkewMs) / 1000 }),
	newStatusGauge("restante_updated_timestamp_seconds", "When the last modification was committed.", func(s api.Status) float64 { return float64(s.Updated) / 1000 }),
	newStatusGauge("restante_prune_failing", "Things that could not be pruned and are tried again later.", func(s api.Status) float64 { return float64(len(s.Prune.Failures)) }),
	newStatusGauge("restante_prune_last_good_timestamp_seconds", "When a run of pruning last finished in which nothing failed; the start of the process before the first.", func(s api.Status) float64 {
		if s.Prune.LastGoodAt == nil {
			return float64(s.Started) / 1000
		}
		return float64(*s.Prune.LastGoodAt) / 1000
	}),
	newStatusGauge("restante_ready", "1 if requests can be served.", func(s api.Status) float64 {
		if s.Ready {
			return 1
		}
		return 0
	}),
}

const (
	thingsHelp  = "What is stored, at the last count."
	clientsHelp = "Clients that this process holds now, by transport."
	storageHelp = "The size of the database, and of SQLite's write-ahead log."
)

// Describe implements [prometheus.Collector].
func (statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range statusGauges {
		ch <- g.desc
	}
}

// Collect implements [prometheus.Collector].
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.s.status(context.Background(), true) // it has a time limit of its own
	for _, g := range statusGauges {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(now))
	}
}
