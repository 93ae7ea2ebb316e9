package wormhole_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gorilla/websocket"

	"restante/handlers/handlerstest"
	"restante/handlers/welcome"
	"restante/rendezvous"
)

// Every complaint of the reference server, to the letter, and in its order: of
// two mistakes in one command the one that is told is always the same.
func TestWormholeComplaints(t *testing.T) {
	r := handlerstest.Start(t, handlerstest.Options{})
	for i, tt := range []struct {
		complaint string
		why       string
		bound     bool
		given     []string // commands, and after each what it is answered with, or nothing
		when      string
	}{
		{"unknown type", "", true, nil, `{"type": "dance"}`},
		{"unknown type", "a type that is no string", true, nil, `{"type": 1}`},
		{"must bind first", "to list", false, nil, `{"type": "list"}`},
		{"must bind first", "to allocate", false, nil, `{"type": "allocate"}`},
		{"must bind first", "to claim, before 'nameplate' is missed", false, nil, `{"type": "claim"}`},
		{"must bind first", "to release", false, nil, `{"type": "release"}`},
		{"must bind first", "to open, before 'mailbox' is missed", false, nil, `{"type": "open"}`},
		{"must bind first", "to add", false, nil, `{"type": "add"}`},
		{"must bind first", "to close", false, nil, `{"type": "close"}`},
		{"must bind first", "before the type is unknown", false, nil, `{"type": "dance"}`},
		{"bind requires 'appid'", "", false, nil, `{"type": "bind", "side": "a"}`},
		{"bind requires 'appid'", "before 'side' is missed", false, nil, `{"type": "bind"}`},
		{"bind requires 'side'", "", false, nil, `{"type": "bind", "appid": "x"}`},
		{"already bound", "", true, nil, `{"type": "bind", "appid": "x", "side": "a"}`},
		{"already bound", "before 'appid' is missed", true, nil, `{"type": "bind"}`},
		{"ping requires 'ping'", "", true, nil, `{"type": "ping"}`},
		{"ping requires 'ping'", "before it is bound", false, nil, `{"type": "ping"}`},
		{"you already allocated one, don't be greedy", "", true, []string{`{"type": "allocate"}`, "allocated"}, `{"type": "allocate"}`},
		{"claim requires 'nameplate'", "", true, nil, `{"type": "claim"}`},
		{"claim requires 'nameplate'", "before it is the second", true, []string{`{"type": "claim", "nameplate": "1"}`, "claimed"}, `{"type": "claim"}`},
		{"only one claim per connection", "", true, []string{`{"type": "claim", "nameplate": "1"}`, "claimed"}, `{"type": "claim", "nameplate": "1"}`},
		{"release without nameplate must follow claim", "", true, nil, `{"type": "release"}`},
		{"release without nameplate must follow claim", "also after an allocation", true, []string{`{"type": "allocate"}`, "allocated"}, `{"type": "release"}`},
		{"release and claim must use same nameplate", "", true, []string{`{"type": "claim", "nameplate": "1"}`, "claimed"}, `{"type": "release", "nameplate": "2"}`},
		{"only one release per connection", "", true, []string{`{"type": "release", "nameplate": "1"}`, "released"}, `{"type": "release", "nameplate": "1"}`},
		{
			"only one release per connection", "before it is another nameplate", true,
			[]string{`{"type": "claim", "nameplate": "1"}`, "claimed", `{"type": "release"}`, "released"},
			`{"type": "release", "nameplate": "2"}`,
		},
		{"open requires 'mailbox'", "", true, nil, `{"type": "open"}`},
		{"only one open per connection", "", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "open", "mailbox": "m"}`},
		{"only one open per connection", "before 'mailbox' is missed", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "open"}`},
		{"must open mailbox before adding", "", true, nil, `{"type": "add", "phase": "p", "body": ""}`},
		{"must open mailbox before adding", "before 'phase' is missed", true, nil, `{"type": "add"}`},
		{"must open mailbox before adding", "though it has claimed", true, []string{`{"type": "claim", "nameplate": "1"}`, "claimed"}, `{"type": "add", "phase": "p", "body": ""}`},
		{"missing 'phase'", "", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "add", "body": ""}`},
		{"missing 'phase'", "before 'body' is missed", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "add"}`},
		{"missing 'body'", "", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "add", "phase": "p"}`},
		{"close without mailbox must follow open", "", true, nil, `{"type": "close"}`},
		{"open and close must use same mailbox", "", true, []string{`{"type": "open", "mailbox": "m"}`, ""}, `{"type": "close", "mailbox": "n"}`},
		{"only one close per connection", "", true, []string{`{"type": "close", "mailbox": "m"}`, "closed"}, `{"type": "close", "mailbox": "m"}`},
		{
			"only one close per connection", "before it is another mailbox", true,
			[]string{`{"type": "open", "mailbox": "m"}`, "", `{"type": "close"}`, "closed", `{"type": "open", "mailbox": "m"}`, ""},
			`{"type": "close", "mailbox": "n"}`,
		},
	} {
		t.Run(tt.complaint+" "+tt.why, func(t *testing.T) {
			c := r.Connect(t)
			if tt.bound {
				c.Send("bind", "appid", fmt.Sprint("app", i), "side", "a")
			}
			for i := 0; i < len(tt.given); i += 2 {
				c.SendWithoutID(tt.given[i])
				if reply := tt.given[i+1]; reply != "" {
					c.Want(reply)
				}
			}
			for range 2 { // it is refused again in the same way: nothing was done
				c.SendWithoutID(tt.when)
				c.WantError(tt.complaint)
			}
			c.WantNothing()
		})
	}
	t.Run("missing 'type'", func(t *testing.T) { // the one that comes without an ack
		c := r.Connect(t)
		for _, command := range []string{`{}`, `{"appid": "x", "id": "1"}`} {
			c.Write(websocket.TextMessage, command)
			c.WantError("missing 'type'")
		}
		c.Send("bind", "appid", "x", "side", "a")
		c.Write(websocket.TextMessage, `{}`)
		c.WantError("missing 'type'")
		c.WantNothing()
	})
	t.Run("crowded, reclaimed", func(t *testing.T) {
		a, b, c := r.Bind(t, "full", "a"), r.Bind(t, "full", "b"), r.Bind(t, "full", "c")
		mailbox := a.Request("claimed", "claim", "nameplate", "4").Text("mailbox")
		b.Request("claimed", "claim", "nameplate", "4")
		c.Refused("crowded", "claim", "nameplate", "4")
		c.Refused("crowded", "open", "mailbox", mailbox)
		a.Request("released", "release")
		r.Bind(t, "full", "a").Refused("reclaimed", "claim", "nameplate", "4")
	})
	t.Run("a client that is rejected", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{Admit: func(_ context.Context, c rendezvous.ClientInfo) error {
			if c.Client != [2]string{"acme", "1.0"} || c.App != "x" || c.Address == "" {
				return nil
			}
			return &rendezvous.Failure{Code: rendezvous.RejectedUnsupportedAgent, Detail: "update it"}
		}})
		c := r.Connect(t)
		c.Refused("update it", "bind", "appid", "x", "side", "a", "client_version", []any{"acme", "1.0"})
		c.Refused("must bind first", "list")
		c.Send("bind", "appid", "x", "side", "a", "client_version", []any{"acme", "1.1"})
		c.List()
	})
	t.Run("permission", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{Settings: welcome.Settings{HashcashBits: 8}})
		c := r.Connect(t)
		c.Refused("must submit-permission first", "bind", "appid", "x", "side", "a")
		c.Refused("bind requires 'appid'", "bind") // comes before
		c.Refused("must bind first", "list")
		c.Refused("submit-permission failed", "submit-permissions", "method", "hashcash", "stamp", "1:8::x::y:0")
		c.Refused("submit-permission failed", "submit-permission", "method", "hashcash")
		c.Refused("'none' is not one of: hashcash", "submit-permissions", "method", "none")
		c.Refused("'' is not one of: hashcash", "submit-permissions")
	})
}
