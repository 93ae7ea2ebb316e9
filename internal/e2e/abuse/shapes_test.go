package abuse_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
)

// shape is one way to ask for too much.
type shape struct {
	// act asks the i-th time, on one of several goroutines, each of which has its own state.
	act func(ctx context.Context, c *client, w *worker, i int)
	// found are patterns of lines of the log. ADDR stands for the client's address.
	found []string
	// unanswered tells that it is not refused with an answer: it is only slowed down, or cut off.
	unanswered bool
}

// worker is what one goroutine of a shape keeps between the times that it asks.
type worker struct {
	n           int // its number
	credentials string
	socket      *websocket.Conn
}

// The lines of the log in which a client is found.
const (
	rateLimited    = `"status":429,.*"address":"ADDR.*"code":"RATE_LIMITED"`
	quotaExceeded  = `"status":429,.*"address":"ADDR.*"code":"QUOTA_EXCEEDED"`
	slowedByRate   = `"msg":"slowed a client down","address":"ADDR.*"limit":"request-rate"`
	slowedByClaims = `"msg":"slowed a client down","address":"ADDR.*"limit":"claim-rate"`
)

var shapes = map[string]shape{
	"allocating in a loop":             {act: allocate, found: []string{rateLimited}},
	"guessing over HTTP":               {act: guess, found: []string{rateLimited}},
	"guessing over one session socket": {act: guessOnSessionSocket, found: []string{rateLimited}},
	"guessing over one socket":         {act: guessOnOneSocket, found: []string{slowedByRate}, unanswered: true},
	"guessing over many sockets":       {act: guessOnManySockets, found: []string{slowedByClaims, rateLimited}},
	"filling":                          {act: fill, found: []string{quotaExceeded}},
	"opening a full mailbox again":     {act: reopen, found: []string{rateLimited}},
	"refusals at full speed":           {act: goOn, found: []string{rateLimited}},
	"a thousand networks of one /48":   {act: manyNetworks, found: []string{rateLimited}},
}

// allocate has many sessions hold as many nameplates as they may.
func allocate(ctx context.Context, c *client, _ *worker, _ int) {
	credentials := c.begin(ctx)
	for range 16 {
		if credentials == "" {
			return
		}
		c.ask(ctx, http.MethodPost, "/v1/nameplates", credentials, "")
	}
}

// guess claims numbers that may be those of others, each time as another.
func guess(ctx context.Context, c *client, w *worker, i int) {
	c.ask(ctx, http.MethodPut, fmt.Sprintf("/v1/nameplates/%d", 10+i), c.keyed(fmt.Sprint(w.n, "-", i)), "")
}

// guessOnSessionSocket does the same on the socket of a session.
func guessOnSessionSocket(ctx context.Context, c *client, w *worker, i int) {
	if w.socket == nil {
		if w.credentials == "" {
			w.credentials = c.begin(ctx)
		}
		if w.socket = c.upgrade(ctx, "/v1/session/socket", websocket.DefaultDialer); w.socket == nil {
			return
		}
		_ = w.say(fmt.Sprintf(`{"sessionId":%q}`, strings.TrimPrefix(w.credentials, "Bearer ")))
	}
	if w.say(fmt.Sprintf(`{"id":"%d","method":"PUT","path":"/v1/nameplates/%d"}`, i, 10+i)) != nil {
		return
	}
	if _, reply, err := w.socket.ReadMessage(); err == nil && strings.Contains(string(reply), `"status":429`) {
		c.refused.Add(1)
	}
}

// guessOnOneSocket does the same on one socket of the wormhole protocol.
func guessOnOneSocket(ctx context.Context, c *client, w *worker, i int) {
	if w.socket == nil {
		if w.socket = c.bind(ctx, fmt.Sprint("side", w.n)); w.socket == nil {
			return
		}
	}
	if w.say(fmt.Sprintf(`{"type":"claim","nameplate":"%d"}`, 10+i)) != nil {
		return
	}
	for range 2 { // the ack and the answer: not to read is another shape
		_, _, _ = w.socket.ReadMessage()
	}
}

// guessOnManySockets has a socket for each guess.
func guessOnManySockets(ctx context.Context, c *client, w *worker, i int) {
	if w.socket = c.bind(ctx, fmt.Sprint("side", w.n, "-", i)); w.socket == nil {
		return
	}
	_ = w.say(fmt.Sprintf(`{"type":"claim","nameplate":"%d"}`, 10+4*i+w.n))
	_ = w.socket.Close()
	w.socket = nil
}

// bind opens a socket of the wormhole protocol, or returns nil.
func (c *client) bind(ctx context.Context, side string) *websocket.Conn {
	conn := c.upgrade(ctx, "/v1", websocket.DefaultDialer)
	if conn == nil {
		return nil
	}
	if err := conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"bind","appid":%q,"side":%q}`, c.app, side)); err != nil {
		_ = conn.Close()
		return nil
	}
	return conn
}

// say sends a message on the socket, which is given up if that fails.
func (w *worker) say(text string) error {
	err := w.socket.WriteMessage(websocket.TextMessage, []byte(text))
	if err != nil {
		_ = w.socket.Close()
		w.socket = nil
	}
	return err
}

// fill leaves messages, each as large as it may be.
func fill(ctx context.Context, c *client, w *worker, i int) {
	c.ask(ctx, http.MethodPost, fmt.Sprintf("/v1/mailboxes/m%d/messages?open=true", w.n), c.keyed("fill"), fmt.Sprintf(`{"phase":"%d","body":%q}`, i, strings.Repeat("x", 60_000)))
}

// reopen opens a full mailbox again and again, to have all that is in it sent each time.
func reopen(ctx context.Context, c *client, w *worker, i int) {
	mailbox := fmt.Sprint("/v1/mailboxes/full", w.n)
	if i == 0 {
		w.credentials = c.begin(ctx)
		message := fmt.Sprintf(`{"phase":"p","body":%q}`, strings.Repeat("x", 20_000))
		c.ask(ctx, http.MethodPost, mailbox+"/messages?open=true", c.keyed("reopen"), "["+message+strings.Repeat(","+message, 9)+"]")
	}
	c.ask(ctx, http.MethodPut, mailbox+"?after=0", w.credentials, "")
	c.ask(ctx, http.MethodDelete, mailbox, w.credentials, "")
}

// goOn asks again at once, whatever the answer is.
func goOn(ctx context.Context, c *client, _ *worker, _ int) {
	c.ask(ctx, http.MethodGet, "/v1/status", "", "")
}

// manyNetworks asks each time from another network of one customer.
func manyNetworks(ctx context.Context, c *client, w *worker, i int) {
	one := &client{server: c.server, address: fmt.Sprintf("2001:db8:7:%x::1", (250*w.n+i)%1000), app: c.app}
	one.ask(ctx, http.MethodGet, "/v1/status", "", "")
	c.refused.Add(one.refused.Load())
	c.noteTold(one.told())
}
