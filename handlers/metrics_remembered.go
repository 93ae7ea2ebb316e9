package handlers

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// rememberedMetrics gives the answers of a handler again for a while. Collecting metrics costs more than most requests,
// and any client may ask for them as often as it likes.
type rememberedMetrics struct {
	served http.Handler
	age    time.Duration // for how long

	mu      sync.Mutex // also held while one is made, so that the others wait for it
	answers map[string]*metricsAnswer
}

// metricsAnswer is an answer in one format.
type metricsAnswer struct {
	recorder

	until time.Time
}

// ServeHTTP implements [http.Handler].
func (m *rememberedMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := m.answer(r)
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // if it fails, the client has left
}

// answer returns what is remembered for the format that a request asks for, or makes it.
func (m *rememberedMetrics) answer(r *http.Request) *metricsAnswer {
	format := "text"
	if names(r.Header.Values("Accept"), protobuf) {
		format = protobuf
	}
	encoding := "" // the only one that is served, so that few answers are remembered
	if slices.ContainsFunc(r.Header.Values("Accept-Encoding"), func(v string) bool { return strings.Contains(v, "gzip") }) {
		encoding = "gzip"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.answers[format+encoding]; a != nil && time.Now().Before(a.until) {
		return a
	}
	a := &metricsAnswer{recorder: recorder{header: http.Header{}}}
	asked := r.Clone(r.Context())
	asked.Header.Del("Accept-Encoding")
	if encoding != "" {
		asked.Header.Set("Accept-Encoding", encoding)
	}
	m.served.ServeHTTP(&a.recorder, asked)
	a.WriteHeader(http.StatusOK) // unless there is a status
	a.until = time.Now().Add(m.age)
	if m.answers == nil {
		m.answers = map[string]*metricsAnswer{}
	}
	m.answers[format+encoding] = a
	return a
}
