package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// A session's socket is cut as soon as a write has not moved for as long as it may: not
// before, so that who reads slowly is served, and not after, whatever else happens on it.
func TestSlowReaderOfASocketIsCut(t *testing.T) {
	for what, tt := range map[string]struct {
		happens func(a *socketClient, b *client)
		beats   bool // it begins with the next heartbeat
	}{
		"when a frame does not go":     {func(_ *socketClient, b *client) { b.add("m", "p", "x").want(http.StatusCreated) }, false},
		"when a reply does not go":     {func(a *socketClient, _ *client) { a.send(`{"method": "GET", "path": "/v1/nameplates"}`) }, false},
		"when a pong does not go":      {func(a *socketClient, _ *client) { a.ping() }, false},
		"when a heartbeat does not go": {func(*socketClient, *client) {}, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, options{Piped: true})
				a, b := twoSides(t, w)
				limit := 10 * time.Second
				if every := a.handshake(1, 0).want(http.StatusOK).number("nextWaitMs"); tt.beats {
					limit += time.Duration(every) * time.Millisecond
				}
				l, c := a.connects(""), b.connects("")
				l.want("heartbeat")
				c.want("heartbeat")
				go func() { // b reads, and is to notice nothing
					for {
						if _, _, err := c.conn.ReadMessage(); err != nil {
							return
						}
					}
				}()
				began := time.Now()
				tt.happens(l, b)
				pass(limit - time.Millisecond)
				if n := w.Service.Stats().Streams.Load(); n != 2 {
					t.Fatalf("after %v, %d sockets are open", time.Since(began), n)
				}
				pass(2 * time.Millisecond)
				if n := w.Service.Stats().Streams.Load(); n != 1 {
					t.Fatalf("after %v, %d sockets are open", time.Since(began), n)
				}
				if logged := w.Logs.String(); strings.Count(logged, `"cut a socket"`) != 1 || !strings.Contains(logged, "the peer does not read") {
					t.Errorf("the log does not say why:\n%s", logged)
				}
				w.logsClosedAt(t, "slow-reader")
				b.add("m", "p", "y").want(http.StatusCreated)
				_ = l.conn.Close()
				_ = c.conn.Close()
				synctest.Wait()
			})
		})
	}
}

// A command that waits when its socket is cut ends with it, and that is no panic.
func TestACommandThatWaitsEndsWithItsSocket(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, w *testServer) {
		a, b := twoSides(t, w)
		for _, command := range []string{
			`{"method": "GET", "path": "/v1/nameplates"}`,
			`{"method": "POST", "path": "/v1/mailboxes/m/messages", "seq": 0, "body": {"phase": "p", "body": "b"}}`, // in the pipeline
		} {
			l := a.connects("")
			l.want("heartbeat")
			b.add("m", "p", "x").want(http.StatusCreated) // which a does not read
			w.rule(t, "- address: addr-local\n  delay: 30s\n")
			l.send(command)
			pass(time.Minute)
			w.Handlers.SetRules(nil)
			if logged := w.Logs.String(); strings.Contains(logged, "panic") || !strings.Contains(logged, `"cut a socket"`) {
				t.Errorf("%s: the log:\n%s", command, logged)
			}
			_ = l.conn.Close()
		}
	})
}

// ping asks the server for a pong.
func (l *socketClient) ping() {
	l.Helper()
	if err := l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(testclient.Limit)); err != nil {
		l.Fatal(err)
	}
}

func TestASocketThatReadsSlowlyIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, Config: func(c *rendezvous.Config) { c.HeartbeatInterval = 15 * time.Second }})
		a, b := twoSides(t, w)
		l := a.connects("")
		for range 100 {
			b.add("m", "p", "x").want(http.StatusCreated)
		}
		for seq, beats := 0, 0; seq <= 100 || beats < 10; pass(9 * time.Second) { // between what it reads: less than the ten that it may take
			_, raw, err := l.conn.ReadMessage()
			if err != nil {
				t.Fatalf("it is cut after %d frames and %d heartbeats: %v", seq, beats, err)
			}
			switch {
			case strings.HasPrefix(string(raw), fmt.Sprintf(`{"frame":{"seq":%d,`, seq)):
				seq++
				l.send(fmt.Sprintf(`{"ack": %d}`, seq)) // which shows that it is there: there is no ping among so many frames
			case strings.HasPrefix(string(raw), `{"heartbeat":`):
				beats++
			default:
				t.Fatalf("after %d frames comes %s", seq, raw)
			}
		}
		_ = l.conn.Close()
		synctest.Wait()
	})
}

