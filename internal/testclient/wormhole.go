package testclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// Wormhole is a client of the magic-wormhole protocol on one connection. It checks all that it receives against what
// deployed clients depend on, and fails its test otherwise.
type Wormhole struct {
	testing.TB
	Conn    *websocket.Conn
	Frames  <-chan Received // what has come and is not read yet
	Welcome Message
	Last    string // the last command that was sent
	Ended   bool   // the connection has ended as the test expects, or may say more than the test reads

	before []Message // messages of its mailbox that came before the last ack
	sent   int
}

// NewWormhole makes a client of a connection that is open, and receives its welcome. When the test ends, nothing but
// messages of the mailbox may have come that the test did not read.
func NewWormhole(t testing.TB, conn *websocket.Conn) *Wormhole {
	t.Helper()
	frames, stop := Receive(conn)
	c := &Wormhole{TB: t, Conn: conn, Frames: frames}
	t.Cleanup(func() {
		if !c.Ended && !t.Failed() {
			c.WantOnly("message")
		}
		stop()
	})
	c.Welcome = c.Want("welcome")
	return c
}

// In has the client report to a subtest from now on. It returns the client.
func (c *Wormhole) In(t testing.TB) *Wormhole {
	c.TB = t
	return c
}

// Send sends a command and receives its ack: exactly one, with its id, before anything that answers it.
func (c *Wormhole) Send(kind string, members ...any) *Wormhole {
	c.Helper()
	c.sent++
	id := fmt.Sprintf("%04x", c.sent)
	command := map[string]any{"type": kind, "id": id}
	for i := 0; i < len(members); i += 2 {
		command[members[i].(string)] = members[i+1]
	}
	encoded, err := json.Marshal(command)
	if err != nil {
		c.Fatal(err)
	}
	c.Write(websocket.TextMessage, string(encoded))
	c.WantAck(strconv.Quote(id))
	return c
}

// Write sends a frame as it is.
func (c *Wormhole) Write(kind int, frame string) {
	c.Helper()
	c.Last = frame
	if err := c.Conn.WriteMessage(kind, []byte(frame)); err != nil {
		c.Fatal(err)
	}
}

// WantAck receives an ack with this id, which is JSON. Only messages of the mailbox may come before.
func (c *Wormhole) WantAck(id string) {
	c.Helper()
	for {
		s := c.read() // not Next: what came before is read later
		switch s.Kind {
		case "message":
			c.before = append(c.before, s)
		case "ack":
			if diff := cmp.Diff(id, string(s.Members["id"])); diff != "" {
				c.Fatalf("the ack of %.200s has another id (-want +got):\n%s", c.Last, diff)
			}
			return
		default:
			c.Fatalf("%.200s is answered before its ack: %.500s", c.Last, s.Raw)
		}
	}
}

// Want receives the next message, which must be of this kind.
func (c *Wormhole) Want(kind string) Message {
	c.Helper()
	s := c.Next()
	if s.Kind != kind {
		c.Fatalf("after %.200s comes %.500s, want %s", c.Last, s.Raw, kind)
	}
	return s
}

// WantError receives an error to the last command, with this text and the command.
func (c *Wormhole) WantError(what string) {
	c.Helper()
	s := c.Want("error")
	if got := s.Text("error"); got != what {
		c.Errorf("%.200s is refused with %q, want %q", c.Last, got, what)
	}
	if !SameJSON(s.Members["orig"], origOf(c.Last)) {
		c.Errorf("the error to %.200s repeats %.200s", c.Last, s.Members["orig"])
	}
}

// WantGone receives the error that says that the mailbox which it has open is gone.
func (c *Wormhole) WantGone(mailbox string) {
	c.Helper()
	s := c.Want("error")
	if s.Text("error") != "mailbox is gone" || !SameJSON(s.Members["orig"], []byte(`{"type":"open","mailbox":"`+mailbox+`"}`)) {
		c.Errorf("%.500s comes, and not that %s is gone", s.Raw, mailbox)
	}
}

// SendWithoutID sends a command that has no id, as some clients do, and receives its ack.
func (c *Wormhole) SendWithoutID(command string) {
	c.Helper()
	c.Write(websocket.TextMessage, command)
	c.WantAck("null")
}

