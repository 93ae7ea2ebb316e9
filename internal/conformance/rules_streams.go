package conformance

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// event is an event of a stream.
type event struct{ name, id, data string }

// stream begins to receive as a stream.
func (c *client) stream(query string, header ...string) (next func() event) {
	r := request{method: http.MethodGet, path: c.events(query), header: map[string]string{"Authorization": "Bearer " + c.id, "Accept": "text/event-stream"}}
	for i := 0; i < len(header); i += 2 {
		r.header[header[i]] = header[i+1]
	}
	response, _ := c.t.send(r) //nolint:bodyclose // it is closed when the trial is over
	c.t.closers = append(c.t.closers, func() { _ = response.Body.Close() })
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
		c.t.failf("the stream is answered %d, with Content-Type %q", response.StatusCode, kind)
	}
	lines := bufio.NewReader(response.Body)
	return func() (e event) {
		for {
			line, err := lines.ReadString('\n')
			c.t.must(err)
			name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case name == "event":
				e.name = value
			case name == "id":
				e.id = value
			case name == "data":
				e.data += value
			case line == "\n" && e.data != "":
				return e
			}
		}
	}
}

// want reads events until one of this name.
func want(t *trial, next func() event, name string) event {
	for {
		e := next()
		if e.name == name {
			return e
		}
		if e.name == "error" {
			t.failf("the stream ends: %s", e.data)
		}
	}
}

// socket opens the session's WebSocket.
func (c *client) socket() *socket {
	s := c.t.dial("/v1/session/socket")
	s.write(map[string]any{"sessionId": c.id, "epoch": c.epoch, "ack": c.wanted})
	return s
}

// socket is a WebSocket of JSON texts.
type socket struct {
	t    *trial
	conn *websocket.Conn
}

// dial opens a WebSocket.
func (t *trial) dial(path string) *socket {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: t.limit}
	conn, response, err := dialer.DialContext(t.ctx, "ws"+strings.TrimPrefix(t.base, "http")+path, nil)
	if response != nil {
		defer response.Body.Close() //nolint:errcheck // it was read
	}
	if err != nil {
		t.failf("no WebSocket at %s: %w", path, err)
	}
	t.closers = append(t.closers, func() { _ = conn.Close() })
	if deadline, has := t.ctx.Deadline(); has {
		t.must(conn.SetReadDeadline(deadline))
	}
	return &socket{t, conn}
}

func (s *socket) write(message any) {
	text, is := message.(string)
	if !is {
		encoded, err := json.Marshal(message)
		s.t.must(err)
		text = string(encoded)
	}
	s.t.must(s.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

// read reads a message, which is a JSON object.
func (s *socket) read() (members map[string]json.RawMessage) {
	kind, text, err := s.conn.ReadMessage()
	s.t.must(err)
	if kind != websocket.TextMessage {
		s.t.failf("a message is no text")
	}
	s.t.must(json.Unmarshal(text, &members))
	return members
}

// until reads messages until one has a member of this name, and returns the member.
func (s *socket) until(name string) json.RawMessage {
	for {
		if m := s.read(); m[name] != nil {
			return m[name]
		}
	}
}

// reply is what a command over a socket is answered.
type reply struct {
	Status  int
	Headers map[string]string
}

// command sends a command over the socket and reads its reply.
func (s *socket) command(id string, seq int64, method, path string, body any) (r reply) {
	command := map[string]any{"id": id, "seq": seq, "method": method, "path": path, "body": body}
	if body == nil {
		delete(command, "body")
	}
	s.write(command)
	for {
		m := s.read()
		if m["reply"] == nil {
			continue
		}
		equal(s.t, "the id of the reply", string(m["id"]), strconv.Quote(id))
		s.t.must(json.Unmarshal(m["reply"], &r))
		return r
	}
}

var streamRules = []Rule{
	{ID: "streams/events", Text: "A stream begins with a heartbeat; each frame is an event with its number.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		next := a.stream("")
		if e := next(); e.name != "heartbeat" {
			t.failf("the first event is %q", e.name)
		}
		b.add(mailbox, "streamed")
		e := want(t, next, "frame")
		equal(t, "the id", e.id, strconv.FormatInt(a.wanted, 10))
		var f frame
		t.must(json.Unmarshal([]byte(e.data), &f))
		equal(t, "the body", f.Body, "streamed")
	}},
	{ID: "streams/heartbeats", Text: "The server sends the heartbeats.", check: func(t *trial) {
		c := t.begin()
		next := c.stream("&wait=1")
		for range 3 {
			want(t, next, "heartbeat")
		}
	}},
	{ID: "streams/last-event-id", Text: "Last-Event-ID goes on after the last frame that was seen, also if the URL says less.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "one")
		b.add(mailbox, "two")
		e := want(t, a.stream("", "Last-Event-ID", strconv.FormatInt(a.wanted, 10)), "frame")
		equal(t, "the id of the first frame", e.id, strconv.FormatInt(a.wanted+1, 10))
	}},
	{ID: "streams/superseded", Text: "A stream ends with an error that says why, when a newer handshake takes the session.", check: func(t *trial) {
		c := t.begin()
		next := c.stream("")
		want(t, next, "heartbeat")
		c.resume()
		for e := next(); ; e = next() {
			if e.name == "error" {
				if !strings.Contains(e.data, `"SUPERSEDED"`) || !strings.Contains(e.data, `"stop"`) {
					t.failf("the error is %s", e.data)
				}
				return
			}
		}
	}},
	{ID: "streams/socket", Text: "The session's WebSocket carries frames, and commands with their replies.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		s := a.socket()
		s.until("heartbeat")
		b.add(mailbox, "to the socket")
		var f frame
		t.must(json.Unmarshal(s.until("frame"), &f))
		equal(t, "the body", f.Body, "to the socket")
		r := s.command("x1", a.next, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("from the socket"))
		equal(t, "the status", r.Status, http.StatusCreated)
		equal(t, "the other side's frames", bodies(b.receive(1)), "message:from the socket ")
		r = s.command("x2", a.next, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("from the socket"))
		equal(t, "the status", r.Status, http.StatusCreated)
		equal(t, "Replayed", r.Headers["Replayed"], "true")
	}},
	{ID: "streams/socket-bad-command", Text: "A bad command is refused alone, and the socket goes on.", check: func(t *trial) {
		c := t.begin()
		s := c.socket()
		r := s.command("bad", c.next, http.MethodPost, "/v1/mailboxes/"+random()+"/messages", map[string]any{"phase": 7})
		equal(t, "the status", r.Status, http.StatusBadRequest)
		r = s.command("good", c.next, http.MethodPut, "/v1/mailboxes/"+random(), nil)
		equal(t, "the status", r.Status, http.StatusOK)
	}},
	{ID: "streams/socket-identify", Text: "A WebSocket whose client does not know the session is told so and closed.", check: func(t *trial) {
		s := t.dial("/v1/session/socket")
		s.write(map[string]any{"sessionId": random()})
		failure := s.until("error")
		if !strings.Contains(string(failure), `"SESSION_UNKNOWN"`) {
			t.failf("the error is %s", failure)
		}
		began := time.Now()
		if _, _, err := s.conn.ReadMessage(); err == nil || time.Since(began) > t.limit/2 {
			t.failf("the socket is not closed")
		}
	}},
}
