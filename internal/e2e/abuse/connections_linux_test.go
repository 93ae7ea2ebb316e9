package abuse_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
)

// TestManySockets has one address open 5,000 sockets, by night; every day it is fewer, of as many fewer as it may have.
func TestManySockets(t *testing.T) {
	t.Parallel()
	most, attempts, atOnce := 20, 60, 20
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		most, attempts, atOnce = 200, 5000, 250
	}
	s := serve(t, fmt.Sprint("--max-sockets=", most), "--request-rate=200", "--request-burst=400")
	c := &client{server: s, address: "198.51.100.1", app: "sockets"}
	var opened atomic.Int64
	var dialing sync.WaitGroup
	for n := range atOnce {
		dialing.Go(func() {
			for i := n; i < attempts; i += atOnce {
				if c.upgrade(t.Context(), "/v1", websocket.DefaultDialer) != nil { // it is closed when the test ends
					opened.Add(1)
				}
			}
		})
	}
	dialing.Wait()
	if got := int(opened.Load()); got != most || int(c.refused.Load()) != attempts-most {
		t.Errorf("of %d sockets of one address, %d are open and %d were refused; it may have %d: %s", attempts, got, c.refused.Load(), most, c.told())
	}
	for pair := range meetings {
		meet(t, s, c.app, pair)
	}
	c.isNamed(t, []string{quotaExceeded})
}

// TestIdleConnections has one address connect and say nothing, as often as it may and some more.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	const most, more = 500, 20
	s := serve(t, fmt.Sprint("--max-connections=", most))
	c := &client{server: s, address: "127.0.0.7", app: "idle"}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.address)}}
	for i := range most + more {
		conn, err := from.DialContext(t.Context(), "tcp", s.Address)
		if err != nil && i < most {
			t.Fatalf("connection %d is refused: %v", i, err)
		}
		if err == nil { // one that is too many may be closed before it is known to be open
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	for pair := range meetings {
		meet(t, s, c.app, pair)
	}
	c.isNamed(t, []string{`"msg":"too many connections; closed one at once","address":"ADDR`})
}

// TestSlowReaders has a client for each transport ask for more than systems take in for it, and read nothing.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	s := serve(t, "--slow-reader=1s", "--max-body=1000000")
	transports := map[string]func(ctx context.Context, c *client, over net.Conn, credentials string) error{
		"log": func(_ context.Context, c *client, over net.Conn, credentials string) error {
			return c.get(over, "/v1/mailboxes/large/messages?after=0", credentials, "*/*")
		},
		"poll": func(_ context.Context, c *client, over net.Conn, credentials string) error {
			return errors.Join( // the first answer has only what precedes the letter
				c.get(over, "/v1/session/events?ack=0", credentials, "application/json"),
				c.get(over, "/v1/session/events?ack=1", credentials, "application/json"))
		},
		"stream": func(_ context.Context, c *client, over net.Conn, credentials string) error {
			return c.get(over, "/v1/session/events?ack=0", credentials, "text/event-stream")
		},
		"session socket": func(ctx context.Context, c *client, over net.Conn, credentials string) error {
			return c.talk(ctx, over, "/v1/session/socket", fmt.Sprintf(`{"sessionId":%q}`, strings.TrimPrefix(credentials, "Bearer ")))
		},
		"wormhole socket": func(ctx context.Context, c *client, over net.Conn, _ string) error {
			return c.talk(ctx, over, "/v1", fmt.Sprintf(`{"type":"bind","appid":%q,"side":"other"}`, c.app), `{"type":"open","mailbox":"large"}`)
		},
	}
	n := 0
	for name, ask := range transports {
		n++
		c := &client{server: s, address: fmt.Sprintf("198.51.100.%d", n), app: name}
		t.Run(name, func(t *testing.T) {
			credentials := ""
			if name != "wormhole socket" { // it would be a third side
				credentials = c.begin(t.Context())
			}
			if a := c.ask(t.Context(), http.MethodPut, "/v1/mailboxes/large", credentials, ""); name != "wormhole socket" && a.Status != http.StatusOK {
				t.Fatalf("it cannot open the mailbox: %d %s", a.Status, a.Body)
			}
			letter := `{"phase":"p","body":"` + strings.Repeat(`\u0001`, 64<<10) + `"}` // six times as long as its bytes
			if a := c.ask(t.Context(), http.MethodPost, "/v1/mailboxes/large/messages?open=true", c.keyed("writer"), letter); a.Status != http.StatusCreated {
				t.Fatalf("the letter: %d %s", a.Status, a.Body)
			}
			if err := ask(t.Context(), c, e2e.DialThin(t, s.Address), credentials); err != nil {
				t.Fatal(err)
			}
			for pair := range meetings {
				meet(t, s, c.app, pair+meetings*n)
			}
			c.isNamed(t, []string{`"msg":"closed a connection","address":"ADDR.*"limit":"slow-reader"`})
		})
	}
}

// get sends a request on a connection, and reads no answer.
func (c *client) get(over net.Conn, path, credentials, accept string) error {
	_, err := fmt.Fprintf(over, "GET %s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nAuthorization: %s\r\nAccept: %s\r\n\r\n", path, c.address, credentials, accept)
	return err
}

// talk opens a WebSocket on a connection and sends messages. It reads no more than the answer to the handshake.
func (c *client) talk(ctx context.Context, over net.Conn, path string, messages ...string) error {
	conn := c.upgrade(ctx, path, &websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return over, nil }})
	if conn == nil {
		return errors.New(c.told())
	}
	for _, message := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			return err
		}
	}
	return nil
}
