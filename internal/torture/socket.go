package torture

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socket is an open session socket.
type socket struct {
	conn    *websocket.Conn
	writing sync.Mutex
	mu      sync.Mutex
	asked   map[string]chan *socketMessage // by the id of the command
	closed  chan struct{}
}

// socketMessage is what the server sends.
type socketMessage struct {
	Heartbeat json.RawMessage `json:"heartbeat"`
	Frame     json.RawMessage `json:"frame"`
	Error     json.RawMessage `json:"error"`
	ID        string          `json:"id"`
	Ack       *int64          `json:"ack"`
	Reply     *struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"reply"`
}

func (s *socket) write(v any) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // the write fails then
	return s.conn.WriteJSON(v)
}

// connect receives over the session socket until it ends.
func (c *client) connect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.dice.between(2*time.Second, 10*time.Second))
	defer cancel()
	conn, epoch := c.connection()
	at := c.h.now()
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	ws, response, err := dialer.DialContext(ctx, "ws://"+c.base(Socket)+"/v1/session/socket", nil)
	if response != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		_ = pause(ctx, 20*time.Millisecond)
		return
	}
	defer ws.Close() //nolint:errcheck // there is nothing to lose
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	s := &socket{conn: ws, asked: map[string]chan *socketMessage{}, closed: make(chan struct{})}
	defer close(s.closed)
	from := c.wants()
	c.h.add(c.opening(Socket, from))
	if s.write(map[string]any{"sessionId": c.id, "epoch": epoch, "ack": from}) != nil {
		return
	}
	c.mu.Lock()
	c.socket = s
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.socket = nil
		c.mu.Unlock()
	}()
	for {
		var m socketMessage
		if err := ws.ReadJSON(&m); err != nil {
			return
		}
		c.heard(ctx, s, &m, conn, epoch, at, from)
	}
}

func (c *client) heard(ctx context.Context, s *socket, m *socketMessage, conn, epoch int64, at time.Duration, from int64) {
	switch {
	case m.Heartbeat != nil:
		c.beat(m.Heartbeat, conn, at, from)
		c.socketAck(s)
	case m.Frame != nil:
		c.frame(m.Frame, conn, at, from)
		if c.dice.chance(50) {
			c.socketAck(s)
		}
	case m.Error != nil:
		c.failed(ctx, m.Error, conn, at, epoch)
	case m.Reply != nil:
		s.mu.Lock()
		answer := s.asked[m.ID]
		delete(s.asked, m.ID)
		s.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}

// socketAck acknowledges over the socket. There is no answer to it.
func (c *client) socketAck(s *socket) {
	e := &Event{Kind: Said, At: c.h.now(), Session: c.label, Transport: Socket, Seq: none, Ack: c.wants(), Wanted: none}
	_ = s.write(map[string]int64{"ack": e.Ack}) // if it cannot be written, reading ends too
	c.h.add(e)
}

// ask tries a request once, over the socket, and records it.
func (c *client) ask(ctx context.Context, s *socket, q call) *Event {
	e := &Event{
		Kind: Request, At: c.h.now(), Session: c.label, Transport: Socket,
		Method: q.method, Path: q.path, Seq: q.seq, Ack: q.ack, Sent: q.body, Wanted: none,
	}
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	answer := make(chan *socketMessage, 1)
	id := c.w.unique("q")
	s.mu.Lock()
	s.asked[id] = answer
	s.mu.Unlock()
	command := map[string]any{"id": id, "method": q.method, "path": q.path}
	if q.seq != none {
		command["seq"] = q.seq
	}
	if q.ack != none {
		command["ack"] = q.ack
	}
	if q.body != "" {
		command["body"] = json.RawMessage(q.body)
	}
	if s.write(command) == nil {
		select {
		case m := <-answer:
			e.Done = c.h.now()
			e.Status, e.Answer = m.Reply.Status, string(m.Reply.Body)
			if m.Ack != nil {
				e.Wanted = *m.Ack
			}
			e.Wrong = c.w.contract.breach(q.method, q.path, e.Status, nil, m.Reply.Body)
			if e.Status >= 400 {
				e.Code = codeOf(m.Reply.Body)
			}
			if m.Reply.Headers["Replayed"] != "" {
				c.w.replayed.Add(1)
			}
		case <-s.closed:
		case <-ctx.Done():
		}
	}
	c.h.add(e)
	return e
}

var errNoAnswer = errors.New("no answer")
