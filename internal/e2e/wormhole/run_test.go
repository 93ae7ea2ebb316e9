package wormhole_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// target is a server that scripts of the wormhole protocol are played on.
type target struct {
	address string
	// atOnce tells that the receivers of a message are sent it before its sender is answered.
	atOnce bool
	// expected takes out of what the server says what it is expected to say beside the others,
	// and answers which deviation that is.
	expected func(frame map[string]any) (deviation string)
}

// run is one script that is played to its target. Lines are sent one after the other. What
// the server gives names to is $nameplate1, $mailbox2 … in the order in which that was learnt.
type run struct {
	target  target
	props   map[string]string // $app and the like, which are this script's own
	names   map[string]string
	clients map[string]*client
	used    map[string]bool // deviations that were expected, and came
}

func newRun(title string, on target) *run {
	return &run{
		target: on,
		props: map[string]string{
			"$app": "the app of " + title, "$other": "the other app of " + title,
			"$long": strings.Repeat("long ", 4<<10), "$tooLong": strings.Repeat("too long ", 8<<10),
		},
		names: map[string]string{}, clients: map[string]*client{}, used: map[string]bool{},
	}
}

// client sends what a script has it send. It takes what the server sends as it is: the reference server is not held to
// what [testclient.Wormhole] checks.
type client struct {
	conn     *websocket.Conn
	received <-chan testclient.Received
	stop     func()
	messages []map[string]any // received, and not reported yet
	fences   int
	opened   bool // an open was acknowledged: messages may come
	lost     bool // the connection has ended
}

var (
	errLost   = errors.New("lost")
	errSilent = errors.New("silence")
)

// do sends one line, and returns what the server answered.
func (p *run) do(line string) string {
	name, rest, _ := strings.Cut(line, " ")
	verb, rest, _ := strings.Cut(rest, " ")
	switch {
	case name == http.MethodGet:
		return p.get(verb)
	case verb == "connects":
		how, what, _ := strings.Cut(rest, " ")
		return p.connect(name, map[string]string{how: what})
	case verb == "comes":
		return p.connect(name, nil) + "; " + p.do(name+` bind {"appid":"$app","side":"`+name[:1]+`"}`)
	case p.clients[name] == nil:
		return "gone"
	}
	var answers []string
	var err error
	switch verb {
	case "leaves":
		p.leave(name)
		return "left"
	case "hears":
		answers, err = p.receive(p.clients[name], rest)
	case "sends":
		answers, err = p.send(p.clients[name], websocket.TextMessage, rest)
	case "binary":
		answers, err = p.send(p.clients[name], websocket.BinaryMessage, rest)
	default:
		text := `{"type":"` + verb + `"}`
		if rest != "" {
			text = `{"type":"` + verb + `",` + rest[1:]
		}
		answers, err = p.send(p.clients[name], websocket.TextMessage, text)
	}
	if err != nil {
		p.leave(name)
		return err.Error()
	}
	return strings.Join(answers, "; ")
}

// get is a request as browsers and monitors make them.
func (p *run) get(path string) string {
	request, err := http.NewRequest(http.MethodGet, "http://"+p.target.address+path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	response, err := testclient.OneShot.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode)
	}
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return fmt.Sprint(response.StatusCode, " ", kind)
}

// connect makes a client connect, at a path or from a page. Its earlier connection is closed first.
func (p *run) connect(name string, how map[string]string) string {
	p.leave(name)
	path, header := "/v1", http.Header{}
	if at := how["at"]; at != "" {
		path = at
	}
	if origin := how["from"]; origin != "" {
		header.Set("Origin", origin)
	}
	conn, status, err := e2e.DialWebSocket("ws://"+p.target.address+path, header)
	switch {
	case status != 0 && err != nil:
		return fmt.Sprint(status)
	case err != nil:
		return err.Error()
	}
	c := &client{conn: conn}
	c.received, c.stop = testclient.Receive(conn)
	p.clients[name] = c
	answers, err := p.listen(c, nil)
	if err != nil {
		return err.Error()
	}
	return strings.Join(answers, "; ")
}

// leave is a client that says goodbye and waits for the server's, or one that was lost.
func (p *run) leave(name string) {
	if c := p.clients[name]; c != nil {
		delete(p.clients, name)
		goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = c.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second)) // or it was lost
		for err := error(nil); err == nil; {
			_, err = c.next()
		}
		c.stop()
	}
}

