package wormhole_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// TestWormholeLimits is of the improvements 5.20 to 5.24 on the reference server.
func TestWormholeLimits(t *testing.T) {
	t.Run("5.20 there are limits", func(t *testing.T) {
		// There: none.
		r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) {
			c.Limits.MailboxMessages, c.Limits.MailboxBytes, c.Limits.Nameplates, c.Limits.Mailboxes = 3, 100<<10, 2, 4
		}})
		a := r.Bind(t, "app", "a").Open("m")
		const full = "a mailbox holds 3 messages of 102400 bytes together; close this one and use another"
		a.Refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", strings.Repeat("x", 64<<10+1))
		a.Add("p", strings.Repeat("x", 64<<10))
		a.Refused(full, "add", "phase", "p", "body", strings.Repeat("x", 60<<10))
		a.Add("p", "two")
		a.Add("p", "three")
		a.Refused(full, "add", "phase", "p", "body", "")
		for nameplate := range 2 {
			r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", fmt.Sprint(nameplate))
		}
		r.Bind(t, "app", "a").Refused("a side may hold 2 nameplates; release one first", "claim", "nameplate", "2")
		r.Bind(t, "app", "a").Open("n")
		r.Bind(t, "app", "a").Refused("a side may be in 4 mailboxes; close one first", "open", "mailbox", "o")
		r.Bind(t, "app", "b").Request("claimed", "claim", "nameplate", "2")
	})
	t.Run("5.21 an app and a side have names", func(t *testing.T) {
		// There: an empty appid and side are fine, and may then be bound again.
		r := handlerstest.Start(t, handlerstest.Options{})
		for _, members := range [][]any{{"appid", "", "side", "a"}, {"appid", "app", "side", ""}, {"appid", "", "side", ""}} {
			c := r.Connect(t)
			c.Refused("'appid' and 'side' must not be empty", "bind", members...)
			c.Refused("must bind first", "list")
			c.Send("bind", "appid", "app", "side", "a")
			c.Refused("already bound", "bind", "appid", "app", "side", "a")
		}
	})
	t.Run(`the mailbox ""`, func(t *testing.T) {
		// There: it is one, which everyone shares who has a malformed code; another app's close of it is dropped.
		r := handlerstest.Start(t, handlerstest.Options{})
		for _, app := range []string{"one", "two"} {
			c := r.Bind(t, app, "a")
			c.Refused("'mailbox' must not be empty", "open", "mailbox", "")
			c.Request("closed", "close", "mailbox", "", "mood", "errory") // Go clients wait for it
		}
		r.WantEmpty(t)
	})
	t.Run("5.22 the order is that of adding, whatever the clock does", func(t *testing.T) {
		// There: replay is ordered by the time of the wall clock.
		var late atomic.Int64
		r := handlerstest.Start(t, handlerstest.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(late.Load())) }})
		a := r.Bind(t, "app", "a").Open("m")
		var bodies []string
		for i := range 5 {
			late.Add(int64(time.Minute))
			bodies = append(bodies, fmt.Sprint(i))
			a.Add("p", bodies[i])
		}
		r.Bind(t, "app", "b").Send("open", "mailbox", "m").WantMessages(bodies...)
	})
	t.Run("5.23 usage counts what it says", func(t *testing.T) {
		// There: a crowded nameplate is over only when all three have released, and a mailbox that no side came to cannot be quiet (see 5.4).
		r := handlerstest.Start(t, handlerstest.Options{})
		a, b, c := r.Bind(t, "app", "a"), r.Bind(t, "app", "b"), r.Bind(t, "app", "c")
		a.Request("claimed", "claim", "nameplate", "4")
		b.Request("claimed", "claim", "nameplate", "4")
		c.Refused("crowded", "claim", "nameplate", "4")
		a.Request("released", "release")
		b.Request("released", "release")
		handlerstest.EqualRows(t, r.Rows(t, `SELECT result FROM usage_nameplates`), "crowded")
		r.WantRows(t, `SELECT app FROM client_versions`, "app", "app", "app") // each bind is one
	})
	t.Run("5.24 a mailbox cannot be guessed", func(t *testing.T) {
		// There: it has 64 random bits.
		r := handlerstest.Start(t, handlerstest.Options{})
		seen := map[string]bool{}
		for i := range 20 {
			mailbox := r.Bind(t, "app", fmt.Sprint(i)).Request("allocated", "allocate").Text("mailbox")
			// 32 × 5 bits: 32 of the time, and 128 that are random.
			if len(mailbox) != 32 || strings.Trim(mailbox, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[mailbox[7:]] {
				t.Fatalf("a mailbox is %q", mailbox)
			}
			seen[mailbox[7:]] = true
		}
	})
}

