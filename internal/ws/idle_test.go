package ws_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/ws"
)

// Waiting ends when a message begins, and not for a ping or a pong.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		alive := 0
		p.OnControl(func() { alive++ })
		pongs := make(chan string, 10)
		p.client.SetPongHandler(func(payload string) error { pongs <- payload; return nil })
		messages, _ := p.receives()

		began := time.Now()
		if begun, err := p.Wait(time.Minute); begun || err != nil || time.Since(began) != time.Minute {
			t.Errorf("waiting for nothing ended with %t (%v) after %v", begun, err, time.Since(began))
		}
		go func() {
			for _, control := range []int{websocket.PingMessage, websocket.PongMessage} {
				<-time.After(time.Second)
				_ = p.client.WriteControl(control, []byte("payload"), time.Now().Add(time.Second))
			}
			<-time.After(time.Second)
			_ = p.client.WriteMessage(websocket.TextMessage, []byte("hello"))
		}()
		began = time.Now()
		if begun, err := p.Wait(time.Minute); !begun || err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("waiting for a message ended with %t (%v) after %v", begun, err, time.Since(began))
		}
		if got, err := p.Read(); err != nil || string(got) != "hello" {
			t.Errorf("read %q (%v)", got, err)
		}
		if got := <-pongs; got != "payload" || alive != 2 {
			t.Errorf("the ping was answered with %q, and there were %d signs of life", got, alive)
		}
		_ = p.Send([]byte("x"))
		<-messages
	})
}

// A peer that is silent for too long counts as gone. Each sign of life gives it the whole time again.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{IdleTimeout: time.Minute})
		p.OnControl(func() {})
		began := time.Now()
		go func() {
			<-time.After(50 * time.Second)
			_ = p.client.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
		}()
		if begun, err := p.Wait(time.Hour); begun || err == nil || time.Since(began) != 110*time.Second {
			t.Errorf("waiting ended with %t (%v) after %v", begun, err, time.Since(began))
		}
	})
}

// Reading that is to end ends also while something waits, whatever the peer sends.
func TestEndReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		p.OnControl(func() {})
		began, done := time.Now(), make(chan struct{})
		go func() {
			defer close(done)
			for range 10 {
				<-time.After(time.Second)
				_ = p.client.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
			}
		}()
		p.EndReading(5500 * time.Millisecond)
		if begun, err := p.Wait(time.Hour); begun || err == nil || time.Since(began) != 5500*time.Millisecond {
			t.Errorf("waiting ended with %t (%v) after %v", begun, err, time.Since(began))
		}
		_ = p.Conn.Close() // which ends the writes that nothing reads
		<-done
	})
}

// In a pipe, a connection cannot wait without a goroutine, and says so.
func TestNotWhenReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		if p.WhenReadable(func() { t.Error("it is called") }) {
			t.Error("it waits in a pipe")
		}
	})
}

// What is left of a message that is too large is no beginning of another, whatever it looks like.
func TestWaitAfterAMessageThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{MaxMessage: 11}) // and one byte more is read of the message: an even number
		pongs := 0
		p.OnControl(func() { pongs++ })
		const size = 1000
		message := append([]byte{0x82, 0x80 | 126, size >> 8, size & 0xff, 0, 0, 0, 0}, bytes.Repeat([]byte{0x8a, 0x80}, size/2)...) // RFC 6455, §5.2: a mask of zeros, and pongs
		go func() {
			_, _ = p.client.NetConn().Write(message[:300])
			<-time.After(time.Second)
			_, _ = p.client.NetConn().Write(message[300:])
			_ = p.client.WriteMessage(websocket.TextMessage, []byte("next"))
		}()
		if _, err := p.Read(); !errors.Is(err, ws.ErrTooLarge) {
			t.Fatal(err)
		}
		if begun, err := p.Wait(time.Minute); !begun || err != nil || pongs > 0 {
			t.Errorf("waiting ended with %t (%v) after %d pongs", begun, err, pongs)
		}
		if got, err := p.Read(); err != nil || string(got) != "next" {
			t.Errorf("read %q (%v)", got, err)
		}
	})
}
