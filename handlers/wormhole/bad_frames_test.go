package wormhole_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
)

// badFrame is a frame that no good client sends.
type badFrame struct {
	why   string
	frame string
	ack   string // the id of its ack; empty: null
	error string // what it is told; empty: what is not asked of a frame that works
	reply string // what it is answered with if it works after all
}

const (
	noObject    = "a command must be a JSON object with each member once"
	noNameplate = "a nameplate is 1 to 40 of the digits 0-9"
	noID        = "'id' must be at most 16384 bytes of JSON"
	noPing      = "'ping' must be at most 16384 bytes of JSON"
	noVersion   = "'client_version' must be a list of two strings of at most 256 bytes, without NUL"
	invalidBody = "'body' must be a string of at most 65536 bytes"
)

func noName(member string) string {
	return "'" + member + "' must be a string of at most 256 bytes, without NUL"
}

// nested is so many lists, one in the other.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// hostileAnywhere are refused whether the client has bound or not.
func hostileAnywhere() []badFrame {
	return []badFrame{
		{why: "nothing", frame: ``, error: noObject},
		{why: "a space", frame: ` `, error: noObject},
		{why: "a NUL", frame: "\x00", error: noObject},
		{why: "many NULs", frame: strings.Repeat("\x00", 100<<10), error: noObject},
		{why: "text", frame: `hello`, error: noObject},
		{why: "half an object", frame: `{"type": "ping"`, error: noObject},
		{why: "an object and a half", frame: `{"type": "ping", "ping": 1}}`, error: noObject},
		{why: "two objects", frame: `{"type": "ping", "ping": 1}{"type": "ping", "ping": 1}`, error: noObject},
		{why: "two lines", frame: "{\"type\": \"list\"}\n{\"type\": \"list\"}", error: noObject},
		{why: "JavaScript", frame: `{type: "ping", ping: 1}`, error: noObject},
		{why: "Python", frame: `{'type': 'ping', 'ping': None}`, error: noObject},
		{why: "a comma too many", frame: `{"type": "ping", "ping": 1,}`, error: noObject},
		{why: "a comment", frame: `{"type": "ping", "ping": 1 /* one */}`, error: noObject},
		{why: "NaN", frame: `{"type": "ping", "ping": NaN}`, error: noObject},
		{why: "a byte order mark", frame: "\ufeff" + `{"type": "ping", "ping": 1}`, error: noObject},
		{why: "UTF-16", frame: "{\x00\"\x00t\x00", error: noObject},
		{why: "invalid UTF-8", frame: "{\"type\": \"ping\", \"ping\": \"\xff\"}", error: noObject},
		{why: "half a character", frame: "{\"type\": \"ping\", \"ping\": \"\xc3\"}", error: noObject},
		{why: "a surrogate in UTF-8", frame: "{\"type\": \"ping\", \"ping\": \"\xed\xa0\x80\"}", error: noObject},
		{why: "a control character in a string", frame: "{\"type\": \"ping\", \"ping\": \"\x01\"}", error: noObject},
		{why: "null", frame: `null`, error: noObject},
		{why: "true", frame: `true`, error: noObject},
		{why: "a number", frame: `1`, error: noObject},
		{why: "a huge number", frame: `1e999`, error: noObject},
		{why: "a string", frame: `"ping"`, error: noObject},
		{why: "a list", frame: `[]`, error: noObject},
		{why: "a list with a command", frame: `[{"type": "ping", "ping": 1}]`, error: noObject},
		{why: "a deep list", frame: nested(100_000), error: noObject},
		{why: "a list that is never closed", frame: strings.Repeat("[", 200_000), error: noObject},
		{why: "a command that is too deep", frame: `{"type": "ping", "ping": ` + nested(10_000) + `}`, error: noObject},
		{why: "no type", frame: `{}`, ack: "none", error: "missing 'type'"},
		{why: "no type, and more", frame: `{"id": "1", "ping": 1}`, ack: "none", error: "missing 'type'"},
		{why: "a type in capitals", frame: `{"TYPE": "ping", "Type": "ping"}`, ack: "none", error: "missing 'type'"},
		{why: "no type, and much of it", frame: `{"x": "` + strings.Repeat("<", 200<<10) + `"}`, ack: "none", error: "missing 'type'"},
		{why: "a ping of nothing", frame: `{"type": "ping"}`, error: "ping requires 'ping'"},
		{why: "a huge ping", frame: `{"type": "ping", "ping": "` + strings.Repeat("x", 100<<10) + `"}`, error: noPing},
		{why: "a huge id", frame: `{"type": "ping", "ping": 1, "id": "` + strings.Repeat("x", 100<<10) + `"}`, error: noID},
		{why: "a huge id that would grow", frame: `{"type": "ping", "ping": 1, "id": "` + strings.Repeat("<", 16<<10) + `"}`, error: noID},
		{why: "a ping that would grow", frame: `{"type": "ping", "ping": "` + strings.Repeat("<>&", 5000) + `"}`, reply: "pong"},
		{why: "a ping of line separators", frame: `{"type": "ping", "ping": "` + strings.Repeat("\u2028", 5000) + `"}`, reply: "pong"},
		{why: "an orig that would grow", frame: `{"type": "ping", "x": "` + strings.Repeat("<>&", 5000) + `"}`, error: "ping requires 'ping'"},
		{why: "an orig of line separators", frame: `{"type": "ping", "x": "` + strings.Repeat("\u2028", 5000) + `"}`, error: "ping requires 'ping'"},
		{why: "an orig of 33 KiB", frame: `{"type": "ping", "x": "` + strings.Repeat("x", 33<<10) + `"}`, error: "ping requires 'ping'"},
		{why: "an orig of 200 KiB", frame: `{"type": "ping", "id": "7", "x": "` + strings.Repeat("x", 200<<10) + `"}`, ack: `"7"`, error: "ping requires 'ping'"},
		{why: "many members", frame: `{"type": "ping"` + manyMembers(10_000) + `}`, error: "ping requires 'ping'"},
		{why: "a deep ping", frame: `{"type": "ping", "ping": ` + nested(8_000) + `}`, reply: "pong"},
		{why: "a huge number to ping", frame: `{"type": "ping", "ping": 1e400}`, reply: "pong"},
		{why: "half a surrogate", frame: `{"type": "ping", "ping": "\ud800", "id": "\udc00"}`, ack: `"\udc00"`, reply: "pong"},
		{why: "an id that is a number", frame: `{"type": "ping", "ping": 1, "id": 1.0}`, ack: `1.0`, reply: "pong"},
		{why: "an id that is a huge number", frame: `{"type": "ping", "ping": 1, "id": 123456789012345678901234567890e99}`, ack: `123456789012345678901234567890e99`, reply: "pong"},
		{why: "an id that is an object", frame: `{"type": "ping", "ping": 1, "id": {"a":[1,null]}}`, ack: `{"a":[1,null]}`, reply: "pong"},
		{why: "an id that is null", frame: `{"type": "ping", "ping": 1, "id": null}`, ack: `null`, reply: "pong"},
		{why: "two ids", frame: `{"type": "ping", "ping": 1, "id": "a", "id": "b"}`, error: noObject},
		{why: "a NUL as id", frame: `{"type": "ping", "ping": 1, "id": "\u0000"}`, ack: `"\u0000"`, reply: "pong"},
		{why: "a method that is a number", frame: `{"type": "submit-permissions", "method": 1}`, error: "'' is not one of: hashcash"},
		{why: "a long method", frame: `{"type": "submit-permission", "method": "` + strings.Repeat("x", 300) + `"}`, error: "'" + strings.Repeat("x", 40) + "' is not one of: hashcash"},
		{why: "a method that ends a quotation", frame: `{"type": "submit-permission", "method": "'\n\""}`, error: "''\n\"' is not one of: hashcash"},
	}
}

