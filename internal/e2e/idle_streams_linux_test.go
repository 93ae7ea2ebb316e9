package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// told is what a client is told over an event stream or a session socket, frames and errors as one object each.
type told struct {
	next   func() (string, error)
	hangUp func()
}

// hears reads until a text has been told.
func (c told) hears(t *testing.T, text string) {
	t.Helper()
	for {
		got, err := c.next()
		if err != nil {
			t.Fatalf("waiting for %s: %v", text, err)
		}
		if strings.Contains(got, text) {
			return
		}
	}
}

// follow opens an event stream of a client, or a session socket.
func follow(ctx context.Context, t *testing.T, s *e2e.Server, one *testclient.Client, overSocket bool) told {
	t.Helper()
	if overSocket {
		conn, _, err := e2e.DialWebSocket("ws://"+s.Address+"/v1/session/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.WriteJSON(map[string]string{"sessionId": one.ID()}); err != nil {
			t.Fatal(err)
		}
		return told{func() (string, error) {
			_ = conn.SetReadDeadline(time.Now().Add(e2e.Limit))
			_, raw, err := conn.ReadMessage()
			return string(raw), err
		}, func() { _ = conn.Close() }}
	}
	ctx, hangUp := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/session/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Authorization": {"Bearer " + one.ID()}}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(); _ = got.Body.Close() })
	lines := bufio.NewReader(got.Body)
	return told{func() (string, error) { return lines.ReadString('\n') }, hangUp}
}

// TestStreamsAndSocketsThatWaitHaveNoGoroutine holds that clients that wait on event streams and session sockets cost no
// goroutine, are told what comes, are noticed when they leave, and are told when the server stops.
func TestStreamsAndSocketsThatWaitHaveNoGoroutine(t *testing.T) {
	t.Parallel()
	ctx := e2e.Context(t)
	const many, leave = 60, 20
	c := &crowd{t: t, s: e2e.Serve(t, "--drain=1s")}
	writer := e2e.NewClient(c.s, "writer")
	if err := writer.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	var all []told
	for i := range many {
		one := e2e.NewClient(c.s, fmt.Sprint("side-", i))
		if err := one.Handshake(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Command(ctx, http.MethodPut, fmt.Sprint("/v1/mailboxes/of-", i), nil); err != nil {
			t.Fatal(err)
		}
		all = append(all, follow(ctx, t, c.s, one, i%2 == 0))
		all[i].hears(t, "nextWaitMs")
		one.HTTP.CloseIdleConnections() // each has a goroutine of the HTTP server
	}
	c.goroutines("those that wait have no goroutines", func(n int) bool { return n < many/2 })
	open := func(n int) func() bool {
		return func() bool {
			return strings.Contains(string(c.s.Get("/metrics").Body), fmt.Sprintf("restante_streams_open %d\n", n))
		}
	}
	e2e.Eventually(t, "all are open", open(many))

	for i, one := range all {
		path, body := fmt.Sprint("/v1/mailboxes/of-", i), fmt.Sprint("for ", i)
		if _, err := writer.Command(ctx, http.MethodPut, path, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Command(ctx, http.MethodPost, path+"/messages", map[string]string{"phase": "p", "body": body}); err != nil {
			t.Fatal(err)
		}
		one.hears(t, fmt.Sprintf("%q", body))
		if _, err := writer.Command(ctx, http.MethodDelete, path, nil); err != nil { // it may have only so many open
			t.Fatal(err)
		}
	}

	for _, one := range all[:leave] {
		one.hangUp()
	}
	e2e.Eventually(t, "those that left are noticed", open(many-leave))
	c.s.Signal(syscall.SIGTERM)
	for _, one := range all[leave:] {
		one.hears(t, "DRAINING")
		for err := error(nil); err == nil; { // and then it ends
			_, err = one.next()
		}
	}
	if code := c.s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
