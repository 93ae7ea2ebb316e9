package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// wormhole is a client of the magic-wormhole protocol.
type wormhole struct {
	*socket
	sent int
}

// wormhole connects and binds as a side.
func (t *trial) wormhole(side string) *wormhole {
	w := &wormhole{socket: t.dial("/v1")}
	w.want("welcome")
	w.send("bind", "appid", t.app, "side", side)
	return w
}

// send sends a command, and reads its ack.
func (w *wormhole) send(kind string, members ...string) {
	w.sent++
	command := map[string]string{"type": kind, "id": strconv.Itoa(w.sent)}
	for pair := range slices.Chunk(members, 2) {
		command[pair[0]] = pair[1]
	}
	w.write(command)
	if got := string(w.want("ack")["id"]); got != strconv.Quote(command["id"]) {
		w.t.failf("the ack of %s has the id %s, want %q", kind, got, command["id"])
	}
}

// want reads the next message, which is of this type. All have the time of the server.
func (w *wormhole) want(kind string) map[string]json.RawMessage {
	m := w.read()
	if got := text(m["type"]); got != kind || m["server_tx"] == nil {
		encoded, _ := json.Marshal(m)
		w.t.failf("%.300s comes, want %s with server_tx", encoded, kind)
	}
	return m
}

// text returns a JSON string's value.
func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // anything else is not what is wanted
	return s
}

// wantMessage reads the next message of the mailbox.
func (w *wormhole) wantMessage(side, phase, body string) {
	m := w.want("message")
	if got := fmt.Sprint(text(m["side"]), " ", text(m["phase"]), " ", text(m["body"])); got != side+" "+phase+" "+body {
		w.t.failf("the message is %q, want %q", got, side+" "+phase+" "+body)
	}
}

var wormholeRules = []Rule{
	{ID: "wormhole/welcome", Text: "The server welcomes before it is asked, and acks each command.", check: func(t *trial) {
		t.wormhole(random())
	}},
	{ID: "wormhole/ping", Text: "A ping is answered with its number.", check: func(t *trial) {
		w := t.wormhole(random())
		w.write(`{"type":"ping","ping":7,"id":"p"}`)
		w.want("ack")
		equal(t, "the pong", string(w.want("pong")["pong"]), "7")
	}},
	{ID: "wormhole/exchange", Text: "Two clients meet by a nameplate and exchange messages, of which each gets an echo.", check: func(t *trial) {
		a, b := t.wormhole("a"), t.wormhole("b")
		a.send("allocate")
		nameplate := text(a.want("allocated")["nameplate"])
		a.send("claim", "nameplate", nameplate)
		mailbox := text(a.want("claimed")["mailbox"])
		b.send("claim", "nameplate", nameplate)
		equal(t, "the other side's mailbox", text(b.want("claimed")["mailbox"]), mailbox)
		a.send("open", "mailbox", mailbox)
		b.send("open", "mailbox", mailbox)
		a.send("add", "phase", "pake", "body", "00ff")
		a.wantMessage("a", "pake", "00ff")
		b.wantMessage("a", "pake", "00ff")
		b.send("add", "phase", "version", "body", "77")
		a.wantMessage("b", "version", "77")
		b.wantMessage("b", "version", "77")
		for _, w := range []*wormhole{a, b} {
			w.send("release", "nameplate", nameplate)
			w.want("released")
			w.send("close", "mailbox", mailbox, "mood", "happy")
			w.want("closed")
		}
	}},
	{ID: "wormhole/replay", Text: "Opening a mailbox replays what is in it, one's own messages included.", check: func(t *trial) {
		mailbox := random()
		a := t.wormhole("a")
		a.send("open", "mailbox", mailbox)
		a.send("add", "phase", "0", "body", "01")
		a.wantMessage("a", "0", "01")
		for _, side := range []string{"a", "b"} {
			w := t.wormhole(side)
			w.send("open", "mailbox", mailbox)
			w.wantMessage("a", "0", "01")
		}
	}},
	{ID: "wormhole/crowded", Text: "A third side is told crowded, by an error that repeats its command.", check: func(t *trial) {
		mailbox := random()
		for _, side := range []string{"a", "b"} {
			t.wormhole(side).send("open", "mailbox", mailbox)
		}
		c := t.wormhole("c")
		c.send("open", "mailbox", mailbox)
		m := c.want("error")
		if text(m["error"]) != "crowded" || !strings.Contains(string(m["orig"]), mailbox) {
			t.failf("the error is %s, to %s", m["error"], m["orig"])
		}
	}},
	{ID: "wormhole/list", Text: "A nameplate that waits is listed.", check: func(t *trial) {
		w := t.wormhole(random())
		w.send("allocate")
		nameplate := text(w.want("allocated")["nameplate"])
		w.send("list")
		if list := string(w.want("nameplates")["nameplates"]); !strings.Contains(list, strconv.Quote(nameplate)) {
			t.failf("%s is not among %s", nameplate, list)
		}
	}},
	{ID: "wormhole/errors", Text: "What cannot be done is answered with an error, and the connection goes on.", check: func(t *trial) {
		w := t.wormhole(random())
		for _, command := range []string{`{"type":"no such type","id":"x"}`, `{"type":"add","phase":"p","body":"00","id":"x"}`} {
			w.write(command)
			w.want("ack")
			if got := string(w.want("error")["orig"]); !strings.Contains(got, `"x"`) {
				t.failf("the error to %s repeats %s", command, got)
			}
		}
		w.send("list")
		w.want("nameplates")
	}},
	{ID: "wormhole/session", Text: "A wormhole client and one with a session share a mailbox.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		w := t.wormhole("w")
		w.send("open", "mailbox", mailbox)
		w.send("add", "phase", "p", "body", "aa")
		w.wantMessage("w", "p", "aa")
		equal(t, "the frames", bodies(c.receive(2)), "opened: message:aa ")
		c.add(mailbox, "bb")
		w.wantMessage(c.side, "p", "bb")
	}},
}
