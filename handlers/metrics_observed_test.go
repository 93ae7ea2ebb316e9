package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// Each poll is counted by how it ended.
func TestMetricsOfPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		w.metric(t, `restante_polls_total{ending="answered"} 0`)
		a.poll(0).want(http.StatusOK)
		w.metric(t, `restante_polls_total{ending="answered"} 1`)
		a.poll(1).want(http.StatusOK)
		w.metric(t, `restante_polls_total{ending="heartbeat"} 1`)
		first := a.get("/v1/session/events?ack=1").later()
		synctest.Wait()
		second := a.get("/v1/session/events?ack=1").later()
		if got := <-first; got.status != http.StatusConflict {
			t.Errorf("the first poll was answered %d", got.status)
		}
		w.metric(t, `restante_polls_total{ending="superseded"} 1`)
		b.add("m", "p", "hello").want(http.StatusCreated)
		if got := <-second; got.status != http.StatusOK {
			t.Errorf("the second poll was answered %d", got.status)
		}
		w.metric(t, `restante_polls_total{ending="answered"} 2`)
		read := b.get("/v1/mailboxes/m/messages?after=1&wait=1").later()
		pass(2 * time.Second)
		if got := <-read; got.status != http.StatusOK {
			t.Errorf("the read was answered %d", got.status)
		}
		w.metric(t, `restante_polls_total{ending="heartbeat"} 2`)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := a.get("/v1/session/events?ack=2").exchange(ctx)
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; err == nil {
			t.Error("a poll that was abandoned is answered")
		}
		synctest.Wait()
		w.metric(t, `restante_polls_total{ending="abandoned"} 1`)
		last := a.get("/v1/session/events?ack=2").later()
		synctest.Wait()
		w.Service.Drain()
		<-last
		w.metric(t, `restante_polls_total{ending="stopping"} 1`)
	})
}

// Only what is handed to a client that waited for it says how long the server takes.
func TestMetricsOfDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		b.add("m", "p", "before").want(http.StatusCreated)
		pass(time.Second)
		a.poll(0).want(http.StatusOK)
		w.metric(t, `restante_delivery_duration_seconds_count{transport="poll"} 0`)
		poll := a.get("/v1/session/events?ack=2").later()
		synctest.Wait()
		b.add("m", "p", `"serverRx":1`).want(http.StatusCreated)
		<-poll
		w.metric(t, `restante_delivery_duration_seconds_count{transport="poll"} 1`)
		w.metric(t, `restante_delivery_duration_seconds_bucket{transport="poll",le="0.001"} 1`)
		pass(time.Second)
		a.poll(2).want(http.StatusOK)
		w.metric(t, `restante_delivery_duration_seconds_count{transport="poll"} 1`)
		stream := a.get("/v1/session/events?ack=3").streams()
		stream.next("heartbeat")
		b.add("m", "p", "to the stream").want(http.StatusCreated)
		stream.frame(3)
		w.metric(t, `restante_delivery_duration_seconds_count{transport="stream"} 1`)
		stream.cut()
		read := a.get("/v1/mailboxes/m/messages?after=3&wait=5").later()
		synctest.Wait()
		b.add("m", "p", "to the read").want(http.StatusCreated)
		<-read
		w.metric(t, `restante_delivery_duration_seconds_count{transport="poll"} 2`)
	})
}

// A wormhole client is handed its own messages, too; those are no deliveries.
func TestMetricsOfDeliveryToWormholeClients(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, r *testServer) {
		a, b := r.Bind(t, "app", "a"), r.Bind(t, "app", "b")
		a.Open("m")
		b.Open("m")
		a.Add("p", "00")
		b.WantMessages("00")
		synctest.Wait()
		r.metric(t, `restante_delivery_duration_seconds_count{transport="wormhole"} 1`)
		r.metric(t, `restante_client_versions_total{client="unknown"} 2`)
	})
}