// hostileBefore are refused to a client that has not bound.
func hostileBefore() (list []badFrame) {
	for _, kind := range []string{`"list"`, `1`, `null`, `{}`, `[]`, `true`, `""`, `"\u0000"`, `"BIND"`, `" bind"`, strconv.Quote(strings.Repeat("x", 20<<10))} {
		list = append(list, badFrame{why: "the type " + kind[:min(len(kind), 20)], frame: `{"type": ` + kind + `}`, error: "must bind first"})
	}
	for _, wrong := range notAName {
		list = append(list,
			badFrame{why: "appid " + wrong[:min(len(wrong), 20)], frame: `{"type": "bind", "appid": ` + wrong + `, "side": "a"}`, error: noName("appid")},
			badFrame{why: "side " + wrong[:min(len(wrong), 20)], frame: `{"type": "bind", "appid": "a", "side": ` + wrong + `}`, error: noName("side")})
	}
	return append(list,
		badFrame{why: "a bind without names", frame: `{"type": "bind", "appid": "", "side": ""}`, error: "'appid' and 'side' must not be empty"},
		badFrame{why: "two appids", frame: `{"type": "bind", "appid": "a", "appid": 1, "side": "a"}`, error: noObject},
		badFrame{why: "a version that is a text", frame: `{"type": "bind", "appid": "a", "side": "a", "client_version": "1.0"}`, error: noVersion},
		badFrame{why: "half a version", frame: `{"type": "bind", "appid": "a", "side": "a", "client_version": ["a"]}`, error: noVersion},
		badFrame{why: "a version of a number", frame: `{"type": "bind", "appid": "a", "side": "a", "client_version": ["a", 1]}`, error: noVersion},
		badFrame{why: "a version of half a surrogate", frame: `{"type": "bind", "appid": "a", "side": "a", "client_version": ["a", "\ud83d"]}`, error: noVersion},
		badFrame{why: "a long version", frame: `{"type": "bind", "appid": "a", "side": "a", "client_version": ["a", "` + strings.Repeat("x", 257) + `"]}`, error: noVersion})
}