// decode reads JSON with its numbers as they are written.
func decode(text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// next returns the next frame of the server.
func (c *client) next() (map[string]any, error) {
	if c.lost {
		return nil, errLost
	}
	select {
	case r := <-c.received:
		if r.Err != nil {
			c.lost = true
			return nil, errLost
		}
		var frame map[string]any
		if decode(string(r.Data), &frame) != nil || r.Kind != websocket.TextMessage {
			frame = map[string]any{"type": "no object in a text frame", "frame": string(r.Data)}
		}
		return frame, nil
	case <-time.After(e2e.Limit):
		return nil, errSilent
	}
}

// send sends a frame, and returns what the server answers.
func (p *run) send(c *client, kind int, text string) ([]string, error) {
	for _, names := range []map[string]string{p.props, p.names} {
		for name, value := range names {
			text = strings.ReplaceAll(text, name, value)
		}
	}
	if err := c.conn.WriteMessage(kind, []byte(text)); err != nil {
		return nil, errLost
	}
	var command any
	_ = decode(text, &command) // or it is none
	return p.listen(c, command)
}

// listen collects what a client is answered until a ping of our own is answered, and with
// it all that was said before.
func (p *run) listen(c *client, command any) (answers []string, err error) {
	c.fences++
	fence := fmt.Sprint("fence ", c.fences)
	if err := c.conn.WriteJSON(map[string]any{"type": "ping", "ping": fence, "id": fence}); err != nil {
		return nil, errLost
	}
	for {
		frame, err := c.next()
		switch {
		case err != nil:
			return nil, err
		case frame["type"] == "pong" && frame["pong"] == fence:
			return answers, nil
		case frame["type"] == "ack" && frame["id"] == fence:
		case frame["type"] == "message" && c.opened:
			c.messages = append(c.messages, frame)
		default:
			asked, _ := command.(map[string]any)
			c.opened = c.opened || asked["type"] == "open" && frame["type"] == "ack"
			answers = append(answers, p.describe(frame, asked))
		}
	}
}

// receive returns the next messages: so many, or those that have come by now.
func (p *run) receive(c *client, many string) (answers []string, err error) {
	if _, err := p.listen(c, nil); err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(many)
	if err != nil {
		number = len(c.messages)
	}
	for len(c.messages) < number && !p.target.atOnce {
		frame, err := c.next()
		if err != nil {
			return nil, err
		}
		c.messages = append(c.messages, frame)
	}
	for range min(number, len(c.messages)) {
		answers = append(answers, p.describe(c.messages[0], nil))
		c.messages = c.messages[1:]
	}
	if answers == nil {
		return []string{"nothing"}, nil
	}
	return answers, nil
}

// isTime tells whether a number may be one of the protocol's times: some clients need a fraction.
func isTime(value any) bool {
	number, is := value.(json.Number)
	return is && strings.Contains(number.String(), ".")
}

// describe renders what a server sent so that it can be compared: without times, with
// names, and in short where it repeats the command.
func (p *run) describe(frame, command map[string]any) string {
	kind, _ := frame["type"].(string)
	if d := p.target.expected(frame); d != "" {
		p.used[d] = true
	}
	for _, at := range []string{"server_tx", "server_rx"} {
		if (kind == "message" || at == "server_tx") && !isTime(frame[at]) {
			return fmt.Sprintf("%s with the %s %v", kind, at, frame[at])
		}
		delete(frame, at)
	}
	delete(frame, "type")
	switch {
	case kind == "ack" && reflect.DeepEqual(frame, map[string]any{"id": command["id"]}):
		return kind
	case kind == "error" && command != nil && reflect.DeepEqual(frame, map[string]any{"error": frame["error"], "orig": command}):
		return fmt.Sprintf("%s %q", kind, frame["error"])
	case kind == "allocated":
		p.learn("nameplate", frame["nameplate"])
	case kind == "claimed":
		p.learn("mailbox", frame["mailbox"])
	case len(frame) == 0:
		return kind
	}
	rest, err := json.Marshal(frame)
	if err != nil {
		return err.Error()
	}
	text := string(rest)
	for _, names := range []map[string]string{p.props, p.names} {
		for name, value := range names {
			text = strings.ReplaceAll(text, strconv.Quote(value), strconv.Quote(name))
		}
	}
	return kind + " " + text
}

// learn gives a name to what the server named.
func (p *run) learn(kind string, value any) {
	text, is := value.(string)
	if !is || slices.Contains(slices.Collect(maps.Values(p.names)), text) {
		return
	}
	for n := 1; ; n++ {
		name := fmt.Sprint("$", kind, n)
		if _, taken := p.names[name]; !taken {
			p.names[name] = text
			return
		}
	}
}

// script is the lines, and the flags of the servers that it wants.
type script struct {
	title string
	flags []string
	lines []line
}

// line is what a client does and, where the servers deviate, what each answers.
type line struct {
	does            string
	deviation       string
	reference, ours string // answers, where there is a deviation
}

// parse reads a script.
func parse(t *testing.T, title, text string) script {
	t.Helper()
	s := script{title: title}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		name, answers, is := strings.Cut(l, ": ")
		reference, ours, differ := strings.Cut(answers, " ≠ ")
		switch {
		case l == "":
		case strings.HasPrefix(l, "--"):
			s.flags = append(s.flags, l)
		case is && differ:
			last := &s.lines[len(s.lines)-1]
			if last.deviation != "" {
				t.Fatalf("%s: two deviations at %s", title, last.does)
			}
			last.deviation, last.reference, last.ours = name, reference, ours
		default:
			s.lines = append(s.lines, line{does: l})
		}
	}
	return s
}
