package handlers

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"restante/handlers/wormhole"
	"restante/rendezvous"
)

// The limits of requests and connections, by the flags that set them.
const (
	limitRequests    rendezvous.Limit = "request-rate"
	limitBody                         = wormhole.LimitMessage
	limitSockets     rendezvous.Limit = "max-sockets"
	limitIdentify                     = wormhole.LimitBind
	limitSlowReader  rendezvous.Limit = "slow-reader"
	limitConnections rendezvous.Limit = "max-connections"
)

var limitsHitDesc = prometheus.NewDesc("restante_limits_hit_total", "Times that a limit was hit, by the flag that sets it.", []string{"limit"}, nil)

// limitHits counts how often each limit was hit. It is a [prometheus.Collector].
type limitHits struct {
	hits        map[rendezvous.Limit]*atomic.Int64
	connections func() int64 // that were refused; nil: none are
}

func newLimitHits(connections func() int64) *limitHits {
	l := &limitHits{hits: map[rendezvous.Limit]*atomic.Int64{}, connections: connections}
	for _, limit := range append([]rendezvous.Limit{limitRequests, limitBody, limitSockets, limitIdentify, limitSlowReader}, rendezvous.AllLimits...) {
		l.hits[limit] = new(atomic.Int64)
	}
	return l
}

// hit counts a limit that was hit.
func (l *limitHits) hit(limit rendezvous.Limit) {
	if count := l.hits[limit]; count != nil {
		count.Add(1)
	}
}

// refused counts the limit for which a request was refused here. The use cases have told of theirs.
func (l *limitHits) refused(f *rendezvous.Failure) {
	switch f.Limit {
	case limitRequests, limitBody, limitSockets:
		l.hit(f.Limit)
	default:
	}
}

// Describe implements [prometheus.Collector].
func (*limitHits) Describe(ch chan<- *prometheus.Desc) { ch <- limitsHitDesc }

// Collect implements [prometheus.Collector].
func (l *limitHits) Collect(ch chan<- prometheus.Metric) {
	for limit, count := range l.hits {
		ch <- prometheus.MustNewConstMetric(limitsHitDesc, prometheus.CounterValue, float64(count.Load()), string(limit))
	}
	refused := int64(0)
	if l.connections != nil {
		refused = l.connections()
	}
	ch <- prometheus.MustNewConstMetric(limitsHitDesc, prometheus.CounterValue, float64(refused), string(limitConnections))
}