// notAName is what cannot name anything.
var notAName = []string{`1`, `null`, `true`, `[]`, `{}`, `["a"]`, `"\u0000"`, `"a\u0000b"`, `"a\ud83d"`, `"\ude00b"`, strconv.Quote(strings.Repeat("x", 257)), strconv.Quote(strings.Repeat("x", 50<<10)), nested(100)}

// hostileAfter are refused to one that has, and holds the mailbox m.
func hostileAfter() (list []badFrame) {
	for _, kind := range []string{`1`, `null`, `{}`, `[]`, `true`, `""`, `"\u0000"`, `"LIST"`, `"list "`, `"welcome"`, `"ack"`, `"message"`, strconv.Quote(strings.Repeat("x", 20<<10))} {
		list = append(list, badFrame{why: "the type " + kind[:min(len(kind), 20)], frame: `{"type": ` + kind + `}`, error: "unknown type"})
	}
	for _, wrong := range notAName {
		for command, member := range map[string]string{"claim": "nameplate", "release": "nameplate", "close": "mailbox", "add": "phase"} {
			list = append(list, badFrame{
				why:   command + " " + wrong[:min(len(wrong), 20)],
				frame: fmt.Sprintf(`{"type": %q, %q: %s, "body": ""}`, command, member, wrong), error: noName(member),
			})
		}
	}
	for _, wrong := range []string{``, `a`, `-1`, `+1`, `1.0`, ` 1`, `1\n`, `٣`, strings.Repeat("1", 41), strings.Repeat("1", 256), `1' OR '1'='1`, `../1`, `%31`} {
		for _, command := range []string{"claim", "release"} {
			list = append(list, badFrame{why: command + " " + wrong[:min(len(wrong), 20)], frame: `{"type": "` + command + `", "nameplate": "` + wrong + `"}`, error: noNameplate})
		}
	}
	for _, wrong := range []string{`1`, `null`, `true`, `[]`, `{}`, `"a\ud83d"`, strconv.Quote(strings.Repeat("x", 64<<10+1)), nested(5000)} {
		list = append(list, badFrame{why: "the body " + wrong[:min(len(wrong), 20)], frame: `{"type": "add", "phase": "p", "body": ` + wrong + `}`, error: invalidBody})
	}
	return append(list,
		badFrame{why: "a body with a huge id", frame: `{"type": "add", "phase": "p", "body": "", "id": "` + strings.Repeat("x", 17<<10) + `"}`, error: noID},
		badFrame{why: "a body with a list as id", frame: `{"type": "add", "phase": "p", "body": "", "id": ["a"]}`, ack: `["a"]`, error: "'id' must not be a list or an object"},
		badFrame{why: "a body with an object as id", frame: `{"type": "add", "phase": "p", "body": "", "id": {}}`, ack: `{}`, error: "'id' must not be a list or an object"},
		badFrame{why: "a mood that is a list", frame: `{"type": "close", "mailbox": "m", "mood": ["happy"]}`, error: "'mood' must not be a list or an object"},
		badFrame{why: "a mood that is an object", frame: `{"type": "close", "mood": {}}`, error: "'mood' must not be a list or an object"},
		badFrame{why: "to open another", frame: `{"type": "open", "mailbox": 1}`, error: "only one open per connection"},
		badFrame{why: "to close another", frame: `{"type": "close", "mailbox": "M"}`, error: "open and close must use same mailbox"},
		badFrame{why: "to bind again", frame: `{"type": "bind", "appid": 1, "side": []}`, error: "already bound"},
		badFrame{why: "a list with a lot", frame: `{"type": "list", "nameplates": ` + nested(9000) + `}`, reply: "nameplates"},
	)
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `, "%d": %d`, i, i)
	}
	return b.String()
}