// Request sends a command and receives its reply.
func (c *Wormhole) Request(reply, kind string, members ...any) Message {
	c.Helper()
	return c.Send(kind, members...).Want(reply)
}

// Refused sends a command and receives an error with this text.
func (c *Wormhole) Refused(what, kind string, members ...any) {
	c.Helper()
	c.Send(kind, members...).WantError(what)
}

// Open opens a mailbox in which there is nothing yet. An open has no reply, so a ping tells that it is done.
func (c *Wormhole) Open(mailbox string) *Wormhole {
	c.Helper()
	c.Send("open", "mailbox", mailbox).WantNothing()
	return c
}

// List asks for the nameplates that wait: each has an id and nothing else.
func (c *Wormhole) List() []string {
	c.Helper()
	s := c.Request("nameplates", "list")
	var nameplates []map[string]string
	if err := json.Unmarshal(s.Members["nameplates"], &nameplates); err != nil || nameplates == nil {
		c.Fatalf("%v: %.500s", err, s.Raw)
	}
	ids := make([]string, len(nameplates))
	for i, n := range nameplates {
		if ids[i] = n["id"]; len(n) != 1 || ids[i] == "" {
			c.Errorf("a nameplate is listed as %q", n)
		}
	}
	return ids
}

// Add adds a message and receives its echo.
func (c *Wormhole) Add(phase, body string) Message {
	c.Helper()
	s := c.Request("message", "add", "phase", phase, "body", body)
	if s.Text("phase") != phase || s.Text("body") != body || s.Text("id") != fmt.Sprintf("%04x", c.sent) {
		c.Errorf("the echo of %.200s is %.200s", c.Last, s.Raw)
	}
	return s
}

// WantMessages receives messages of the mailbox with these bodies.
func (c *Wormhole) WantMessages(bodies ...string) {
	c.Helper()
	for _, body := range bodies {
		if s := c.Want("message"); s.Text("body") != body {
			c.Fatalf("%.200s comes, want %q", s.Raw, body)
		}
	}
}

// WantNothing fails if anything more has come.
func (c *Wormhole) WantNothing() {
	c.Helper()
	c.WantOnly("")
}

// WantOnly receives messages of this kind until a ping is answered. Others must not come.
func (c *Wormhole) WantOnly(kind string) {
	c.Helper()
	c.Write(websocket.TextMessage, `{"type": "ping", "ping": "are you there?"}`)
	acked := false
	for {
		s := c.Next()
		switch {
		case s.Kind == "ack" && string(s.Members["id"]) == "null" && !acked:
			acked = true
		case s.Kind == "pong" && acked:
			return
		case s.Kind != kind:
			c.Fatalf("this was not asked for: %.500s", s.Raw)
		}
	}
}

// Drop ends the connection without a close frame.
func (c *Wormhole) Drop() {
	c.Ended = true
	_ = c.Conn.NetConn().Close()
}

// WantClose waits until the server closes with this code. Nothing more may come before.
func (c *Wormhole) WantClose(code int) {
	c.Helper()
	c.Ended = true
	select {
	case <-time.After(Limit):
		c.Fatal("the server does not close")
	case a := <-c.Frames:
		var closed *websocket.CloseError
		if !errors.As(a.Err, &closed) || closed.Code != code {
			c.Fatalf("the server closes with %v %.200s, want %d", a.Err, a.Data, code)
		}
	}
}

// Next receives the next message, of any kind.
func (c *Wormhole) Next() Message {
	c.Helper()
	if len(c.before) > 0 {
		s := c.before[0]
		c.before = c.before[1:]
		return s
	}
	return c.read()
}

func (c *Wormhole) read() Message {
	c.Helper()
	select {
	case <-time.After(Limit):
		c.Fatalf("nothing comes after %.200s", c.Last)
	case a := <-c.Frames:
		if a.Err != nil {
			c.Ended = true
			c.Fatalf("after %.200s: %v", c.Last, a.Err)
		}
		s, err := parseMessage(a.Kind, a.Data)
		if err != nil {
			c.Fatalf("after %.200s: %v: %.500s", c.Last, err, a.Data)
		}
		s.TB = c.TB
		return s
	}
	panic("unreachable")
}
