package handlers_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"restante/handlers"
)

// metric fails the test unless the server serves a line of metrics.
func (w *testServer) metric(t *testing.T, line string) {
	t.Helper()
	if got := w.anonymous(t).get("/metrics").want(http.StatusOK); !strings.Contains(string(got.body), line+"\n") {
		name, _, _ := strings.Cut(line, "{")
		for served := range strings.Lines(string(got.body)) {
			if strings.HasPrefix(served, name) {
				t.Log(strings.TrimSpace(served))
			}
		}
		t.Errorf("there is no %s", line)
	}
}

// A request that is refused before it is routed counts for its route all the same, also below a path.
func TestMetricsOfRefusedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, BasePath: "/mail", Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 1, 1 }})
		n := w.anonymous(t)
		n.get("/v1/session").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
		n.get("/v1/session").refused(http.StatusTooManyRequests, "RATE_LIMITED")
		n.get("/mail/v1/mailboxes/m").refused(http.StatusTooManyRequests, "RATE_LIMITED")
		n.get("/nothing").refused(http.StatusTooManyRequests, "RATE_LIMITED")
		w.metric(t, `restante_http_requests_total{method="GET",route="/v1/session",status="429"} 1`)
		w.metric(t, `restante_http_requests_total{method="GET",route="/v1/mailboxes/{mailbox}",status="429"} 1`)
		w.metric(t, `restante_http_requests_total{method="GET",route="unmatched",status="429"} 1`)
		w.metric(t, `restante_problems_total{code="RATE_LIMITED"} 3`)
		w.metric(t, `restante_problems_total{code="INTERNAL"} 0`)
	})
}

// A request whose client has left before there was an answer has no status, and is counted apart.
func TestMetricsOfAbandonedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, _ := twoSides(t, w)
		a.poll(1).want(http.StatusOK)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := a.get("/v1/session/events?ack=1").exchange(ctx)
			left <- err
		}()
		synctest.Wait()
		w.metric(t, `restante_clients{transport="poll"} 1`)
		cancel()
		if err := <-left; err == nil {
			t.Error("the client got an answer")
		}
		synctest.Wait()
		w.metric(t, `restante_clients{transport="poll"} 0`)
		w.metric(t, `restante_http_requests_total{method="GET",route="/v1/session/events",status="abandoned"} 1`)
	})
}

// Native histograms are in the binary format, which a scraper has to ask for.
func TestMetricsInBinary(t *testing.T) {
	w := start(t, options{})
	for accept, want := range map[string]string{
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited, text/plain;q=0.5": "application/vnd.google.protobuf",
		"application/vnd.google.protobuf;q=0.1, text/plain":                                                            "text/plain",
		"application/openmetrics-text, */*":                                                                            "text/plain",
		"*/*":                                                                                                          "text/plain",
	} {
		got := w.anonymous(t).get("/metrics").with("Accept: " + accept).want(http.StatusOK)
		if media := got.header.Get("Content-Type"); !strings.HasPrefix(media, want) {
			t.Errorf("to %s it is %s", accept, media)
		}
	}
	w.metric(t, `restante_ready 1`)
	if got := w.anonymous(t).get("/metrics").want(http.StatusOK); strings.Contains(string(got.body), `restante_transaction_duration_seconds_count{kind="read"} 0`) {
		t.Error("no transaction was measured")
	}
}

// An answer names its line in the log, which names the trace of the client, if that is one.
func TestRequestsAreFoundInTheLog(t *testing.T) {
	w := start(t, options{})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + trace + "-00f067aa0ba902b7-01":                       trace,
		"01-" + trace + "-00f067aa0ba902b7-01-more":                  trace,
		"ff-" + trace + "-00f067aa0ba902b7-01":                       "",
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01":     "",
		"00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01":      "",
		"secret-words-that-are-no-trace":                             "",
		"00-" + trace + "-00f067aa0ba902b7-01, 00-" + trace + "-0-1": "",
	} {
		id := w.anonymous(t).get("/v1/session").with("Traceparent: " + header).want(http.StatusUnauthorized).header.Get("X-Request-ID")
		var line string
		for l := range strings.Lines(w.Logs.String()) {
			if id != "" && strings.Contains(l, `"request":"`+id+`"`) {
				line = l
			}
		}
		if line == "" || strings.Contains(line, `"trace":"`+trace+`"`) != (want != "") || strings.Contains(line, `"trace"`) != (want != "") {
			t.Errorf("to %s, the line of %q is %s", header, id, line)
		}
	}
	w.Secret("secret-words-that-are-no-trace")
}

// What wormhole clients ask for is counted by its type and by what became of it; what they make up is "other".
func TestMetricsOfWormholeCommands(t *testing.T) {
	r := start(t, options{})
	c := r.Bind(t, "app", "a")
	c.Request("claimed", "claim", "nameplate", "4")
	c.Request("error", "claim", "nameplate", "4")
	c.Request("error", "made-up-by-a-client")
	r.metric(t, `restante_wormhole_commands_total{command="bind",outcome="ok"} 1`)
	r.metric(t, `restante_wormhole_commands_total{command="claim",outcome="ok"} 1`)
	r.metric(t, `restante_wormhole_commands_total{command="claim",outcome="only one claim per connection"} 1`)
	r.metric(t, `restante_wormhole_commands_total{command="other",outcome="unknown type"} 1`)
}

// What is retired is counted by its result, once.
func TestMetricsOfResults(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	w.metric(t, `restante_retired_total{kind="mailbox",result="happy"} 0`)
	a.delete("/v1/mailboxes/m?mood=happy").want(http.StatusNoContent)
	b.delete("/v1/mailboxes/m?mood=scary").want(http.StatusNoContent)
	a.put("/v1/nameplates/7").want(http.StatusOK)
	a.delete("/v1/nameplates/7").want(http.StatusNoContent)
	w.metric(t, `restante_retired_total{kind="mailbox",result="scary"} 1`)
	w.metric(t, `restante_retired_total{kind="nameplate",result="lonely"} 1`)
}
