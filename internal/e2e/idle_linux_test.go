package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// crowd is clients that wait, half of them by long-poll, half on wormhole sockets, each in a mailbox of its own.
type crowd struct {
	t       *testing.T
	s       *e2e.Server
	hangUp  []func() // of the polls
	answers chan pollAnswer
	sockets []*websocket.Conn
}

type pollAnswer struct {
	of int
	testclient.Answer
	err error
}

const half = 100

func gather(ctx context.Context, t *testing.T, flags ...string) *crowd {
	t.Helper()
	c := &crowd{t: t, s: e2e.Serve(t, append([]string{"--heartbeat-interval=1h"}, flags...)...), answers: make(chan pollAnswer, half)}
	for i := range half {
		one := e2e.NewClient(c.s, fmt.Sprint("side-", i))
		if err := one.Handshake(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Command(ctx, http.MethodPut, fmt.Sprint("/v1/mailboxes/of-", i), nil); err != nil {
			t.Fatal(err)
		}
		ctx, hangUp := context.WithCancel(ctx)
		c.hangUp = append(c.hangUp, hangUp)
		go func() {
			a, err := one.Poll(ctx)
			c.answers <- pollAnswer{i, a, err}
		}()
		c.sockets = append(c.sockets, c.socket("side-"+fmt.Sprint(i), fmt.Sprint("their-", i)))
	}
	c.s.WaitPolls(half)
	return c
}

// socket is a wormhole client that has a mailbox open.
func (c *crowd) socket(side, mailbox string) *websocket.Conn {
	c.t.Helper()
	conn, _, err := e2e.DialWebSocket("ws://"+c.s.Address+"/v1", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	for _, said := range []string{`{"type":"bind","appid":"example.org/e2e","side":"` + side + `"}`, `{"type":"open","mailbox":"` + mailbox + `"}`} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(said)); err != nil {
			c.t.Fatal(err)
		}
	}
	return conn
}

// hears reads from a socket until it is told a message.
func (c *crowd) hears(conn *websocket.Conn) (body string) {
	c.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(e2e.Limit))
	for {
		var told struct{ Type, Body string }
		_, raw, err := conn.ReadMessage()
		if err == nil {
			err = json.Unmarshal(raw, &told)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if told.Type == "message" {
			return told.Body
		}
	}
}

// goroutines are the server's, once they are as many as they should be.
func (c *crowd) goroutines(what string, as func(int) bool) {
	c.t.Helper()
	e2e.Eventually(c.t, what, func() bool {
		for line := range strings.Lines(string(c.s.Get("/metrics").Body)) {
			if text, is := strings.CutPrefix(strings.TrimSpace(line), "go_goroutines "); is {
				n, err := strconv.Atoi(text)
				return err == nil && as(n)
			}
		}
		return false
	})
}

func TestWhoWaitsHasNoGoroutine(t *testing.T) {
	t.Parallel()
	ctx := e2e.Context(t)
	c := gather(ctx, t, "--drain=1s", "--max-mailboxes=1000")
	c.goroutines("those that wait have no goroutines", func(n int) bool { return n < half/2 })

	// Each is woken by what is for it, and by nothing else.
	writer := e2e.NewClient(c.s, "writer")
	if err := writer.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range half / 2 {
		path, body := fmt.Sprint("/v1/mailboxes/of-", i), fmt.Sprint("for ", i)
		if _, err := writer.Command(ctx, http.MethodPut, path, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Command(ctx, http.MethodPost, path+"/messages", map[string]string{"phase": "p", "body": body}); err != nil {
			t.Fatal(err)
		}
		got := <-c.answers
		if got.err != nil || got.of != i || got.Status != http.StatusOK {
			t.Fatalf("for %d, %d is answered: %d, %v", i, got.of, got.Status, got.err)
		}
		other := c.socket("writer", fmt.Sprint("their-", i))
		if err := other.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"add","phase":"p","body":%q}`, body)); err != nil {
			t.Fatal(err)
		}
		if said := c.hears(c.sockets[i]); said != body {
			t.Errorf("socket %d is told %q, want %q", i, said, body)
		}
	}

	// A client that leaves is noticed, also while it waits.
	c.s.WaitPolls(half / 2)
	const leave = 20
	for i := half - leave; i < half; i++ {
		c.hangUp[i]()
		_ = c.sockets[i].Close()
		if got := <-c.answers; got.err == nil {
			t.Errorf("who hung up is answered %d", got.Status)
		}
	}
	c.s.WaitPolls(half/2 - leave)

	// A server that stops answers all that wait.
	began := time.Now()
	c.s.Signal(syscall.SIGTERM)
	for range half/2 - leave {
		got := <-c.answers
		if got.err != nil || got.Status != http.StatusOK {
			t.Errorf("at the stop: %d, %v", got.Status, got.err)
		}
	}
	if code := c.s.Wait(); code != 0 {
		t.Errorf("exit code %d, %v after the signal", code, time.Since(began))
	}
}

func TestParkingCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	ctx := e2e.Context(t)
	c := gather(ctx, t, "--no-parking", "--drain=0s")
	time.Sleep(time.Second) // a real process, and longer than it takes to be parked: that nothing happens cannot be waited for
	c.goroutines("those that wait have goroutines", func(n int) bool { return n > 2*half })
	c.s.Signal(syscall.SIGTERM)
	for range half {
		if got := <-c.answers; got.err != nil || got.Status != http.StatusOK {
			t.Errorf("at the stop: %d, %v", got.Status, got.err)
		}
	}
	if code := c.s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
