package handlers

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"restante/api"
)

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
	newStatusGauge("restante_prune_interval_seconds", "The time between two runs of pruning, as it is set.", func(s api.Status) float64 { return float64(s.Prune.IntervalMs) / 1000 }),
	newStatusGauge("restante_prune_next_timestamp_seconds", "When the next run of pruning is due; if that is long ago, pruning has stopped.", func(s api.Status) float64 {
		if s.Prune.NextAt == nil {
			return float64(s.Started+s.Prune.IntervalMs) / 1000
		}
		return float64(*s.Prune.NextAt) / 1000
	}),
	newStatusGauge("restante_prune_overdue_seconds", "For how long the oldest thing that is stale has been stale and not pruned; 0 if nothing is stale.", func(s api.Status) float64 { return float64(s.Prune.OverdueMs) / 1000 }),
	newStatusGauge("restante_prune_last_good_timestamp_seconds", "When a run of pruning last finished in which nothing failed; the start of the process before the first.", func(s api.Status) float64 {
		if s.Prune.LastGoodAt == nil {
			return float64(s.Started) / 1000
		}
		return float64(*s.Prune.LastGoodAt) / 1000
	}),
	newStatusGauge("restante_recorded_timestamp_seconds", "When signs of life, acknowledgements and which mailboxes are open were last stored, and nothing failed; the start of the process before the first time.", func(s api.Status) float64 { return float64(s.ServerTime-s.RecordedAgeMs) / 1000 }),
	newStatusGauge("restante_webhooks_pending", "Mailboxes of which a webhook is still to be told something.", func(s api.Status) float64 { return float64(webhookCounts(s).Pending) }),
	newStatusGauge("restante_webhooks_abandoned", "Of these, those for which no attempt is made any more.", func(s api.Status) float64 { return float64(webhookCounts(s).Abandoned) }),
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

// webhookCounts returns what there is to be told to webhooks: nothing if no app has one.
func webhookCounts(s api.Status) api.WebhookCounts {
	if s.Webhooks == nil {
		return api.WebhookCounts{}
	}
	return *s.Webhooks
}
