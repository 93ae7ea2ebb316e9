package handlers_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

// logsClosedAt checks that the log names the address whose one connection was closed for a limit.
func (w *testServer) logsClosedAt(t *testing.T, limit string) {
	t.Helper()
	if line := `"msg":"closed a connection","address":"addr-local","limit":"` + limit + `","standsFor":1`; strings.Count(w.Logs.String(), line) != 1 {
		t.Errorf("the log does not have %s:\n%s", line, w.Logs.String())
	}
}

// A socket on which nothing is said, and one that asks for too much, are found in the log.
func TestSocketsAtALimitAreLogged(t *testing.T) {
	bubble(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 1, 5 }}, func(t *testing.T, w *testServer) {
		a := w.begin(t, "app", "a")
		silent, _ := w.upgrade(t, nil)
		pass(6 * time.Second)
		w.logsClosedAt(t, "identify-within")
		_ = silent.conn.Close()
		l := a.connects("")
		l.want("heartbeat")
		for range 8 {
			l.send(`{"ack": 0}`)
		}
		pass(10 * time.Second)
		if line := `"msg":"slowed a client down","address":"addr-local","limit":"request-rate"`; !strings.Contains(w.Logs.String(), line) {
			t.Errorf("the log does not have %s:\n%s", line, w.Logs.String())
		}
		for i := range 8 {
			l.send(`{"id": "x", "method": "NONE"}`)
			if got := l.want("reply"); i == 7 && !holdsAll(got, `"code":"RATE_LIMITED"`) {
				t.Errorf("a client that goes on with commands that are none is answered %s", got)
			}
		}
		if line := `"msg":"refused a command of a session","address":"addr-local","code":"RATE_LIMITED"`; !strings.Contains(w.Logs.String(), line) {
			t.Errorf("the log does not have %s:\n%s", line, w.Logs.String())
		}
	})
}

// Refusals at full speed get one line a second, which says for how many it stands. A client that waits is served, and
// one that goes on waits longer.
func TestRefusalsAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 1, 5 }})
		lines := func() int { return strings.Count(w.Logs.String(), `"code":"RATE_LIMITED"`) }
		for range 5 {
			w.anonymous(t).get("/v1/status").want(http.StatusOK)
		}
		for range 40 {
			w.anonymous(t).get("/v1/status").refused(http.StatusTooManyRequests, "RATE_LIMITED")
		}
		if lines() != 1 {
			t.Errorf("40 refusals at once got %d lines", lines())
		}
		pass(time.Second)
		w.anonymous(t).get("/v1/status").refused(http.StatusTooManyRequests, "RATE_LIMITED") // it owes five
		if lines() != 2 || !strings.Contains(w.Logs.String(), `"standsFor":40`) {
			t.Errorf("%d lines, and none stands for 40", lines())
		}
		pass(7 * time.Second) // and some more, because refusals took time
		w.anonymous(t).get("/v1/status").want(http.StatusOK)
	})
}
