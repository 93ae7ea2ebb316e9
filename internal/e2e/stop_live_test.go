package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestStopWithStreamsAndSockets stops a server on which clients listen to streams and sockets
// while someone talks to each, and starts it again. All are told to come back, over the span of the drain; the stop waits
// for no client, not even for one that does not read the end, or has sent nothing yet; and each number is heard once, in order.
func TestStopWithStreamsAndSockets(t *testing.T) {
	t.Parallel()
	const drain, each, silent = 8 * time.Second, 15, 5
	s := e2e.Serve(t, "--drain="+drain.String(), "--heartbeat-interval=5s")
	ctx := e2e.Context(t)
	speaker := e2e.NewClient(s, "speaker")
	if err := speaker.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	var listeners []*listener
	for kind, live := range map[string]func(*listener, context.Context) (ending, error){"stream": (*listener).stream, "socket": (*listener).socket} {
		for i := range each {
			name := fmt.Sprintf("%s-%d", kind, i)
			listeners = append(listeners, &listener{Client: e2e.NewClient(s, name), mailbox: name, live: live})
		}
	}
	err := e2e.AtOnce(listeners, func(l *listener) error {
		for _, c := range []*testclient.Client{l.Client, speaker} {
			if c == l.Client {
				if err := c.Handshake(ctx); err != nil {
					return err
				}
			}
			if _, err := c.Command(ctx, http.MethodPut, "/v1/mailboxes/"+l.mailbox, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	quiet(ctx, t, s, silent)

	listening, hangUp := context.WithCancel(ctx)
	defer hangUp()
	listened := make(chan error, 1)
	go func() { listened <- e2e.AtOnce(listeners, func(l *listener) error { return l.listen(listening) }) }()
	talking, hush := context.WithCancel(ctx)
	defer hush()
	var said atomic.Int64
	spoken := make(chan error, 1)
	go func() {
		for talking.Err() == nil {
			for _, l := range listeners {
				if _, err := speaker.Command(ctx, http.MethodPost, "/v1/mailboxes/"+l.mailbox+"/messages", map[string]string{"phase": "number", "body": strconv.FormatInt(said.Load(), 10)}); err != nil {
					spoken <- err
					return
				}
			}
			said.Add(1)
		}
		spoken <- nil
	}()
	heard := func(n int) func() bool {
		return func() bool {
			for _, l := range listeners {
				l.mu.Lock()
				here := l.heard
				l.mu.Unlock()
				if here < n {
					return false
				}
			}
			return true
		}
	}
	e2e.Eventually(t, "all hear something", heard(3))

	for range silent { // as browsers open them, in case that they will need one
		over, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = over.Close() })
	}
	stopped := time.Now()
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	ended := time.Since(stopped)
	var last time.Duration
	quarters := make([]int, 4)
	for _, l := range listeners {
		e2e.Eventually(t, l.mailbox+" is told the end", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.ends) == 1
		})
		end := l.ends[0]
		how := "1001 DRAINING retry"
		if strings.HasPrefix(l.mailbox, "stream") {
			how = "1000"
		}
		if end.Code != "DRAINING" || end.Action != "retry" || end.how != how || l.broke != 0 {
			t.Errorf("%s ended with %v, %q, and %d before it broke off", l.mailbox, &end.Problem, end.how, l.broke)
		}
		after := end.at.Sub(stopped)
		last = max(last, after)
		quarters[min(int(4*after/drain), 3)]++
	}
	if slices.Contains(quarters, len(listeners)) {
		t.Errorf("all %d clients were let go at once, by quarters of the %v: %v", len(listeners), drain, quarters)
	}
	before := int(said.Load())
	s.Start()
	s.WaitReady()
	started := time.Now()
	e2e.Eventually(t, "all hear more", heard(before+3))
	back := time.Since(started)
	hush()
	if err := <-spoken; err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "all hear everything", heard(int(said.Load())))
	hangUp()
	if err := <-listened; err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		if l.Count.Resumed.Load() == 0 || l.opened < 2 {
			t.Errorf("%s came back %d times and was resumed %d times", l.mailbox, l.opened-1, l.Count.Resumed.Load())
		}
	}
	t.Logf("%d streams and sockets, and %d that do not read or say anything: all told within %v, by quarters of the drain %v; exit 0 after %v; all hear again %v after the start; %d numbers each",
		len(listeners), 3*silent, last.Round(time.Millisecond), quarters, ended.Round(time.Millisecond), back.Round(time.Millisecond), said.Load())
}

// quiet opens streams and sockets that are not read.
func quiet(ctx context.Context, t *testing.T, s *e2e.Server, n int) {
	t.Helper()
	for i := range 2 * n {
		c := e2e.NewClient(s, fmt.Sprintf("quiet-%d", i))
		if err := c.Handshake(ctx); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			over, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = over.Close() })
			if _, err := fmt.Fprintf(over, "GET /v1/session/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n", c.ID()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		conn, got, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+s.Address+"/v1/session/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.WriteJSON(map[string]string{"sessionId": c.ID()}); err != nil {
			t.Fatal(err)
		}
	}
}
