package handlers_test

import (
	"fmt"
	"net/http"
	"testing"

	"restante/handlers"
	"restante/handlers/handlerstest"
)

// fromNetwork is the header of a client in an IPv6 network of 64 bits, all of which are in one of 48.
func fromNetwork(i int) string { return "X-Forwarded-For: " + inNetwork(i) }

func inNetwork(i int) string { return fmt.Sprintf("2001:db8:7:%x::1", i) }

// TestSocketsOfANetwork has IPv6 networks of 64 bits in one of 48 open streams and sockets: all together may have four
// times what an address may have.
func TestSocketsOfANetwork(t *testing.T) {
	w := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Sockets = 2 }})
	open := func(from string) bool {
		socket, status := w.upgrade(t, http.Header{"X-Forwarded-For": {from}})
		if socket == nil && status != http.StatusTooManyRequests {
			t.Fatalf("it is answered %d", status)
		}
		return socket != nil
	}
	stream := w.begin(t, "app", "a").get("/v1/session/events").with(fromNetwork(0)).streams()
	for i := 1; i < 8; i++ {
		if !open(inNetwork(i)) {
			t.Fatalf("%d are open, and one more is refused", i)
		}
	}
	if open(inNetwork(8)) {
		t.Error("a ninth one is opened")
	}
	if _, refusal := w.begin(t, "app", "b").get("/v1/session/events").with(fromNetwork(9)).tryStream(); refusal == nil || refusal.status != http.StatusTooManyRequests {
		t.Error("a stream is opened beside them")
	}
	if !open("2001:db8:8::1") {
		t.Error("another network is refused")
	}
	stream.cut()
	if !handlerstest.Eventually(t, func() bool { return open(inNetwork(10)) }) {
		t.Error("the place of a stream is not given back")
	}
}

// TestListsFromANetwork has IPv6 networks of 64 bits in one of 48 add lists of 100 messages, which cost as much as ten
// requests: all together may add four times what an address may.
func TestListsFromANetwork(t *testing.T) {
	w := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 20 }})
	a := w.begin(t, "app", "a")
	added := 0
	for i := range 12 {
		got := a.post("/v1/mailboxes/m/messages?open=true", listOf(100)).with(fromNetwork(i)).send()
		switch got.status {
		case http.StatusCreated:
			added++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("it is answered %d %s", got.status, got.body)
		}
	}
	if added != 8 {
		t.Errorf("%d lists are added, want 8", added)
	}
}
