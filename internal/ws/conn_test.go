package ws_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/gorilla/websocket"

	"restante/internal/testclient"
	"restante/internal/ws"
)

// What is queued goes with what is sent, in order, in one write.
func TestMessagesShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		messages, _ := p.receives()
		before := p.writes.Load()
		p.Queue([]byte("one"))
		p.Queue([]byte("two"))
		if err := p.Send([]byte("three"), []byte("four")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"one", "two", "three", "four"} {
			if got := <-messages; got != want {
				t.Errorf("%s comes, want %s", got, want)
			}
		}
		if err := p.Send(); err != nil {
			t.Fatal(err)
		}
		if n := p.writes.Load() - before; n != 1 {
			t.Errorf("it took %d writes", n)
		}
	})
}

// What is queued does not wait long for more, nor for a close frame to go before it.
func TestWhatIsQueuedIsSentInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		messages, ended := p.receives()
		for _, message := range []string{"one", "two"} {
			began := time.Now()
			p.Queue([]byte(message))
			if got := <-messages; got != message || time.Since(began) != 50*time.Millisecond {
				t.Errorf("%s comes after %v, want %s", got, time.Since(began), message)
			}
		}
		p.Queue([]byte("three"))
		go p.SendClose(&ws.CloseError{Code: websocket.CloseTryAgainLater, Reason: "because"})
		wantClose(t, <-ended, websocket.CloseTryAgainLater)
		if len(messages) != 1 || <-messages != "three" {
			t.Error("what was queued before the close frame does not come")
		}
		p.Drain()
	})
}

// Nothing is kept for a peer that receives nothing any more: not what was queued before, nor what is queued after.
func TestNothingIsQueuedForAPeerThatIsGone(t *testing.T) {
	for name, lose := range map[string]func(*pair){
		"a message is not written": func(p *pair) { p.broken.Store(true); _ = p.Send([]byte("one")) },
		"a ping is not written":    func(p *pair) { p.broken.Store(true); _ = p.Ping() },
		"it was sent a close frame": func(p *pair) {
			p.receives()
			p.SendClose(&ws.CloseError{Code: websocket.CloseTryAgainLater, Reason: "because"})
		},
		"it is closed": func(p *pair) { _ = p.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, ws.Options{})
				before := queued(p)
				if p.IsGone() {
					t.Error("it is gone from the beginning")
				}
				lose(p)
				after := queued(p)
				runtime.GC()
				if before.Value() != nil || after.Value() != nil {
					t.Error("what is queued is kept")
				}
				if !p.IsGone() {
					t.Error("it is not gone")
				}
			})
		})
	}
}

// queued queues a message, and returns a pointer that does not keep it.
func queued(p *pair) weak.Pointer[byte] {
	message := []byte(strings.Repeat("x", 1<<10))
	p.Queue(message)
	return weak.Make(&message[0])
}

// Of a message that is too large, the beginning is read; the next message is read whole.
func TestMessageTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{MaxMessage: 10})
		go func() {
			for _, message := range []string{"0123456789", "0123456789+", strings.Repeat("x", 100_000), "next"} {
				_ = p.client.WriteMessage(websocket.TextMessage, []byte(message))
			}
		}()
		for _, want := range []struct {
			text string
			err  error
		}{{"0123456789", nil}, {"0123456789", ws.ErrTooLarge}, {"xxxxxxxxxx", ws.ErrTooLarge}, {"next", nil}} {
			if got, err := p.Read(); string(got) != want.text || !errors.Is(err, want.err) {
				t.Errorf("read %q (%v), want %q (%v)", got, err, want.text, want.err)
			}
		}
	})
}

// A peer that does not read is cut off as soon as a write has made no progress for as long as it may.
func TestSlowPeerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{WriteTimeout: 10 * time.Second})
		began := time.Now()
		if err := p.Send([]byte("nothing reads this")); !errors.Is(err, ws.ErrSlow) {
			t.Errorf("sending ended with %v", err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it was cut off after %v", took)
		}
		<-p.cut
		if !p.slow.Load() {
			t.Error("the reason was not told")
		}
		if _, err := p.Read(); err == nil {
			t.Error("it is still read from")
		}
		if err := p.Send([]byte("more")); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("sending more ended with %v after %v", err, time.Since(began))
		}
	})
}

