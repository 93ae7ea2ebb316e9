package handlers_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/internal/tracing"
	"restante/internal/tracing/tracingtest"
)

// traced starts a server that is traced, and the receiver of its spans, which are exported soon after they end.
func traced(t *testing.T) (*testServer, *tracingtest.Receiver) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	spans := tracingtest.Start(t)
	tracer, err := tracing.New(t.Context(), tracing.Options{Endpoint: spans.URL, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := tracer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return start(t, options{Tracer: tracer}), spans
}

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
)

// The span of a request is of its client's trace, and of the route and not the path; that of its transaction is below
// it. The poll that delivers a message, whether it waited or not, is linked to the add.
func TestTraces(t *testing.T) {
	w, spans := traced(t)
	a, b := twoSides(t, w)
	a.poll(1).want(http.StatusOK)
	poll := a.get("/v1/session/events?ack=1").later()
	handlerstest.Eventually(t, func() bool { return w.Service.Stats().Parked.Load() == 1 })
	b.add("m", "p", "hello").with("Traceparent: 00-" + parentTrace + "-" + parentSpan + "-01").want(http.StatusCreated)
	if got := <-poll; got.status != http.StatusOK {
		t.Errorf("the poll is answered %d", got.status)
	}
	a.get("/v1/mailboxes/m/messages").want(http.StatusOK)
	stream := a.get("/v1/session/events?ack=1").streams()
	stream.next("heartbeat")
	stream.frame(1)
	stream.cut()
	w.anonymous(t).get("/livez").want(http.StatusOK)
	var adds []tracingtest.Span
	handlerstest.Eventually(t, func() bool { adds = spans.Spans("POST /v1/mailboxes/{mailbox}/messages"); return len(adds) > 0 })
	if len(adds) != 1 || adds[0].Trace != parentTrace || adds[0].Parent != parentSpan {
		t.Fatalf("the adds are %+v", adds)
	}
	add := adds[0]
	if !strings.Contains(add.Attributes["http.response.status_code"], "201") || !strings.Contains(add.Attributes["service.name"], "restante") {
		t.Errorf("the add has %q", add.Attributes)
	}
	has := func(name string, is func(tracingtest.Span) bool) {
		t.Helper()
		if !handlerstest.Eventually(t, func() bool { return slices.ContainsFunc(spans.Spans(name), is) }) {
			t.Errorf("no %s is linked to the add, or below it: %+v", name, spans.Spans(name))
		}
	}
	has("transaction", func(s tracingtest.Span) bool { return s.Parent == add.ID && s.Trace == parentTrace })
	for _, name := range []string{"GET /v1/session/events", "GET /v1/mailboxes/{mailbox}/messages", "deliver"} {
		has(name, func(s tracingtest.Span) bool {
			return slices.Equal(s.Links, []string{add.ID}) && s.Trace != parentTrace
		})
	}
	if probes := spans.Spans("GET /livez"); len(probes) > 0 {
		t.Errorf("probes are traced: %+v", probes)
	}
	if !strings.Contains(w.Logs.String(), `"trace":"`+add.Trace+`"`) {
		t.Error("the log does not name the trace")
	}
}

// What a wormhole client adds and what it is sent are linked, too; its own echoes are no deliveries.
func TestTracesOfWormholeClients(t *testing.T) {
	w, spans := traced(t)
	a, b := w.Bind(t, "app", "a"), w.Bind(t, "app", "b")
	a.Open("m")
	b.Open("m")
	a.Add("p", "00")
	b.WantMessages("00")
	var linked []tracingtest.Span
	if !handlerstest.Eventually(t, func() bool {
		linked = slices.DeleteFunc(spans.Spans("wormhole deliver"), func(s tracingtest.Span) bool { return len(s.Links) == 0 })
		return len(linked) > 0 && len(spans.Spans("wormhole add")) == 1
	}) {
		t.Fatalf("the deliveries are %+v", spans.Spans("wormhole deliver"))
	}
	if add := spans.Spans("wormhole add")[0]; len(linked) != 1 || !slices.Equal(linked[0].Links, []string{add.ID}) {
		t.Errorf("linked to the add %s are %+v", add.ID, linked)
	}
}
