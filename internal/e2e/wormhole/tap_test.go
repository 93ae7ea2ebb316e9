package wormhole_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// command is what a wormhole client tells the server.
type command struct {
	kind string
	raw  []byte
}

// step names a command by what it does in a transfer.
func (c command) step() string {
	var frame struct{ Phase string }
	_ = json.Unmarshal(c.raw, &frame) // clients send JSON
	return strings.TrimSpace(c.kind + " " + frame.Phase)
}

// tappedLine is one connection of a client to a server, tapped.
type tappedLine struct {
	client, server *websocket.Conn
	cut            atomic.Bool   // nothing goes to the client any more
	answered       chan struct{} // a fence came back
}

// fenced has the server answer everything that was sent to it. It ends also when the connection does.
func (w *tappedLine) fenced() {
	if err := w.server.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","ping":"fence","id":"fence"}`)); err != nil {
		return
	}
	<-w.answered
}

// pass sends a command on to the server.
func (w *tappedLine) pass(c command) { _ = w.server.WriteMessage(websocket.TextMessage, c.raw) } // if that fails, the other direction ends too

// tapped is an address that leads to a server by way of us.
type tapped struct {
	address   string
	server    *e2e.Server
	onCommand func(*tappedLine, command)
}

// tap listens for clients. Each command that they send is heard, and onCommand passes it on.
func tap(t *testing.T, s *e2e.Server, onCommand func(*tappedLine, command)) *tapped {
	t.Helper()
	a := &tapped{server: s, onCommand: onCommand}
	door := httptest.NewServer(a)
	t.Cleanup(func() {
		door.CloseClientConnections()
		door.Close()
	})
	a.address = strings.TrimPrefix(door.URL, "http://")
	return a
}

// ServeHTTP is a client that comes. If the server is down it is waited for, as long as clients wait.
func (a *tapped) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var server *websocket.Conn
	for deadline := time.Now().Add(4 * time.Second); ; {
		conn, _, err := e2e.DialWebSocket("ws://"+a.server.Address+r.URL.Path, nil)
		if err == nil {
			server = conn
			break
		}
		if time.Now().After(deadline) || testclient.Pause(r.Context(), 10*time.Millisecond) != nil {
			http.Error(rw, "the server is down", http.StatusBadGateway) //nolint:forbidigo // as a proxy would
			return
		}
	}
	defer server.Close()
	client, err := (&websocket.Upgrader{}).Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	defer client.Close()
	w := &tappedLine{client: client, server: server, answered: make(chan struct{})}
	go w.answer()
	for {
		_, raw, err := client.ReadMessage()
		if err != nil {
			return
		}
		c := command{raw: raw}
		var frame struct{ Type string }
		_ = json.Unmarshal(raw, &frame) // clients send JSON
		c.kind = frame.Type
		a.onCommand(w, c)
	}
}

// answer passes on what the server says, but for answers to fences.
func (w *tappedLine) answer() {
	defer close(w.answered)
	defer w.client.Close()
	for {
		kind, raw, err := w.server.ReadMessage()
		if err != nil {
			return
		}
		var frame struct{ Type, ID, Pong any }
		_ = json.Unmarshal(raw, &frame) // so does the server
		switch {
		case frame.Type == "ack" && frame.ID == "fence":
		case frame.Type == "pong" && frame.Pong == "fence":
			w.answered <- struct{}{}
		case w.cut.Load():
		default:
			if err := w.client.WriteMessage(kind, raw); err != nil {
				return
			}
		}
	}
}