// The client is told about a frame that is too large, and then the socket is closed. A client that still sends gets both.
func TestWormholeFrameTooLarge(t *testing.T) {
	r := handlerstest.Start(t, handlerstest.Options{Limits: func(l *handlers.Limits) { l.Body = 100 << 10 }})
	for _, size := range []int{100<<10 + 1, 1 << 20, 32 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			other := r.Bind(t, "app", "b")
			c := r.Bind(t, "app", "a")
			sent := make(chan error, 1)
			go func() {
				sent <- c.Conn.WriteMessage(websocket.TextMessage, []byte(`{"type": "ping", "ping": "`+strings.Repeat("x", size-28)+`"}`))
			}()
			c.Last = `{}`
			c.WantError("message too large")
			c.WantClose(websocket.CloseMessageTooBig)
			_ = c.Conn.Close()
			if err := <-sent; err != nil {
				t.Log(err) // it may have been cut
			}
			other.Request("pong", "ping", "ping", 1)
		})
	}
	t.Run("at the limit", func(t *testing.T) {
		c := r.Bind(t, "app", "a").Open("m")
		body := strings.Repeat("x", 64<<10)
		frame := `{"type":"add","phase":"p","id":"0001","body":"` + body + `"}`
		c.Write(websocket.TextMessage, frame[:len(frame)-1]+strings.Repeat(" ", 100<<10-len(frame))+"}")
		c.WantAck(`"0001"`)
		c.WantMessages(body)
	})
}

// A client that does not bind in time is disconnected, whatever else it sends.
func TestWormholeIdentify(t *testing.T) {
	limit := handlers.DefaultLimits().Identify
	for why, chatter := range map[string]func(*testclient.Wormhole){
		"silent": func(*testclient.Wormhole) {},
		"pings": func(c *testclient.Wormhole) {
			_ = c.Conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		},
		"pongs": func(c *testclient.Wormhole) {
			_ = c.Conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
		},
		"unbound": func(c *testclient.Wormhole) {
			_ = c.Conn.WriteMessage(websocket.TextMessage, []byte(`{"type": "list"}`))
		},
	} {
		t.Run(why, func(t *testing.T) {
			handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
				c := r.Connect(t)
				start, done := time.Now(), make(chan struct{})
				c.Conn.SetCloseHandler(func(int, string) error { return nil }) // and does not say goodbye
				go func() {
					defer close(done)
					for range 100 {
						chatter(c)
						elapse(time.Second / 10)
					}
				}()
				for {
					a := <-c.Frames
					var closed *websocket.CloseError
					if a.Err == nil {
						continue
					}
					if !errors.As(a.Err, &closed) || closed.Code != websocket.ClosePolicyViolation || time.Since(start) != limit {
						t.Errorf("it ends with %v after %v", a.Err, time.Since(start))
					}
					break
				}
				c.Ended = true
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if r.Handlers.Wait(ctx); time.Since(start) > limit+2*time.Second {
					t.Errorf("the socket is there for %v", time.Since(start))
				}
				<-done
			})
		})
	}
	t.Run("who binds may stay", func(t *testing.T) {
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			c := r.Bind(t, "app", "a")
			elapse(10 * limit)
			c.WantNothing()
		})
	})
}
