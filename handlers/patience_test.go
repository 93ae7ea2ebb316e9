package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"restante/handlers"
)

// A session's socket that does not stop asking is answered ever later.
func TestASocketThatGoesOnIsAnsweredEverLater(t *testing.T) {
	bubble(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 5 }}, func(t *testing.T, w *testServer) {
		a := w.begin(t, "app", "a")
		l := a.connects("")
		l.want("heartbeat")
		ask := func(times int) time.Duration {
			began := time.Now()
			for i := range times {
				l.send(fmt.Sprintf(`{"id": "%d", "method": "GET", "path": "/v1/session"}`, i))
				l.want("reply")
			}
			return time.Since(began)
		}
		if took := ask(20); took > 0 {
			t.Errorf("the first 20 took %v", took)
		}
		first, second := ask(100), ask(100)
		if first < time.Second || second < first*3/2 {
			t.Errorf("a hundred refusals took %v, and the next hundred %v", first, second)
		}
		began := time.Now()
		w.anonymous(t).get("/v1/session").refused(http.StatusTooManyRequests, "RATE_LIMITED")
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("without the socket, it takes %v", took)
		}
	})
}

// The networks of one customer have four times what one has.
func TestRateLimitByNetwork(t *testing.T) {
	w := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 2 }})
	from := func(address string) *request {
		return w.anonymous(t).get("/v1/status").with("X-Forwarded-For: " + address)
	}
	for i := range 8 {
		from(fmt.Sprintf("2001:db8:0:%x::1", i)).want(http.StatusOK)
	}
	from("2001:db8:0:9::1").refused(http.StatusTooManyRequests, "RATE_LIMITED")
	from("2001:db8:1:9::1").want(http.StatusOK)
}

// A customer whose networks have used up what they have together is slowed down, whichever of them asks next.
func TestNetworksAreSlowedDownTogether(t *testing.T) {
	w := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 2 }})
	refused := func(network string) (took time.Duration) {
		began := time.Now()
		w.anonymous(t).get("/v1/status").with("X-Forwarded-For: "+network).refused(http.StatusTooManyRequests, "RATE_LIMITED")
		return time.Since(began)
	}
	for i := range 8 {
		w.anonymous(t).get("/v1/status").with(fmt.Sprintf("X-Forwarded-For: 2001:db8:0:%x::1", i)).want(http.StatusOK)
	}
	for i := range 30 {
		refused(fmt.Sprintf("2001:db8:0:a%x::1", i))
	}
	if took := refused("2001:db8:0:b::1"); took < 15*time.Millisecond {
		t.Errorf("after 30 refusals of others, a network is refused within %v", took)
	}
}

// Metrics cost nothing that a stranger can ask for at will: for a second, all get the same.
func TestMetricsAreRemembered(t *testing.T) {
	bubble(t, options{Limits: func(l *handlers.Limits) { l.Metrics = time.Second }}, func(t *testing.T, w *testServer) {
		first := w.anonymous(t).get("/metrics").want(http.StatusOK)
		w.begin(t, "app", "a")
		if again := w.anonymous(t).get("/metrics").want(http.StatusOK); string(again.body) != string(first.body) {
			t.Error("they were collected again at once")
		}
		pass(time.Second)
		if later := w.anonymous(t).get("/metrics").want(http.StatusOK); string(later.body) == string(first.body) {
			t.Error("they were not collected again after a second")
		}
	})
}

// The metrics are given to others again, so what one client asks for changes nothing for the next one.
func TestRememberedMetricsAreWhole(t *testing.T) {
	const (
		binary = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding="
		text   = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
	)
	for _, asked := range []struct{ path, accept string }{
		{"/metrics?name[]=x", "text/plain"},
		{"/metrics?name[]=x", binary + "delimited"},
		{"/metrics", "text/plain; escaping=values"},
		{"/metrics", binary + "text"},
		{"/metrics", "application/vnd.google.protobuf; q=0.1, text/plain"},
	} {
		w := start(t, options{Limits: func(l *handlers.Limits) { l.Metrics = time.Minute }})
		w.anonymous(t).get(asked.path).with("Accept: " + asked.accept).want(http.StatusOK)
		for accept, want := range map[string]string{"*/*": text, binary + "delimited": binary + "delimited; escaping=underscores"} {
			got := w.anonymous(t).get("/metrics").with("Accept: "+accept).want(http.StatusOK).says("Content-Type", want)
			if !strings.Contains(string(got.body), "restante_ready") {
				t.Errorf("after %v, %s has %d bytes of metrics", asked, accept, len(got.body))
			}
		}
	}
}