// Whatever a client sends, it gets an error and may go on. No other client notices, and nothing is stored.
func TestWormholeHostile(t *testing.T) {
	// The clients of this test suffer a lot before they bind.
	r := handlerstest.Start(t, handlerstest.Options{Limits: func(l *handlers.Limits) { l.Identify = time.Hour }})
	other := r.Bind(t, "app", "other").Open("theirs")
	r.WantRows(t, `SELECT app FROM client_versions`, "app")
	dumped := r.Dumper()
	hostilities := func(t *testing.T, all []badFrame, from func() *testclient.Wormhole) {
		t.Helper()
		before := dumped(t)
		for _, h := range all {
			t.Run(h.why, func(t *testing.T) {
				c := from().In(t)
				sendBad(c, h)
				c.WantNothing()
				other.In(t).WantNothing() // which is answered
				dumped(t).WantSame(t, before)
			})
		}
		other.In(t)
	}
	t.Run("before bind", func(t *testing.T) {
		var all []*testclient.Wormhole
		hostilities(t, append(hostileAnywhere(), hostileBefore()...), func() *testclient.Wormhole {
			c := r.Connect(t)
			all = append(all, c)
			return c
		})
		for _, c := range all {
			c.In(t).Send("bind", "appid", "app", "side", "a")
			handlerstest.EqualRows(t, c.List())
		}
		r.WantRows(t, `SELECT count(*) FROM client_versions`, fmt.Sprint(len(all)+1))
	})
	t.Run("after bind", func(t *testing.T) { // one connection suffers all of it, unless one is too much
		var c *testclient.Wormhole
		from := func() *testclient.Wormhole {
			if c == nil || c.Failed() {
				clients := len(r.Rows(t, `SELECT app FROM client_versions`))
				c = r.Bind(t, "app", "bound").Open("m")
				r.WantRows(t, `SELECT count(*) FROM client_versions`, fmt.Sprint(clients+1))
			}
			return c
		}
		from()
		hostilities(t, append(hostileAnywhere(), hostileAfter()...), from)
		c.In(t).Add("p", "still there")
		c.Request("closed", "close")
	})
}

// sendBad sends a hostile frame, and checks the answer.
func sendBad(c *testclient.Wormhole, h badFrame) {
	c.Helper()
	c.Write(websocket.TextMessage, h.frame)
	switch h.ack {
	case "none":
	case "":
		c.WantAck("null")
	default:
		c.WantAck(h.ack)
	}
	if h.reply != "" {
		c.Want(h.reply)
		return
	}
	if h.error == noObject {
		c.Last = `{}`
	}
	c.WantError(h.error)
}
