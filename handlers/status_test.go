package handlers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		a.put("/v1/nameplates/5").want(http.StatusOK)
		b.add("m", "p", "b").want(http.StatusCreated)
		pass(time.Second) // counts are that old at most
		got := w.anonymous(t).get("/v1/status").want(http.StatusOK)
		for member, want := range map[string]any{
			"service": "restante", "version": "test", "ready": true, "storage": "ok",
		} {
			if got.at(member) != want {
				t.Errorf("%s is %v, want %v", member, got.at(member), want)
			}
		}
		now := began.Add(time.Second).UnixMilli()
		for member, want := range map[string]int64{
			"counts/nameplates": 1, "counts/mailboxes": 2, "counts/messages": 1, "counts/sessions": 2,
			"started": began.UnixMilli(), "updated": began.UnixMilli(), "serverTime": now, "countsAt": now,
			"prune/intervalMs": 300_000, "prune/failuresTotal": 0, "prune/retired/nameplates": 0, "prune/retired/mailboxes": 0, "prune/retired/sessions": 0,
		} {
			if got.number(member) != want {
				t.Errorf("%s is %d, want %d", member, got.number(member), want)
			}
		}
		pass(2 * time.Hour)
		got = w.anonymous(t).get("/v1/status").want(http.StatusOK)
		for _, member := range []string{"counts/nameplates", "counts/mailboxes", "counts/messages", "counts/sessions"} {
			if got.number(member) != 0 {
				t.Errorf("two hours later, %s is %d", member, got.number(member))
			}
		}
		if got.number("prune/runsTotal") < 20 || got.number("prune/finishedAt") < got.number("prune/startedAt") {
			t.Errorf("two hours later, pruning was %s", got.body)
		}
		if got.count("prune/failures") != 0 {
			t.Errorf("it could not prune %s", got.body)
		}
	})
}

func TestHealth(t *testing.T) {
	w := start(t, options{})
	for _, path := range []string{"/livez", "/readyz"} {
		if got := w.anonymous(t).get(path).want(http.StatusOK); got.text("status") != "ok" {
			t.Errorf("%s is %s", path, got.body)
		}
	}
}

// A server that stops releases the requests that wait, spread over a span. It accepts no new work,
// and finishes what is under way.
func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		began, parked := time.Now(), a.get("/v1/session/events?ack=1").later()
		synctest.Wait()
		w.Service.Drain()
		if got := <-parked; got.status != http.StatusOK || got.at("heartbeat") != true || time.Since(began) > w.Service.Config.DrainSpan {
			t.Errorf("after %v it is answered %d %s", time.Since(began), got.status, got.body)
		}
		n := w.anonymous(t)
		n.get("/livez").want(http.StatusOK)
		n.get("/readyz").refused(http.StatusServiceUnavailable, "DRAINING").says("Retry-After", "1")
		if got := n.get("/v1/status").want(http.StatusOK); got.at("ready") != false || got.text("storage") != "ok" {
			t.Errorf("its status is %s", got.body)
		}
		n.post("/v1/sessions", hello()).refused(http.StatusServiceUnavailable, "DRAINING").says("Retry-After", "1")
		a.get("/v1/session/events?ack=1").refused(http.StatusServiceUnavailable, "DRAINING").says("Ack", "0")
		n.get("/v1/session/events").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
		b.add("m", "p", "b").want(http.StatusCreated)
		b.get("/v1/session").want(http.StatusOK)
		if logged := w.Logs.String(); strings.Contains(logged, `"level":"ERROR"`) {
			t.Errorf("stopping is logged as a failure:\n%s", logged)
		}
	})
}

// While the storage is away, everybody is told so, and monitoring goes on.
func TestStorageAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, _ := twoSides(t, w)
		parked := a.get("/v1/session/events?ack=1").later()
		pass(time.Second)
		w.anonymous(t).get("/v1/status").want(http.StatusOK)
		w.CloseStore()
		pass(time.Second)
		for _, r := range []*request{
			w.anonymous(t).post("/v1/sessions", hello()),
			a.get("/v1/session"), a.poll(0), a.post("/v1/session/ack", `{"ack": 0}`), a.delete("/v1/session"), a.delete("/v1/session").seq(0),
			a.post("/v1/nameplates", ""), a.get("/v1/nameplates"), a.put("/v1/nameplates/5"), a.delete("/v1/nameplates/5"),
			a.open("m"), a.get("/v1/mailboxes/m"), a.delete("/v1/mailboxes/m"), a.add("m", "p", "b"), a.get("/v1/mailboxes/m/messages"),
		} {
			r.refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE").says("Retry-After", "1")
		}
		a.add("m", "", "").refused(http.StatusBadRequest, "INVALID_REQUEST") // what is wrong stays wrong
		w.anonymous(t).get("/v1/session").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
		w.anonymous(t).get("/livez").want(http.StatusOK)
		w.anonymous(t).get("/readyz").refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE")
		w.anonymous(t).get("/metrics").want(http.StatusOK)
		w.anonymous(t).get("/openapi.yaml").want(http.StatusOK)
		got := w.anonymous(t).get("/v1/status").want(http.StatusOK)
		if got.text("storage") != "unavailable" || got.at("ready") != false || got.number("counts/mailboxes") != 1 {
			t.Errorf("its status is %s", got.body)
		}
		if got := <-parked; got.status != http.StatusServiceUnavailable || got.text("code") != "STORAGE_UNAVAILABLE" {
			t.Errorf("the one who waited is answered %d %s", got.status, got.body)
		}
	})
}

// refusing is a store that takes no changes while it is full, and can be read.
type refusing struct {
	rendezvous.Store
	full *atomic.Bool
}

func (s refusing) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if s.full.Load() {
		return fmt.Errorf("%w: %w", rendezvous.ErrUnavailable, rendezvous.ErrUnwritable)
	}
	return s.Store.Update(ctx, f)
}

func (s refusing) Probe(ctx context.Context) error {
	return s.Update(ctx, func(rendezvous.Tx) error { return nil })
}

// The reply to the first DELETE was lost, and the disk is full when it is sent again.
func TestASessionThatHasEndedIsEndedAgainWhileNothingIsStored(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait time.Duration // until the server knows that nothing is stored
	}{{"at once", 0}, {"once that is known", 5 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			full := new(atomic.Bool)
			s := options{Piped: true, Wrap: func(s rendezvous.Store) rendezvous.Store { return refusing{s, full} }}
			bubble(t, s, func(t *testing.T, w *testServer) {
				a, b := twoSides(t, w)
				a.delete("/v1/session").want(http.StatusNoContent)
				full.Store(true)
				b.post("/v1/nameplates", "").refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE")
				pass(tt.wait)
				a.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED")
				for range 2 {
					a.delete("/v1/session").refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE").says("Retry-After", "1")
				}
				full.Store(false)
				pass(5 * time.Second)
				a.delete("/v1/session").want(http.StatusNoContent)
			})
		})
	}
}
