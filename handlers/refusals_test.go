package handlers_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

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
