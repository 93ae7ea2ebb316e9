package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// FuzzSocketMessage sends a session's socket whatever there is, as its first message or after
// that. It is answered as the contract says, or ends the socket with a reason; nothing is the server's
// fault, and the session is as alive as before. SESSION stands for the session's id.
func FuzzSocketMessage(f *testing.F) {
	for _, first := range []string{
		`{"sessionId": "SESSION"}`, `{"sessionId": "SESSION", "epoch": 1, "ack": 0}`, `{"sessionId": "SESSION", "epoch": 2}`, `{"sessionId": "SESSION", "ack": 3}`,
		`{"sessionId": "another-session-000000"}`, `{"sessionId": "short"}`, `{"sessionId": null}`, `{"sessionId": "SESSION", "sessionId": "SESSION"}`, `{"ack": 0}`, `{`, ``,
	} {
		f.Add([]byte(first), true, false)
	}
	for _, message := range []string{
		`{"ack": 0}`, `{"ack": 1}`, `{"ack": -1}`, `{"ack": 1e3}`, `[]`, `null`, `{"ack": 0}{}`, "{\"id\": \"\xff\", \"method\": \"GET\", \"path\": \"/v1/session\"}",
		`{"id": "x", "seq": 0, "ack": 0, "method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "p", "body": "a"}}`,
		`{"seq": 0, "method": "PUT", "path": "/v1/mailboxes/n?after=0", "body": {"ttlMs": 60000}}`, `{"seq": 9, "method": "DELETE", "path": "/v1/nameplates/4"}`,
		`{"method": "GET", "path": "/v1/mailboxes/m/messages?after=0&limit=1"}`, `{"method": "DELETE", "path": "/v1/mailboxes/m?mood=lonely"}`, `{"method": "DELETE", "path": "/v1/session"}`,
		`{"method": "POST", "path": "/v1/nameplates", "body": {}}`, `{"method": "PUT", "path": "/v1/nameplates/7", "body": null}`, `{"method": "GET", "path": "/v1/session/events"}`,
		`{"method": "POST", "path": "/v1/session/ack", "body": {"ack": 0}}`, `{"method": "GET", "path": "//v1/session"}`, `{"method": "GET", "path": "/v1/mailboxes/%2e%2e/%00"}`, `{"method": "GET", "path": "/%"}`, `{"method": "GET", "path": ""}`,
	} {
		f.Add([]byte(message), false, false)
		f.Add([]byte(message), false, true)
	}
	w := start(f, options{
		Config: func(c *rendezvous.Config) { c.Limits.AddressSessions = 1 << 30 },
		Limits: func(l *handlers.Limits) { l.Sockets = 1 << 30 },
	})
	const secret = "fuzzed-session-"
	w.Secret(secret)
	var sessions atomic.Int64
	f.Fuzz(func(t *testing.T, message []byte, first, binary bool) {
		if len(message) > 200<<10 {
			return // what is too large is tested where limits are
		}
		n := sessions.Add(1)
		c := &client{TB: t, w: w, app: fmt.Sprint("fuzz ", n), side: "fuzz", id: fmt.Sprintf("%s%010d", secret, n)}
		c.handshake(0, 0).want(http.StatusCreated)
		c.open("m").want(http.StatusOK)
		l, got := w.upgrade(t, nil)
		if l == nil {
			t.Fatalf("no socket: %d", got)
		}
		defer l.conn.Close()
		_ = l.conn.SetReadDeadline(time.Now().Add(testclient.Limit)) // it is a TCP connection, which can
		if !first {
			l.send(fmt.Sprintf(`{"sessionId": %q}`, c.id))
			l.want("heartbeat")
		}
		kind := websocket.TextMessage
		if binary {
			kind = websocket.BinaryMessage
		}
		if err := l.conn.WriteMessage(kind, []byte(strings.ReplaceAll(string(message), "SESSION", c.id))); err != nil {
			t.Fatal(err)
		}
		l.send(`{"id": "still there", "method": "GET", "path": "/v1/session"}`)
		l.fuzzed()
		again, err := c.get("/v1/session").exchange(t.Context())
		if err != nil || again.status != http.StatusOK && !(again.status == http.StatusGone && strings.Contains(string(message), "DELETE")) {
			t.Errorf("the session is answered %v (%v)", again, err)
		}
	})
}

// fuzzed hears what follows a message: one reply at most, and then that it is still there; or why it ends.
func (l *socketClient) fuzzed() {
	l.Helper()
	var why string
	for replies := 0; ; {
		_, raw, err := l.conn.ReadMessage()
		if closed, is := errors.AsType[*websocket.CloseError](err); is {
			if why == "" || !strings.HasPrefix(closed.Text, why+" ") {
				l.Errorf("it is closed with %v after the error %q", closed, why)
			}
			return
		}
		if err != nil {
			l.Fatalf("it neither answers nor ends: %v", err)
		}
		var said struct {
			ID        string
			Heartbeat json.RawMessage
			Frame     json.RawMessage
			Reply     *struct{ Status int }
			Error     *struct {
				Status int
				Code   string
			}
		}
		if err := json.Unmarshal(raw, &said); err != nil {
			l.Fatalf("%s: %v", raw, err)
		}
		switch {
		case why != "":
			l.Errorf("after the error comes %s", raw)
		case said.Error != nil:
			holds(l.TB, "SocketError", string(raw))
			if why = said.Error.Code; said.Error.Status >= 500 {
				l.Errorf("it ends with %s", raw)
			}
		case said.Reply != nil:
			holds(l.TB, "SocketReply", string(raw))
			if said.Reply.Status >= 500 {
				l.Errorf("it is answered %s", raw)
			}
			if replies++; replies > 2 {
				l.Errorf("one more reply: %s", raw)
			}
			if said.ID == "still there" {
				return
			}
		case said.Heartbeat != nil:
			holds(l.TB, "SocketHeartbeat", string(raw))
		case said.Frame != nil:
			holds(l.TB, "SocketFrame", string(raw))
		default:
			l.Errorf("it says %s", raw)
		}
	}
}