// Clients make up names, so only so many of them have a counter.
func TestMetricsOfClientVersions(t *testing.T) {
	w := start(t, options{})
	n := w.anonymous(t)
	for i := range 52 {
		n.post("/v1/sessions", hello("clientVersion", fmt.Sprintf(`["made-up", "%d"]`, i))).want(http.StatusCreated)
	}
	w.metric(t, `restante_client_versions_total{client="made-up/0"} 1`)
	w.metric(t, `restante_client_versions_total{client="made-up/49"} 1`)
	w.metric(t, `restante_client_versions_total{client="other"} 2`)
}

// Each refusal for a limit counts for the flag that sets it.
func TestMetricsOfLimits(t *testing.T) {
	w := start(t, options{
		Config: func(c *rendezvous.Config) {
			c.Limits.Mailboxes, c.Limits.MailboxMessages, c.Limits.Nameplates = 1, 1, 1
		},
		Limits: func(l *handlers.Limits) { l.Body, l.Sockets = 1000, 1 },
	})
	a, _ := twoSides(t, w)
	w.metric(t, `restante_limits_hit_total{limit="max-mailboxes"} 0`)
	a.open("another").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.add("m", "p", "1").want(http.StatusCreated)
	a.add("m", "p", "2").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.add("m", "p", strings.Repeat("x", 2000)).refused(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	a.get("/v1/session/events").streams().next("heartbeat")
	if _, refusal := a.get("/v1/session/events").tryStream(); refusal == nil {
		t.Error("there are two streams of one address")
	}
	w.metric(t, `restante_limits_hit_total{limit="max-mailboxes"} 1`)
	w.metric(t, `restante_limits_hit_total{limit="max-messages"} 1`)
	w.metric(t, `restante_limits_hit_total{limit="max-body"} 1`)
	w.metric(t, `restante_limits_hit_total{limit="max-sockets"} 1`)
	w.metric(t, `restante_limits_hit_total{limit="max-nameplates"} 0`)
}

// Apps are counted apart only if that is asked for, and only so many of them.
func TestMetricsByApp(t *testing.T) {
	w := start(t, options{MetricsByApp: 1})
	a, _ := twoSides(t, w)
	a.add("m", "p", "1").want(http.StatusCreated)
	other := w.begin(t, "another", "a")
	other.open("m").want(http.StatusOK)
	other.add("m", "p", "1").want(http.StatusCreated)
	other.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	w.metric(t, `restante_app_clients_total{app="app"} 2`)
	w.metric(t, `restante_app_clients_total{app="other"} 1`)
	w.metric(t, `restante_app_messages_total{app="app"} 1`)
	w.metric(t, `restante_app_messages_total{app="other"} 1`)
	w.metric(t, `restante_app_retired_total{app="other",kind="mailbox",result="lonely"} 1`)
	without := start(t, options{})
	twoSides(t, without)
	if got := without.anonymous(t).get("/metrics").want(http.StatusOK); bytes.Contains(got.body, []byte("restante_app_")) {
		t.Error("apps are counted although that is not asked for")
	}
}

// families returns the metrics in the binary format.
func (w *testServer) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	got := w.anonymous(t).get("/metrics").with("Accept: " + string(format)).want(http.StatusOK)
	decoder, all := expfmt.NewDecoder(bytes.NewReader(got.body), format), map[string]*dto.MetricFamily{}
	for {
		family := &dto.MetricFamily{}
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[family.GetName()] = family
	}
}

// In the binary format, each histogram is a native one.
func TestHistogramsAreNative(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	poll := a.get("/v1/session/events?ack=1").later()
	handlerstest.Eventually(t, func() bool { return w.Service.Stats().Parked.Load() == 1 })
	b.add("m", "p", "hello").want(http.StatusCreated)
	<-poll
	families := w.families(t)
	for _, name := range []string{
		"restante_http_request_duration_seconds", "restante_transaction_duration_seconds", "restante_batch_updates", "restante_delivery_duration_seconds",
	} {
		samples, spans := uint64(0), 0
		for _, m := range families[name].GetMetric() {
			samples += m.GetHistogram().GetSampleCount()
			spans += len(m.GetHistogram().GetPositiveSpan())
		}
		if samples == 0 || spans == 0 {
			t.Errorf("%s has %d samples in %d spans of native buckets", name, samples, spans)
		}
	}
}
