package ws_test

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/ws"
)

// A connection that waits without a goroutine is read again when its peer sends something, and when reading is to end.
func TestWhenReadable(t *testing.T) {
	p := openTCP(t, ws.Options{})
	wait := func() <-chan struct{} {
		woken := make(chan struct{})
		if begun, err := p.Wait(time.Millisecond); begun || err != nil {
			t.Fatalf("there is something to read: %v", err)
		}
		if !p.WhenReadable(func() { close(woken) }) {
			t.Fatal("it cannot wait")
		}
		return woken
	}
	want := func(what string, woken <-chan struct{}) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(patience):
			t.Fatalf("it is not woken by %s", what)
		}
	}
	woken := wait()
	select {
	case <-woken:
		t.Error("it is woken by nothing")
	default:
	}
	if err := p.client.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	want("a message", woken)
	if begun, err := p.Wait(patience); !begun || err != nil {
		t.Errorf("no message has begun: %v", err)
	}
	if got, err := p.Read(); err != nil || string(got) != "hello" {
		t.Errorf("read %q (%v)", got, err)
	}
	woken = wait()
	p.EndReading(0)
	want("the end", woken)
	if p.WhenReadable(func() {}) {
		t.Error("it waits although reading has ended")
	}
}
