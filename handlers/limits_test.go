package handlers_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 1, 5 }})
		a := w.begin(t, "app", "a") // 1
		a.open("m").seq(0).want(http.StatusOK)
		for range 20 { // monitoring is not counted
			for _, path := range []string{"/livez", "/readyz", "/metrics"} {
				w.anonymous(t).get(path).want(http.StatusOK)
			}
		}
		w.anonymous(t).get("/").want(http.StatusOK)
		w.anonymous(t).get("/v1/session").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
		w.anonymous(t).get("/nothing").refused(http.StatusNotFound, "NOT_FOUND") // 5
		for _, r := range []*request{
			a.open("m").seq(1), a.get("/v1/session"), a.poll(0), a.delete("/v1/session"), a.post("/v1/session/ack", "{"), a.post("/v1/nameplates", ""),
			a.get("/v1/nameplates"), a.put("/v1/nameplates/x"), a.delete("/v1/nameplates/5"), a.get("/v1/mailboxes/m"), a.delete("/v1/mailboxes/m"),
			a.add("m", "p", "b"), a.get("/v1/mailboxes/m/messages"), w.anonymous(t).get("/"), w.anonymous(t).get("/openapi.yaml"), w.anonymous(t).get("/v1/status"),
			w.anonymous(t).post("/v1/sessions", hello()), w.anonymous(t).get("/nothing"), w.anonymous(t).put("/livez/"), w.anonymous(t).get("/v1"),
		} {
			r.refused(http.StatusTooManyRequests, "RATE_LIMITED").says("Retry-After", "1")
		}
		w.anonymous(t).get("/livez").want(http.StatusOK)
		pass(6 * time.Second)                  // five were added to what it waits for
		a.open("m").seq(1).want(http.StatusOK) // nothing was done, and no number used up
		a.open("m").seq(2).refused(http.StatusTooManyRequests, "RATE_LIMITED")
		pass(time.Hour)
		for range 5 {
			w.anonymous(t).get("/v1/status").want(http.StatusOK)
		}
		w.anonymous(t).get("/v1/status").refused(http.StatusTooManyRequests, "RATE_LIMITED")
	})
}

// address is where the server sees a client that sends these headers.
func address(t *testing.T, w *testServer, headers ...string) string {
	t.Helper()
	return w.anonymous(t).post("/v1/sessions", hello()).with(headers...).want(http.StatusCreated).text("welcome/yourAddress")
}

func TestTrustedProxies(t *testing.T) {
	forwarded := [][]string{
		{"X-Forwarded-For: 192.0.2.7"},
		{"X-Forwarded-For: 192.0.2.7:4711"}, // some balancers always name the port
		{"X-Forwarded-For: 192.0.2.7", "X-Real-IP: 192.0.2.66"},
		{"X-Forwarded-For: ::ffff:192.0.2.7"},
		{"X-Forwarded-For: 192.0.2.66, 192.0.2.7, 10.1.2.3"}, // the last one that is not trusted
		{"X-Forwarded-For: 192.0.2.66", "X-Forwarded-For: 192.0.2.7"},
	}
	t.Run("no proxy is trusted", func(t *testing.T) {
		w := start(t, options{})
		for _, headers := range forwarded {
			if got := address(t, w, headers...); got != "127.0.0.1" {
				t.Errorf("%q: %s", headers, got)
			}
		}
	})
	t.Run("others are trusted", func(t *testing.T) {
		w := start(t, options{Proxies: []string{"10.0.0.0/8"}})
		for _, headers := range forwarded {
			if got := address(t, w, headers...); got != "127.0.0.1" {
				t.Errorf("%q: %s", headers, got)
			}
		}
	})
	t.Run("this one is trusted", func(t *testing.T) {
		w := start(t, options{Proxies: []string{"127.0.0.0/8", "10.0.0.0/8"}})
		for _, headers := range forwarded {
			if got := address(t, w, headers...); got != "192.0.2.7" {
				t.Errorf("%q: %s", headers, got)
			}
		}
		for _, junk := range []string{"", "x", "192.0.2.7:", "192.0.2", ", ,", "<script>"} {
			if got := address(t, w, "X-Forwarded-For: "+junk, "X-Real-IP: 192.0.2.66"); got != "127.0.0.1" {
				t.Errorf("%q: %s", junk, got)
			}
		}
	})
}

// The header is the one that is configured, and no other is believed.
func TestForwardedHeader(t *testing.T) {
	for name, says := range map[string]map[string]string{
		"X-Real-IP": {
			"192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "[2001:db8::7]:443": "2001:db8::7", "fe80::1%eth0": "fe80::1",
			"unknown": "127.0.0.1", "192.0.2.7 192.0.2.8": "127.0.0.1",
		},
		"Forwarded": {
			`for=192.0.2.7`: "192.0.2.7", `proto=https; For="[2001:db8::7]:4711";by=10.0.0.1`: "2001:db8::7",
			`for=192.0.2.66, for=192.0.2.7;proto=http`: "192.0.2.7", `for=192.0.2.7, for="10.1.2.3:80"`: "192.0.2.7",
			`for=unknown`: "127.0.0.1", `for=_hidden`: "127.0.0.1", `by=192.0.2.7`: "127.0.0.1", `for=unknown, for=10.1.2.3`: "10.1.2.3",
		},
	} {
		w := start(t, options{Proxies: []string{"127.0.0.0/8", "10.0.0.0/8"}, ForwardedHeader: name})
		for value, want := range says {
			if got := address(t, w, name+": "+value, "X-Forwarded-For: 192.0.2.66", "X-Client-IP: 192.0.2.66"); got != want {
				t.Errorf("%s: %s: %s, want %s", name, value, got, want)
			}
		}
	}
}

// Behind a proxy everyone has an allowance of his own; an IPv6 client has one for its network.
func TestRateLimitByAddress(t *testing.T) {
	w := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst, l.Addresses = 0.0001, 1, 50 }})
	from := func(address string) *request {
		return w.anonymous(t).get("/v1/status").with("X-Forwarded-For: " + address)
	}
	for _, first := range []string{"192.0.2.7", "192.0.2.8", "2001:db8:0:1::7", "2001:db8:0:2::7"} {
		from(first).want(http.StatusOK)
	}
	for _, again := range []string{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "2001:db8:0:1::7", "2001:db8:0:1:ffff::8", "2001:db8:0:2::9"} {
		from(again).refused(http.StatusTooManyRequests, "RATE_LIMITED")
	}
	for i := range 100 { // more than are remembered
		from(fmt.Sprintf("198.51.100.%d", i)).want(http.StatusOK)
	}
}
