package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// failing is a store in which pruning fails: to list stale mailboxes, to look at one that is stale, or to give back space.
type failing struct {
	rendezvous.Store
	list, one, space *atomic.Bool
}

func (s failing) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.View(ctx, func(tx rendezvous.Tx) error { return f(failingTx{tx, s}) })
}

func (s failing) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(failingTx{tx, s}) })
}

type failingTx struct {
	rendezvous.Tx
	s failing
}

func (t failingTx) StaleMailboxes(now time.Time, after rendezvous.MailboxCursor, limit int) ([]rendezvous.MailboxCursor, error) {
	if t.s.list.Load() {
		return nil, errors.New("secret words of a driver")
	}
	return t.Tx.StaleMailboxes(now, after, limit)
}

func (t failingTx) IdleMailbox(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	if t.s.one.Load() {
		return rendezvous.Mailbox{}, errors.New("secret words of a driver")
	}
	return t.Tx.IdleMailbox(k)
}

func (t failingTx) FreeSpace() (bool, error) {
	if t.s.space.Load() {
		return false, errors.New("secret words of a driver")
	}
	return t.Tx.FreeSpace()
}

// The status and the metrics show at once that pruning fails, and of what kind the failure is. Runs go on.
func TestStatusOfPruningThatFails(t *testing.T) {
	for name, what := range map[string]func(failing) *atomic.Bool{
		"list":    func(s failing) *atomic.Bool { return s.list },
		"mailbox": func(s failing) *atomic.Bool { return s.one },
		"space":   func(s failing) *atomic.Bool { return s.space },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := failing{list: new(atomic.Bool), one: new(atomic.Bool), space: new(atomic.Bool)}
				w := start(t, options{Piped: true, Wrap: func(store rendezvous.Store) rendezvous.Store { s.Store = store; return s }})
				status := func() *answer { return w.anonymous(t).get("/v1/status").want(http.StatusOK) }
				pass(16 * time.Minute)
				before := status()
				if before.number("prune/goodRunsTotal") == 0 || before.number("prune/nextAt") <= before.number("serverTime") {
					t.Fatalf("the status is %s", before.body)
				}
				if in := before.number("prune/nextAt") - before.number("serverTime"); in > (4*time.Minute + time.Second).Milliseconds() {
					t.Errorf("16 minutes after a start, the next run is due in %d ms, want 4 minutes", in)
				}
				w.begin(t, "app", "a").open("m").want(http.StatusOK)
				what(s).Store(true)
				pass(time.Hour)
				got := status()
				if got.count("prune/failures") != 1 || got.text("prune/failures/0/kind") != name || got.text("prune/failures/0/error") != "fault" {
					t.Fatalf("the failures are %s", got.body)
				}
				if strings.Contains(string(got.body), "secret") || strings.Contains(string(got.body), `"app"`) {
					t.Errorf("the public status tells too much: %s", got.body)
				}
				if got.number("prune/runsTotal") < before.number("prune/runsTotal")+10 {
					t.Errorf("pruning stopped: %s", got.body)
				}
				if got.number("prune/goodRunsTotal") > before.number("prune/goodRunsTotal")+3 {
					t.Errorf("runs that failed count as good: before %s, after %s", before.body, got.body)
				}
				if late := time.Duration(got.number("prune/overdueMs")) * time.Millisecond; name == "mailbox" && (late < 30*time.Minute || late > time.Hour) {
					t.Errorf("pruning is %v late", late)
				}
				if age := got.number("recordedAgeMs"); age > (10 * time.Second).Milliseconds() {
					t.Errorf("signs of life were stored %d ms ago", age)
				}
				good := got.number("prune/lastGoodAt")
				what(s).Store(false)
				pass(2 * time.Hour)
				if got = status(); got.count("prune/failures") != 0 || got.number("prune/lastGoodAt") <= good || got.number("prune/overdueMs") > got.number("prune/intervalMs") {
					t.Errorf("after it works again, the status is %s", got.body)
				}
			})
		})
	}
}

func TestStatusOfClients(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	c := w.begin(t, "app2", "c")
	parked := a.get("/v1/session/events?ack=1").later()
	s := b.get("/v1/session/events").streams()
	s.next("heartbeat")
	c.post("/v1/nameplates", "").want(http.StatusCreated)
	defer func() { // releases the poll
		b.add("m", "p", "b").want(http.StatusCreated)
		<-parked
	}()
	for deadline := time.Now().Add(time.Minute); ; {
		got := w.anonymous(t).get("/v1/status").want(http.StatusOK)
		if got.number("clients/polls") == 1 && got.number("clients/streams") == 1 && got.number("clients/sockets") == 0 && got.number("codeDigits") == 1 &&
			got.number("sessions/attached") == 3 && got.number("storageBytes/database") > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the status is %s", got.body)
		}
	}
}
