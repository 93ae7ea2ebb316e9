package handlers

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"restante/rendezvous"
)

// otherLabel stands for all values that have no counter of their own.
const otherLabel = "other"

// maxLabel is the length of the longest label that a client may make up, in characters.
const maxLabel = 100

// boundedLabel turns what clients make up into labels: the first values as they are, and all others as one. Otherwise
// clients could fill the memory of the server and of Prometheus.
type boundedLabel struct {
	most int // values that are labels as they are

	mu    sync.Mutex
	known map[string]bool
}

// of returns the label for a value.
func (b *boundedLabel) of(value string) string {
	if utf8.RuneCountInString(value) > maxLabel || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return otherLabel
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known[value] {
		return value
	}
	if len(b.known) >= b.most {
		return otherLabel
	}
	if b.known == nil {
		b.known = map[string]bool{}
	}
	b.known[value] = true
	return value
}

// appMetrics counts by app. It counts nothing if no apps are counted apart.
type appMetrics struct {
	apps                       *boundedLabel
	clients, messages, retired *prometheus.CounterVec // nil: counts nothing
}

func newAppMetrics(registry prometheus.Registerer, most int) *appMetrics {
	if most <= 0 {
		return &appMetrics{}
	}
	a := &appMetrics{
		apps:     &boundedLabel{most: most},
		clients:  counter("restante_app_clients_total", "Clients that began a session or bound, by app; only with --metrics-by-app.", "app"),
		messages: counter("restante_app_messages_total", "Messages that were added, by app; only with --metrics-by-app.", "app"),
		retired:  counter("restante_app_retired_total", "Nameplates and mailboxes that were retired, by app and result; only with --metrics-by-app.", "app", "kind", "result"),
	}
	a.clients.WithLabelValues(otherLabel)
	a.messages.WithLabelValues(otherLabel)
	a.retired.WithLabelValues(otherLabel, string(rendezvous.KindMailbox), string(rendezvous.ResultHappy))
	registry.MustRegister(a.clients, a.messages, a.retired)
	return a
}

func (a *appMetrics) client(app rendezvous.AppID) {
	if a.clients != nil {
		a.clients.WithLabelValues(a.apps.of(string(app))).Inc()
	}
}

func (a *appMetrics) added(app rendezvous.AppID, messages int) {
	if a.messages != nil {
		a.messages.WithLabelValues(a.apps.of(string(app))).Add(float64(messages))
	}
}

func (a *appMetrics) retire(app rendezvous.AppID, kind rendezvous.Kind, result rendezvous.Result) {
	if a.retired != nil {
		a.retired.WithLabelValues(a.apps.of(string(app)), string(kind), string(result)).Inc()
	}
}
