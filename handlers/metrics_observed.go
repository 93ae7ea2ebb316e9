package handlers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"restante/internal/tracing"
	"restante/rendezvous"
)

// The resolution of native histograms: a bucket is at most 10 % wider than the one before, and there are at most 160.
const (
	nativeFactor  = 1.1
	nativeBuckets = 160
)

// maxClientVersions is how many versions of clients have a counter of their own.
const maxClientVersions = 50

// observer returns what counts and traces what the service does, and registers the metrics. byApp is how many apps are
// counted apart; 0 counts none of them so.
func (m *metrics) observer(registry prometheus.Registerer, byApp int, tracer *tracing.Tracer) rendezvous.Observer {
	transactions := histogram("restante_transaction_duration_seconds", "Time of transactions, waiting for the writer included, by whether they only read.",
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}, "kind")
	reads, writes := transactions.WithLabelValues("read"), transactions.WithLabelValues("write")
	batches := histogram("restante_batch_updates", "Updates that shared a commit, by commit; only SQLite's share one.", []float64{1, 2, 4, 8, 16, 32, 64, 128})
	batch := batches.WithLabelValues()
	delivered := histogram("restante_delivery_duration_seconds", "Time from adding a message to handing it to a client that was waiting for it, by transport.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 60}, "transport")
	for _, transport := range rendezvous.Transports {
		delivered.WithLabelValues(string(transport))
	}
	polls := counter("restante_polls_total", "Polls, by how they ended: answered, heartbeat, superseded, stopping, abandoned or refused.", "ending")
	for _, ending := range rendezvous.PollEndings {
		polls.WithLabelValues(string(ending)) // so that the first one is an increase
	}
	versions := counter("restante_client_versions_total", "Clients that began a session or bound, by what they say they are: the first 50 names that were met, and other.", "client")
	versions.WithLabelValues(otherLabel)
	known := &boundedLabel{most: maxClientVersions}
	retired := counter("restante_retired_total", "Nameplates and mailboxes that were retired, by the result in their usage records: happy, lonely, scary, errory, pruney, crowded or quiet.", "kind", "result")
	for _, kind := range []rendezvous.Kind{rendezvous.KindNameplate, rendezvous.KindMailbox} {
		for _, result := range rendezvous.Results {
			retired.WithLabelValues(string(kind), string(result))
		}
	}
	registry.MustRegister(transactions, batches, delivered, polls, versions, retired)
	apps := newAppMetrics(registry, byApp)
	return rendezvous.Observer{
		Transaction: func(ctx context.Context, took time.Duration, wrote bool) {
			tracer.Transaction(ctx, took, wrote)
			if wrote {
				writes.Observe(took.Seconds())
			} else {
				reads.Observe(took.Seconds())
			}
		},
		Batch: func(updates int) { batch.Observe(float64(updates)) },
		Added: func(ctx context.Context, app rendezvous.AppID, to rendezvous.MailboxID, messages []rendezvous.Message) {
			apps.added(app, len(messages))
			for _, m := range messages {
				tracer.Added(ctx, string(to), int64(m.Position), m.Received)
			}
		},
		Delivered: func(to rendezvous.Transport, took time.Duration) {
			delivered.WithLabelValues(string(to)).Observe(took.Seconds())
		},
		Poll: func(ending rendezvous.PollEnding) { polls.WithLabelValues(string(ending)).Inc() },
		Client: func(app rendezvous.AppID, version [2]string) {
			versions.WithLabelValues(known.of(clientName(version))).Inc()
			apps.client(app)
		},
		Retired: func(app rendezvous.AppID, kind rendezvous.Kind, result rendezvous.Result) {
			retired.WithLabelValues(string(kind), string(result)).Inc()
			apps.retire(app, kind, result)
		},
		LimitHit: m.limits.hit,
	}
}

// clientName returns what a client says it is, as one label.
func clientName(version [2]string) string {
	switch {
	case version == [2]string{}:
		return "unknown"
	case version[1] == "":
		return version[0]
	}
	return version[0] + "/" + version[1]
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// histogram makes a histogram that has fixed buckets for the text format and is native in the binary one.
func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
	}, labels)
}
