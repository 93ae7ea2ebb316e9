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

// TestServe holds that a connection leaves its goroutine while nothing comes, is served when something does, and ends.
func TestServe(t *testing.T) {
	p := openTCP(t, ws.Options{})
	got, ended, left := make(chan string, 3), make(chan error, 2), make(chan struct{})
	go func() {
		p.Serve(time.Millisecond, func() error {
			message, err := p.Read()
			got <- string(message)
			return err
		}, func(why error) { ended <- why })
		close(left)
	}()
	<-left // it waits without a goroutine
	for _, message := range []string{"one", "two"} {
		if err := p.client.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if read := <-got; read != message {
			t.Errorf("read %q, want %q", read, message)
		}
	}
	select {
	case why := <-ended:
		t.Fatalf("it has ended: %v", why)
	default:
	}
	_ = p.client.Close()
	if why := <-ended; why == nil {
		t.Error("it ended without a reason")
	}
}