// TestSocketThatStopsReading is one over TCP, for which systems keep some of what it does not read. It costs the server
// no memory, its peer does not wait for it, and it finds all that it missed: when it comes back after it was cut, and
// when it reads on. If its peer waited for it, the test would not end.
func TestSocketThatStopsReading(t *testing.T) {
	for name, cut := range map[string]bool{"and is cut": true, "and reads on": false} {
		t.Run(name, func(t *testing.T) {
			const messages = 600 // more bytes than systems keep for a socket: 4 MiB
			w := start(t, options{Limits: func(l *handlers.Limits) {
				if l.WriteTime = time.Hour; cut {
					l.WriteTime = 500 * time.Millisecond
				}
			}})
			a, b := twoSides(t, w)
			slow := a.connects(`, "epoch": 1`)
			slow.want("heartbeat") // and from now on it reads nothing
			fast, publisher := b.connects(""), w.begin(t, "app", "c").connects("")
			fast.want("heartbeat")
			publisher.want("heartbeat")

			body := strings.Repeat("ab", 8000)
			before, most := handlerstest.Heap(), uint64(0)
			for i := range messages {
				fast.send(fmt.Sprintf(`{"method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "%d", "body": %q}}`, i, body))
				if got := fast.want("reply"); !strings.Contains(got, `"status":201`) {
					t.Fatal(got)
				}
				if i%100 == 0 {
					most = max(most, handlerstest.Heap())
					publisher.send(`{"method": "GET", "path": "/v1/nameplates"}`)
					publisher.want("reply")
				}
			}
			if grown := int64(most) - int64(before); grown > 8<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			if cut {
				if !handlerstest.Eventually(t, func() bool { return strings.Contains(w.Logs.String(), "the peer does not read") }) {
					t.Error("it was not cut, or the log does not say why")
				}
				a.handshake(0, 0).want(http.StatusOK)
				slow = a.connects(`, "epoch": 2, "ack": 1`)
				slow.want("heartbeat")
			} else {
				slow.frame(0) // that the peer has opened the mailbox
			}
			for i := range messages {
				_, raw, err := slow.conn.ReadMessage()
				if want := fmt.Sprintf(`{"frame":{"seq":%d,"type":"message","mailbox":"m","position":%d,`, i+1, i+1); err != nil || !strings.HasPrefix(string(raw), want) {
					t.Fatalf("message %d is %.200s (%v)", i, raw, err)
				}
			}
			t.Logf("the heap grew by %d KiB at most", (int64(most)-int64(before))>>10)
		})
	}
}

// A socket is of the handshake that it names. One of an older one ends, and for good.
func TestSocketOfAnOlderEpochIsSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		first := a.connects(`, "epoch": 1`)
		first.want("heartbeat")
		first.frame(0)
		unnamed := a.connects("") // of the current one, within which the later wins
		unnamed.want("heartbeat")
		first.ends("SUPERSEDED", "slow_down", 4409)
		unnamed.frame(0)

		a.handshake(1, 0).want(http.StatusOK)
		unnamed.ends("SUPERSEDED", "stop", 4409)
		second := a.connects(`, "epoch": 2`)
		second.want("heartbeat")
		late := a.connects(`, "epoch": 1, "ack": 1`)
		late.ends("SUPERSEDED", "stop", 4409) // and it does not get in the way
		b.add("m", "p", "x").want(http.StatusCreated)
		second.frame(1)
		second.send(`{"method": "GET", "path": "/v1/session"}`)
		second.want("reply")

		// A long-poll of a newer handshake ends it just the same.
		a.handshake(2, 0).want(http.StatusOK)
		second.ends("SUPERSEDED", "stop", 4409)
		for _, l := range []*socketClient{first, unnamed, second, late} {
			_ = l.conn.Close()
		}
		synctest.Wait()
	})
}
