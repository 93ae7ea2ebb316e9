package handlers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restante/handlers"
	"restante/rendezvous"
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

// slowReads is a store that counts what is read, each of which takes a while.
type slowReads struct {
	rendezvous.Store
	reads *atomic.Int64
}

func (s slowReads) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	s.reads.Add(1)
	time.Sleep(time.Millisecond)
	return s.Store.View(ctx, f)
}

// Nor does the status: of a crowd that asks at once, one asks the storage, and the others get the same answer, for as
// long as metrics are remembered.
func TestTheStatusIsRemembered(t *testing.T) {
	var reads atomic.Int64
	s := options{
		Limits: func(l *handlers.Limits) { l.Metrics = 250 * time.Millisecond },
		Wrap:   func(s rendezvous.Store) rendezvous.Store { return slowReads{s, &reads} },
	}
	bubble(t, s, func(t *testing.T, w *testServer) {
		pass(1500 * time.Millisecond) // the server itself reads each second
		ask := func(crowd int) (took int64) {
			before := reads.Load()
			var answers []<-chan *answer
			for range crowd {
				answers = append(answers, w.anonymous(t).get("/v1/status").later())
			}
			for _, one := range answers {
				if got := <-one; got.status != http.StatusOK || got.at("ready") != true {
					t.Errorf("it is answered %d %s", got.status, got.body)
				}
			}
			return reads.Load() - before
		}
		w.begin(t, "app", "a")
		first := ask(50)
		if alone := func() int64 { pass(time.Second); return ask(1) }(); first == 0 || first != alone {
			t.Errorf("50 at once have the storage read %d times, and one alone %d times", first, alone)
		}
		pass(100 * time.Millisecond)
		if again := ask(50); again != 0 {
			t.Errorf("a tenth of a second later, the storage is read %d times again", again)
		}
		pass(150 * time.Millisecond)
		if later := ask(1); later == 0 {
			t.Error("a quarter of a second later, the storage is not read again")
		}
	})
}

// That the server is not ready is said at once, and not remembered.
func TestAStatusThatIsNotReadyIsNotRemembered(t *testing.T) {
	full := new(atomic.Bool)
	s := options{
		Limits: func(l *handlers.Limits) { l.Metrics = time.Hour },
		Wrap:   func(s rendezvous.Store) rendezvous.Store { return refusing{s, full} },
	}
	bubble(t, s, func(t *testing.T, w *testServer) {
		a := w.begin(t, "app", "a")
		status := func(ready bool, storage string) {
			t.Helper()
			got := w.anonymous(t).get("/v1/status").want(http.StatusOK)
			if got.at("ready") != ready || got.text("storage") != storage {
				t.Errorf("its status is %s", got.body)
			}
		}
		status(true, "ok")
		full.Store(true)
		a.post("/v1/nameplates", "").refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE")
		status(false, "unavailable")
		full.Store(false)
		pass(5 * time.Second)
		status(true, "ok")
		w.Service.Drain()
		status(false, "ok")
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
