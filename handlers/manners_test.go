package handlers_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

// HEAD is answered with the headers of GET. Only GETs that do more than look have no HEAD.
func TestHead(t *testing.T) {
	w := start(t, options{Pages: site})
	a, b := twoSides(t, w)
	b.add("m", "p", "b").want(http.StatusCreated)
	n := w.anonymous(t)
	for path, c := range map[string]*client{
		"/": n, "/docs": n, "/assets/page.js": n, "/v1": n, "/v1/": n, "/openapi.yaml": n, "/openapi.json": n,
		"/livez": n, "/readyz": n, "/metrics": n, "/v1/status": n, "/nothing": n, "/v1/session?x=1": n,
		"/v1/session": a, "/v1/nameplates": a, "/v1/mailboxes/m": a, "/v1/mailboxes/none": a, "/v1/mailboxes/m/messages": a,
		"/v1/mailboxes/m/messages?limit=x": a,
	} {
		got := c.get(path).send()
		head := c.ask(http.MethodHead, path, "").send()
		if head.status != got.status || len(head.body) > 0 {
			t.Errorf("HEAD %s is answered %d %q, GET %d", path, head.status, head.body, got.status)
		}
		for name := range got.header {
			switch name {
			case "Date", "Content-Length", "X-Request-Id": // the length may be left out, or differ where the answer has the time in it
			default:
				if strings.Join(head.header[name], ";") != strings.Join(got.header[name], ";") {
					t.Errorf("HEAD %s has %s %q, GET %q", path, name, head.header[name], got.header[name])
				}
			}
		}
	}
}

// HEAD does not take the place of a receiver.
func TestHeadReceivesNothing(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	parked := a.get("/v1/session/events?ack=1").later()
	for _, path := range []string{"/v1/session/events", "/v1/session/socket"} {
		got := a.ask(http.MethodHead, path, "").want(http.StatusMethodNotAllowed)
		if got.header.Get("Allow") != "GET" {
			t.Errorf("%s allows %s", path, got.header.Get("Allow"))
		}
	}
	b.add("m", "p", "b").want(http.StatusCreated)
	if got := <-parked; got.status != http.StatusOK || got.count("frames") != 1 {
		t.Errorf("the receiver is answered %d %s", got.status, got.body)
	}
}

// A cache keeps an answer with 404, 405 or 410 for a while unless it is told not to.
func TestNothingIsKeptThatChanges(t *testing.T) {
	w := start(t, options{Pages: site})
	n := w.anonymous(t)
	for path, want := range map[string]string{
		"/livez": "no-store", "/readyz": "no-store", "/metrics": "no-store", "/v1/status": "no-store", "/nothing": "no-store",
		"/": "no-cache", "/v1": "no-cache", "/docs": "no-cache", "/assets/page.js": "no-cache", "/openapi.yaml": "max-age=300",
	} {
		n.get(path).send().says("Cache-Control", want)
	}
	n.put("/livez").send().says("Cache-Control", "no-store")
}

// A problem is read by people: what it quotes is not disguised.
func TestProblemsQuoteAsItIs(t *testing.T) {
	w := start(t, options{})
	got := w.anonymous(t).get("/v1/session").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
	if !strings.Contains(string(got.body), "Bearer <sessionId>") {
		t.Errorf("it is %s", got.body)
	}
}

func TestRateLimitHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 2, 5 }})
		n := w.anonymous(t)
		n.get("/v1/status").want(http.StatusOK).says("RateLimit-Policy", `"address";q=5;w=3`).says("RateLimit", `"address";r=4;t=1`)
		n.get("/v1/status").want(http.StatusOK).says("RateLimit", `"address";r=3;t=1`)
		n.get("/nothing").refused(http.StatusNotFound, "NOT_FOUND").says("RateLimit", `"address";r=2;t=2`)
		if probe := n.get("/livez").want(http.StatusOK); len(probe.header.Values("Ratelimit")) > 0 {
			t.Errorf("a probe is not counted, and has RateLimit %q", probe.header.Values("Ratelimit"))
		}
		for range 2 {
			n.get("/v1/status").want(http.StatusOK)
		}
		n.get("/v1/status").refused(http.StatusTooManyRequests, "RATE_LIMITED").says("RateLimit", `"address";r=0;t=3`)
		pass(time.Second)
		n.get("/v1/status").want(http.StatusOK).says("RateLimit", `"address";r=1;t=2`)
	})
}

// A library for event streams connects again to the URL with which it began, and adds Last-Event-ID.
func TestStreamConnectsAgain(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w) // frame 0 of a
	for range 3 {
		b.add("m", "p", "b").want(http.StatusCreated) // frames 1 to 3
	}
	again := func(last string, first int) {
		t.Helper()
		s := a.get("/v1/session/events?ack=0").with("Last-Event-ID: " + last).streams()
		s.next("heartbeat")
		for frame := first; frame <= 3; frame++ {
			s.frame(frame)
		}
		s.cut()
	}
	again("", 0)
	again("1", 2)
	a.post("/v1/session/ack", `{"ack": 3}`).want(http.StatusOK)
	again("2", 3)
	a.get("/v1/session/events?ack=0").with("Accept: text/event-stream").refused(http.StatusConflict, "SUPERSEDED") // without it, old news
}
