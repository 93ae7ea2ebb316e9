package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// client is one side, with a session that is live at first.
type client struct {
	t             *trial
	id, app, side string
	epoch         int64
	next          int64 // the number of the next command
	wanted        int64 // the next frame
}

// handshakeReply is what a handshake is answered, as far as rules need it.
type handshakeReply struct {
	SessionID, AppID, Side                               string
	Resumed                                              bool
	Epoch, NextExpectedSeq, NextSentSeq                  int64
	NextWaitMs, HeartbeatIntervalMs, HeartbeatsUntilDead int64
}

// hello returns the handshake of a new session.
func (t *trial) hello(id, side string) map[string]any {
	return map[string]any{
		"protocolVersion": "1", "sessionId": id, "appId": t.app, "side": side, "clientVersion": []string{"restante-conformance", "1"},
		"expectedSessionState": map[string]int64{"nextExpectedSeq": 0, "nextSentSeq": 0},
	}
}

// with returns a copy of a JSON object with a member set, or left out if the value is nil.
func with(object map[string]any, name string, value any) map[string]any {
	object = maps.Clone(object)
	if object[name] = value; value == nil {
		delete(object, name)
	}
	return object
}

// counters returns what a client says of where it stands.
func counters(nextExpected, nextSent int64) map[string]int64 {
	return map[string]int64{"nextExpectedSeq": nextExpected, "nextSentSeq": nextSent}
}

// shake sends a handshake.
func (t *trial) shake(hello map[string]any) *answer {
	a := t.do(request{method: http.MethodPost, path: "/v1/sessions", body: hello})
	if a.status < http.StatusMultipleChoices {
		w := decode[handshakeReply](a)
		t.opened = append(t.opened, &client{id: w.SessionID})
	}
	return a
}

// begin begins a session.
func (t *trial) begin() *client {
	c := &client{t: t, id: random(), app: t.app, side: random()}
	w := decode[handshakeReply](t.shake(t.hello(c.id, c.side)).ok(http.StatusCreated))
	c.epoch = w.Epoch
	return c
}

// resume resumes the session where it stands.
func (c *client) resume() handshakeReply {
	w := decode[handshakeReply](c.t.shake(with(c.t.hello(c.id, c.side), "expectedSessionState", counters(c.wanted, c.next))).ok(http.StatusOK))
	c.epoch = w.Epoch
	return w
}

// ask sends a request with the session's credential.
func (c *client) ask(method, path string, body any, header ...string) *answer {
	all := map[string]string{"Authorization": "Bearer " + c.id}
	for pair := range slices.Chunk(header, 2) {
		all[pair[0]] = pair[1]
	}
	return c.t.do(request{method, path, body, all})
}

// numbered sends a command with a number.
func (c *client) numbered(seq int64, method, path string, body any) *answer {
	return c.ask(method, path, body, "Seq", strconv.FormatInt(seq, 10))
}

// command sends the next command.
func (c *client) command(method, path string, body any) *answer {
	a := c.numbered(c.next, method, path, body)
	c.next++
	return a
}

// open opens a mailbox.
func (c *client) open(mailbox string) *answer {
	return c.command(http.MethodPut, "/v1/mailboxes/"+mailbox, nil).ok(http.StatusOK)
}

// message is what is added.
func message(body string) map[string]any { return map[string]any{"phase": "p", "body": body} }

// add adds a message, and returns its position.
func (c *client) add(mailbox, body string) int64 {
	a := c.command(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message(body)).ok(http.StatusCreated)
	return decode[struct{ Position int64 }](a).Position
}

// logEntry is a message of a log.
type logEntry struct {
	Position          int64
	Side, Phase, Body string
}

// log reads a mailbox's log.
func (c *client) log(mailbox string) []logEntry {
	return decode[struct{ Messages []logEntry }](c.ask(http.MethodGet, "/v1/mailboxes/"+mailbox+"/messages", nil).ok(http.StatusOK)).Messages
}

// frame is a frame of a session.
type frame struct {
	Seq                                            int64
	Type, Mailbox, Side, Phase, Body, Mood, Reason string
	Position, LastPosition                         int64
	raw                                            string
}

// received is what a receive is answered.
type received struct {
	Ack, NextWaitMs int64
	Heartbeat       bool
	Frames          []json.RawMessage
}

// events returns the path of a receive.
func (c *client) events(query string) string {
	return fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d%s", c.wanted, c.epoch, query)
}

// look receives what there is, without waiting, and acknowledges nothing of it.
func (c *client) look() []frame {
	return c.frames(c.ask(http.MethodGet, c.events("&wait=0"), nil).ok(http.StatusOK))
}

// frames reads the frames of an answer. Their numbers are dense.
func (c *client) frames(a *answer) (all []frame) {
	got := decode[received](a)
	equal(c.t, "heartbeat", got.Heartbeat, len(got.Frames) == 0)
	for i, raw := range got.Frames {
		f := frame{raw: string(raw)}
		c.t.must(json.Unmarshal(raw, &f))
		equal(c.t, "the number of frame "+f.raw, f.Seq, c.wanted+int64(i))
		all = append(all, f)
	}
	return all
}

// receive waits for this many frames, and processes them.
func (c *client) receive(n int) (all []frame) {
	for len(all) < n {
		got := c.frames(c.ask(http.MethodGet, c.events("&wait=5"), nil).ok(http.StatusOK))
		c.wanted += int64(len(got))
		all = append(all, got...)
	}
	if len(all) > n {
		c.t.failf("there are %d frames, want %d; the last is %s", len(all), n, all[len(all)-1].raw)
	}
	return all
}

// bodies returns the bodies of messages, joined.
func bodies(all []frame) string {
	var text strings.Builder
	for _, f := range all {
		text.WriteString(f.Type + ":" + f.Body + " ")
	}
	return text.String()
}
