package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// caller is one wormhole client on one connection. It checks whatever it is sent.
type caller struct {
	testing.TB
	conn    *websocket.Conn
	wire    <-chan arrival
	before  []said // messages of its mailbox that came before the last ack
	sent    int
	last    string // the last command
	ended   bool
	welcome said
}

// arrival is a frame that came, or the end.
type arrival struct {
	kind int
	data []byte
	err  error
}

// said is a message of the server.
type said struct {
	testing.TB
	kind    string
	raw     []byte
	members map[string]json.RawMessage
}

// knock asks for a socket. What comes back is the client's to close.
func (r *relay) knock(ctx context.Context, path string, headers ...string) (*websocket.Conn, *http.Response, error) {
	header := http.Header{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		header.Add(name, value)
	}
	dialer := websocket.Dialer{
		NetDialContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dial(ctx) },
		EnableCompression: true, // to be refused
		Subprotocols:      header["Sec-Websocket-Protocol"],
	}
	header.Del("Sec-WebSocket-Protocol")
	return dialer.DialContext(ctx, "ws://restante.test"+path, header)
}

// call connects, and is welcomed.
func (r *relay) call(t testing.TB, headers ...string) *caller {
	t.Helper()
	conn, answer, err := r.knock(t.Context(), "/v1", headers...)
	if err != nil {
		t.Fatalf("%v: %+v", err, answer)
	}
	return listenTo(t, conn)
}

