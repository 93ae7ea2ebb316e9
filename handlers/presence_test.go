package handlers_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"restante/rendezvous"
)

// nextFrame waits for frame n and returns it in short.
func (c *client) nextFrame(n int) string {
	c.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		got := c.get(fmt.Sprintf("/v1/session/events?ack=%d&wait=1", n)).want(http.StatusOK)
		if got.count("frames") == 0 {
			continue
		}
		frame := func(name string) string {
			if value := got.at("frames/0/" + name); value != nil {
				return " " + fmt.Sprint(value)
			}
			return ""
		}
		return got.text("frames/0/type") + frame("side") + frame("state") + frame("reason") + frame("position")
	}
	c.Fatalf("frame %d does not come", n)
	return ""
}

// A session that asks for it is told what the other side does, and GET tells it, too.
func TestPresenceAndReceipts(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.HeartbeatInterval = 10 * time.Minute }})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.put("/v1/mailboxes/m?presence=true&receipts=true").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	a.add("m", "p", "x").want(http.StatusCreated)
	n := 0
	expect := func(want string) {
		t.Helper()
		if got := a.nextFrame(n); got != want {
			t.Errorf("frame %d is %q, want %q", n, got, want)
		}
		n++
	}
	expect("opened b")
	expect("presence b here")
	b.poll(1).want(http.StatusOK)
	expect("received b 1")
	w.begin(t, "app", "c").open("m").refused(http.StatusConflict, "CROWDED")
	expect("crowded")
	if got := a.get("/v1/mailboxes/m").want(http.StatusOK); got.text("sides/1/state") != "here" || got.number("sides/1/received") != 1 {
		t.Errorf("the mailbox is %s", got.body)
	}
	b.delete("/v1/session").want(http.StatusNoContent)
	expect("presence b away deleted")
	if got := a.get("/v1/mailboxes/m").want(http.StatusOK); got.text("sides/1/state") != "away" || got.text("sides/1/reason") != "deleted" {
		t.Errorf("the mailbox is %s", got.body)
	}
	a.put("/v1/mailboxes/m?presence=perhaps").refused(http.StatusBadRequest, "INVALID_REQUEST")
}

// A side without a session has no state, and can ask for that of the others.
func TestPresenceWithoutASession(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.HeartbeatInterval = 10 * time.Minute }})
	a, b := w.keyed(t, "app", secretA), w.begin(t, "app", "b")
	a.put("/v1/mailboxes/m?presence=true").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	deadline := time.Now().Add(time.Minute)
	for {
		got := a.get("/v1/mailboxes/m").want(http.StatusOK)
		if got.at("sides/0/state") != nil {
			t.Fatalf("a side without a session is told to be there: %s", got.body)
		}
		if got.at("sides/1/state") == "here" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not told: %s", got.body)
		}
		<-time.After(10 * time.Millisecond)
	}
}
