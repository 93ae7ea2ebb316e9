package handlers

import (
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// rememberedMetrics gives the answers of a handler again for a while. Collecting metrics costs more than most requests,
// and any client may ask for them as often as it likes.
type rememberedMetrics struct {
	served http.Handler
	age    time.Duration // for how long

	mu      sync.Mutex // also held while one is made, so that the others wait for it
	answers map[metricsForm]*metricsAnswer
}

// metricsForm is all that an answer depends on. There are few, so that few answers are remembered.
type metricsForm struct {
	accept   string
	encoding string // gzip, or empty for none
}

// metricsAnswer is an answer in one form.
type metricsAnswer struct {
	recorder

	until time.Time
}

// ServeHTTP implements [http.Handler].
func (m *rememberedMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := m.answer(metricsFormOf(r))
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // if it fails, the client has left
}

// metricsFormOf returns the form that a request asks for. A scraper may prefer formats that the contract does not
// promise; it is given one that it promises.
func metricsFormOf(r *http.Request) (form metricsForm) {
	accept := r.Header.Values("Accept")
	form.accept = "text/plain"
	if names(accept, protobuf) && weight(accept, protobuf) >= weight(accept, "text/plain") {
		form.accept = protobuf + "; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	}
	if takesGzip(r) {
		form.encoding = "gzip"
	}
	return form
}

// answer returns what is remembered for a form, or makes it.
func (m *rememberedMetrics) answer(form metricsForm) *metricsAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.answers[form]; a != nil && time.Now().Before(a.until) {
		return a
	}
	a := &metricsAnswer{recorder: recorder{header: http.Header{}}}
	m.served.ServeHTTP(&a.recorder, form.request())
	a.WriteHeader(http.StatusOK) // unless there is a status
	a.until = time.Now().Add(m.age)
	if m.answers == nil {
		m.answers = map[metricsForm]*metricsAnswer{}
	}
	m.answers[form] = a
	return a
}

// request returns a request for the form. It has nothing of the client's own: by name[] in the query, a client could
// leave metrics out of the answer that the others are given.
func (f metricsForm) request() *http.Request {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/metrics"}, Header: http.Header{"Accept": {f.accept}}}
	if f.encoding != "" {
		r.Header.Set("Accept-Encoding", f.encoding)
	}
	return r
}