func listenTo(t testing.TB, conn *websocket.Conn) *caller {
	t.Helper()
	wire, done := make(chan arrival, 64), make(chan struct{})
	var reading sync.WaitGroup
	conn.SetPingHandler(func(payload string) error { // on its own: a pipe has no room for two who write at once
		reading.Go(func() { _ = conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second)) })
		return nil
	})
	reading.Go(func() {
		for {
			kind, data, err := conn.ReadMessage()
			select {
			case wire <- arrival{kind, data, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	})
	c := &caller{TB: t, conn: conn, wire: wire}
	t.Cleanup(func() {
		if !c.ended && !t.Failed() {
			c.quietBut("message")
		}
		_ = conn.Close()
		close(done)
		reading.Wait()
	})
	c.welcome = c.hear("welcome")
	return c
}

// bind connects as a side of an app.
func (r *relay) bind(t testing.TB, app, side string) *caller {
	t.Helper()
	c := r.call(t)
	c.say("bind", "appid", app, "side", side)
	return c
}

// say sends a command and hears its ack: exactly one, with its id, before anything that answers it.
func (c *caller) say(kind string, members ...any) *caller {
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
	c.write(websocket.TextMessage, string(encoded))
	c.acked(quote(id))
	return c
}

// write sends a frame as it is.
func (c *caller) write(kind int, frame string) {
	c.Helper()
	c.last = frame
	if err := c.conn.WriteMessage(kind, []byte(frame)); err != nil {
		c.Fatal(err)
	}
}

// acked hears an ack. Only messages of the mailbox may come before.
func (c *caller) acked(id string) {
	c.Helper()
	for {
		s := c.read() // not next: what came before is to be heard later
		switch s.kind {
		case "message":
			c.before = append(c.before, s)
		case "ack":
			if diff := cmp.Diff(id, string(s.members["id"])); diff != "" {
				c.Fatalf("the ack of %.200s has another id (-want +got):\n%s", c.last, diff)
			}
			return
		default:
			c.Fatalf("%.200s is answered before its ack: %.500s", c.last, s.raw)
		}
	}
}

// hear hears the next message, which has to be of this kind.
func (c *caller) hear(kind string) said {
	c.Helper()
	s := c.next()
	if s.kind != kind {
		c.Fatalf("after %.200s it hears %.500s, want %s", c.last, s.raw, kind)
	}
	return s
}

// error hears an error to the last command.
func (c *caller) error(what string) {
	c.Helper()
	s := c.hear("error")
	if got := s.text("error"); got != what {
		c.Errorf("%.200s is refused with %q, want %q", c.last, got, what)
	}
	if !same(s.members["orig"], origOf(c.last)) {
		c.Errorf("the error to %.200s repeats %.200s", c.last, s.members["orig"])
	}
}

// gone hears that the mailbox that it has open is gone.
func (c *caller) gone(mailbox string) {
	c.Helper()
	s := c.hear("error")
	if s.text("error") != "mailbox is gone" || !same(s.members["orig"], []byte(`{"type":"open","mailbox":"`+mailbox+`"}`)) {
		c.Errorf("it hears %.500s, and not that %s is gone", s.raw, mailbox)
	}
}

// origOf is the orig of an error: the whole command, or what a large one is known by.
func origOf(command string) []byte {
	if len(command) <= 16<<10 {
		return []byte(command)
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal([]byte(command), &members) // or it is no object
	known := map[string]json.RawMessage{}
	for _, name := range []string{"type", "id", "appid", "side", "nameplate", "mailbox", "mood", "phase", "body", "ping"} {
		value := members[name]
		switch {
		case value == nil:
			continue
		case len(value) > 256 && value[0] == '"':
			value = []byte(`""`)
		case len(value) > 256:
			value = []byte("null")
		}
		known[name] = value
	}
	short, _ := json.Marshal(known)
	return short
}

// ask says a command and hears its reply.
func (c *caller) ask(reply, kind string, members ...any) said {
	c.Helper()
	return c.say(kind, members...).hear(reply)
}

// refused says a command and hears an error.
func (c *caller) refused(what, kind string, members ...any) {
	c.Helper()
	c.say(kind, members...).error(what)
}

// opens opens a mailbox in which there is nothing yet, and is sure that it is done: open has no reply.
func (c *caller) opens(mailbox string) *caller {
	c.Helper()
	c.say("open", "mailbox", mailbox).quiet()
	return c
}

// list asks for the nameplates that wait: each has an id and nothing else.
func (c *caller) list() []string {
	c.Helper()
	s := c.ask("nameplates", "list")
	var nameplates []map[string]string
	if err := json.Unmarshal(s.members["nameplates"], &nameplates); err != nil || nameplates == nil {
		c.Fatalf("%v: %.500s", err, s.raw)
	}
	ids := make([]string, len(nameplates))
	for i, n := range nameplates {
		if ids[i] = n["id"]; len(n) != 1 || ids[i] == "" {
			c.Errorf("a nameplate is listed as %q", n)
		}
	}
	return ids
}

// add adds a message and hears it back.
func (c *caller) add(phase, body string) said {
	c.Helper()
	s := c.ask("message", "add", "phase", phase, "body", body)
	if s.text("phase") != phase || s.text("body") != body || s.text("id") != fmt.Sprintf("%04x", c.sent) {
		c.Errorf("the echo of %.200s is %.200s", c.last, s.raw)
	}
	return s
}

// hears hears messages of the mailbox with these bodies.
func (c *caller) hears(bodies ...string) {
	c.Helper()
	for _, body := range bodies {
		if s := c.hear("message"); s.text("body") != body {
			c.Fatalf("it hears %.200s, want %q", s.raw, body)
		}
	}
}

// quiet is sure that nothing more was said.
func (c *caller) quiet() {
	c.Helper()
	c.quietBut("")
}

func (c *caller) quietBut(kind string) {
	c.Helper()
	c.write(websocket.TextMessage, `{"type": "ping", "ping": "are you there?"}`)
	acked := false
	for {
		s := c.next()
		switch {
		case s.kind == "ack" && string(s.members["id"]) == "null" && !acked:
			acked = true
		case s.kind == "pong" && acked:
			return
		case s.kind != kind:
			c.Fatalf("it hears what it did not ask for: %.500s", s.raw)
		}
	}
}

// leave drops the connection, without a word.
func (c *caller) leave() {
	c.ended = true
	_ = c.conn.NetConn().Close()
}

// sentAway is sure that the server closes with this code, after nothing more.
func (c *caller) sentAway(code int) {
	c.Helper()
	c.ended = true
	select {
	case <-time.After(patience):
		c.Fatal("the server does not close")
	case a := <-c.wire:
		var closed *websocket.CloseError
		if !errors.As(a.err, &closed) || closed.Code != code {
			c.Fatalf("the server closes with %v %.200s, want %d", a.err, a.data, code)
		}
	}
}

// next is the next message, whatever it is.
func (c *caller) next() said {
	c.Helper()
	if len(c.before) > 0 {
		s := c.before[0]
		c.before = c.before[1:]
		return s
	}
	return c.read()
}

func (c *caller) read() said {
	c.Helper()
	select {
	case <-time.After(patience):
		c.Fatalf("nothing is heard after %.200s", c.last)
	case a := <-c.wire:
		if a.err != nil {
			c.ended = true
			c.Fatalf("after %.200s: %v", c.last, a.err)
		}
		s, err := understand(a.kind, a.data)
		if err != nil {
			c.Fatalf("after %.200s: %v: %.500s", c.last, err, a.data)
		}
		s.TB = c.TB
		return s
	}
	panic("unreachable")
}

// vocabulary is everything that a server may say on /v1: an unknown word kills deployed clients.
var vocabulary = map[string][]string{
	"welcome": {"welcome"}, "ack": {"id"}, "pong": {"pong"}, "error": {"error", "orig"},
	"nameplates": {"nameplates"}, "allocated": {"nameplate", "mailbox"}, "claimed": {"mailbox"}, "released": {},
	"message": {"side", "phase", "body", "id", "server_rx"}, "closed": {},
}

// fraction is a number that no client takes for an integer.
var fraction = regexp.MustCompile(`^\d+\.\d+$`)

// largest is what deployed Go clients read.
const largest = 32 << 10

// understand holds a frame against what every client depends on.
func understand(kind int, data []byte) (said, error) {
	s := said{raw: data}
	if kind != websocket.TextMessage {
		return s, errors.New("it is no text frame")
	}
	if err := json.Unmarshal(data, &s.members); err != nil {
		return s, err
	}
	if err := json.Unmarshal(s.members["type"], &s.kind); err != nil {
		return s, fmt.Errorf("type: %w", err)
	}
	names, known := vocabulary[s.kind]
	if !known {
		return s, errors.New("no client knows this")
	}
	if got, want := slices.Sorted(maps.Keys(s.members)), slices.Sorted(slices.Values(append([]string{"type", "server_tx"}, names...))); !slices.Equal(got, want) {
		return s, fmt.Errorf("it has the members %q, want %q", got, want)
	}
	for _, name := range []string{"server_tx", "server_rx"} {
		if raw, has := s.members[name]; has && !fraction.Match(raw) {
			return s, fmt.Errorf("%s is %s", name, raw)
		}
	}
	if s.kind != "message" && len(data) > largest {
		return s, fmt.Errorf("it has %d bytes", len(data))
	}
	if orig := s.members["orig"]; s.kind == "error" && (orig[0] != '{' || s.members["error"][0] != '"') {
		return s, errors.New("an error has a text and an orig")
	}
	return s, nil
}

// text is a member that is a string.
func (s said) text(name string) string {
	s.Helper()
	var text string
	if err := json.Unmarshal(s.members[name], &text); err != nil {
		s.Fatalf("%s is no string: %.500s", name, s.raw)
	}
	return text
}

// at is what stands at a path of names and indices, nil if nothing does.
func (s said) at(path string) any {
	s.Helper()
	return (&answer{TB: s.TB, body: s.raw}).at(path)
}

// same tells whether two JSON texts say the same.
func same(a, b []byte) bool {
	var x, y any
	for raw, into := range map[*any][]byte{&x: a, &y: b} {
		d := json.NewDecoder(bytes.NewReader(into))
		d.UseNumber()
		if d.Decode(raw) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}