// A peer that reads slowly is served, if only each 16 KiB move within the limit.
func TestPeerThatMakesProgressIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{WriteTimeout: 10 * time.Second})
		sent := make(chan error, 1)
		go func() { sent <- p.Send([]byte(strings.Repeat("x", 100<<10))) }()
		raw, read := p.client.NetConn(), 0
		for b := make([]byte, 16<<10); read < 100<<10; {
			<-time.After(9 * time.Second)
			n, err := raw.Read(b)
			if err != nil {
				t.Fatalf("%v after %d bytes", err, read)
			}
			read += n
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// A peer that has left without a word may have sent something before, which is still read.
func TestWhatAPeerSentBeforeItLeftIsRead(t *testing.T) {
	p := openTCP(t, ws.Options{})
	if err := p.client.WriteMessage(websocket.TextMessage, []byte("last words")); err != nil {
		t.Fatal(err)
	}
	_ = p.client.Close()
	for deadline := time.Now().Add(patience); p.Send([]byte("to a peer that has left")) == nil && time.Now().Before(deadline); {
		if got, err := p.Read(); err == nil {
			if string(got) != "last words" {
				t.Errorf("read %q", got)
			}
			return
		}
	}
	t.Error("it is not read")
}

// What a peer sent before it left is read, however long it takes to do what it asks for. The connection ends when nothing
// has come for a second.
func TestWhatAPeerSentBeforeItLeftIsReadInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		long := strings.Repeat("x", 5000) // more than is received at once
		sent := []string{"one", "two", long, long, "three"}
		var frames []byte
		for _, message := range sent {
			frames = append(frames, testclient.TextFrame(message)...)
		}
		go func() { _, _ = p.client.NetConn().Write(frames) }() // they wait in the pipe, as in a receive buffer
		p.broken.Store(true)
		if err := p.Send([]byte("to a peer that has left")); err != nil {
			t.Fatal(err)
		}
		var read []string
		began, ended := time.Now(), make(chan error, 1)
		p.Serve(time.Hour, func() error {
			got, err := p.Read()
			if err == nil {
				read = append(read, string(got))
				time.Sleep(time.Minute)
			}
			return err
		}, func(err error) { ended <- err })
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); !slices.Equal(read, sent) || took != 5*time.Minute+time.Second {
			t.Errorf("after %v it has read %.20q", took, read)
		}
	})
}

// What a peer sent before it left is read also if the server notices that it left just after it has waited in vain.
func TestWhatAPeerSentBeforeItLeftIsReadAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		p.late = sync.OnceFunc(func() {
			go func() { _ = p.client.WriteMessage(websocket.TextMessage, []byte("last words")) }()
			p.broken.Store(true)
			_ = p.Send([]byte("to a peer that has left"))
		})
		var read []byte
		ended := make(chan error, 1)
		p.Serve(10*time.Second, func() (err error) { read, err = p.Read(); return err }, func(err error) { ended <- err })
		if err := <-ended; string(read) != "last words" {
			t.Errorf("it ended with %v and has read %q", err, read)
		}
	})
}

// After a close frame, the connection ends even if the peer does not answer it.
func TestSendClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		p.client.SetCloseHandler(func(int, string) error { return nil }) // it does not answer
		_, ended := p.receives()
		began := time.Now()
		p.SendClose(&ws.CloseError{Code: websocket.ClosePolicyViolation, Reason: "because"})
		wantClose(t, <-ended, websocket.ClosePolicyViolation)
		p.Drain()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

// A request that is no handshake is not answered: the caller does that.
func TestNoHandshake(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Connection", "upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "8")
	w := httptest.NewRecorder()
	if _, err := ws.Upgrade(w, r, nil, ws.Options{}); !errors.Is(err, ws.ErrHandshake) {
		t.Errorf("the error is %v", err)
	}
	if w.Body.Len() != 0 {
		t.Errorf("it was answered %q", w.Body)
	}
}

// A panic ends its goroutine, and nothing else.
func TestGoSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, ws.Options{})
		messages, _ := p.receives()
		p.Go(func() { panic("on purpose") })
		synctest.Wait()
		if err := p.Send([]byte("still there")); err != nil || <-messages != "still there" {
			t.Errorf("the connection does not work any more: %v", err)
		}
	})
}

// A ping or a pong that comes within a second after another is hasty, between messages and within one.
func TestHasteIsNoticed(t *testing.T) {
	for name, within := range map[string]bool{"between messages": false, "within a message": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hasty := 0
				p := open(t, ws.Options{Hasty: func() { hasty++ }})
				controls := make(chan int, 10)
				p.OnControl(func() { controls <- hasty })
				p.receives()
				read := make(chan string, 1)
				go func() {
					if _, err := p.Wait(time.Hour); err != nil {
						t.Error(err)
					}
					raw, _ := p.Read()
					read <- string(raw)
				}()
				message, err := p.client.NextWriter(websocket.TextMessage)
				if err != nil {
					t.Fatal(err)
				}
				body := strings.Repeat("x", 10<<10) // more than is sent as one frame
				if within {
					_, _ = message.Write([]byte(body))
				}
				for i, step := range []struct {
					after time.Duration
					kind  int
					hasty int
				}{
					{0, websocket.PingMessage, 0},
					{time.Second, websocket.PingMessage, 0},
					{time.Second - 1, websocket.PingMessage, 1},
					{0, websocket.PongMessage, 2},
					{time.Second, websocket.PongMessage, 2},
					{time.Millisecond, websocket.PingMessage, 3},
				} {
					<-time.After(step.after)
					_ = p.client.WriteControl(step.kind, nil, time.Now().Add(time.Second))
					if got := <-controls; got != step.hasty {
						t.Errorf("after step %d, %d were hasty, want %d", i, got, step.hasty)
					}
				}
				if !within {
					_, _ = message.Write([]byte(body))
				}
				if err := message.Close(); err != nil {
					t.Error(err)
				}
				if got := <-read; got != body {
					t.Errorf("of the message, %d bytes are read", len(got))
				}
			})
		})
	}
}
