package wormhole_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers/handlerstest"
	"restante/internal/testclient"
)

// TestWormholeThirdSide is of the improvements 5.10 to 5.19 on the reference server, of which most are about a third side or about names.
func TestWormholeThirdSide(t *testing.T) {
	crowd := func(t *testing.T, r *handlerstest.Server) (a, b *testclient.Wormhole, mailbox string) {
		t.Helper()
		a, b = r.Bind(t, "app", "a"), r.Bind(t, "app", "b")
		mailbox = a.Request("claimed", "claim", "nameplate", "4").Text("mailbox")
		b.Request("claimed", "claim", "nameplate", "4")
		r.Bind(t, "app", "c").Refused("crowded", "claim", "nameplate", "4")
		return a, b, mailbox
	}
	t.Run("5.10 a third side never locks the first two out", func(t *testing.T) {
		// There: it is recorded, and from then on everyone who comes back is crowded, the first two included.
		r := handlerstest.Start(t, handlerstest.Options{})
		a, b, mailbox := crowd(t, r)
		r.Bind(t, "app", "c").Refused("crowded", "open", "mailbox", mailbox)
		a.Drop()
		b.Drop()
		a, b = r.Bind(t, "app", "a"), r.Bind(t, "app", "b")
		for _, c := range []*testclient.Wormhole{a, b} {
			if got := c.Request("claimed", "claim", "nameplate", "4").Text("mailbox"); got != mailbox {
				t.Errorf("it leads to %s, want %s", got, mailbox)
			}
			c.Open(mailbox)
		}
		a.Add("p", "hello")
		b.WantMessages("hello")
		for _, c := range []*testclient.Wormhole{a, b} {
			c.Request("released", "release")
			c.Request("closed", "close")
		}
		r.WantEmpty(t)
	})
	t.Run("5.10 the one who is refused can end", func(t *testing.T) {
		// There: close is answered with crowded, and the client waits for ever (#20, magic-wormhole#408).
		r := handlerstest.Start(t, handlerstest.Options{})
		_, _, mailbox := crowd(t, r)
		for name, members := range map[string][]any{"named": {"mailbox", mailbox}, "unnamed": nil} {
			c := r.Bind(t, "app", "c")
			c.Refused("crowded", "claim", "nameplate", "4")
			c.Refused("crowded", "open", "mailbox", mailbox)
			c.Refused("must open mailbox before adding", "add", "phase", "p", "body", "b")
			c.Request("released", "release")
			if c.Send("close", members...); c.Want("closed").Kind == "" {
				t.Error(name)
			}
		}
		r.Bind(t, "app", "c").Request("closed", "close", "mailbox", mailbox, "mood", "errory")
		handlerstest.EqualRows(t, r.Rows(t, `SELECT side FROM mailbox_sides WHERE closed IS NULL`), "a", "b")
	})
	t.Run("5.10 the sides that have not met are told", func(t *testing.T) {
		// There: the first side waits for ever (#19).
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			a := r.Bind(t, "app", "a")
			a.Open(a.Request("claimed", "claim", "nameplate", "4").Text("mailbox")).Add("pake", "00")
			stranger := r.Bind(t, "app", "stranger") // mistyped the number, and left
			stranger.Request("claimed", "claim", "nameplate", "4")
			stranger.Drop()
			synctest.Wait() // the server has noticed
			r.Bind(t, "app", "b").Refused("crowded", "claim", "nameplate", "4")
			if got := a.Next(); got.Kind != "error" || got.Text("error") != "crowded" || got.At("orig/type") != "open" {
				t.Errorf("it is told %s", got.Raw)
			}
			r.Bind(t, "app", "c").Refused("crowded", "claim", "nameplate", "4")
			a.WantNothing() // once
			met, other := r.Bind(t, "app", "d"), r.Bind(t, "app", "e")
			mailbox := met.Request("claimed", "claim", "nameplate", "5").Text("mailbox")
			met.Open(mailbox)
			other.Open(mailbox).Add("p", "hello")
			met.WantMessages("hello")
			met.Add("p", "yes")
			other.WantMessages("yes")
			r.Bind(t, "app", "f").Refused("crowded", "claim", "nameplate", "5")
			met.WantNothing()
			other.WantNothing()
		})
	})
	t.Run("5.10 who is refused keeps nothing alive", func(t *testing.T) {
		// There: each crowded claim renews the nameplate (#80).
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			start := time.Now()
			a, b, mailbox := crowd(t, r)
			a.Drop()
			b.Drop()
			for range 15 {
				r.Bind(t, "app", "c").Refused("crowded", "claim", "nameplate", "4")
				if time.Since(start) < 14*time.Minute {
					r.Bind(t, "app", "c").Refused("crowded", "open", "mailbox", mailbox)
				}
				if elapse(59 * time.Second); time.Since(start) > 14*time.Minute {
					break
				}
			}
			elapse(15*time.Minute + time.Second - time.Since(start))
			r.WantEmpty(t)
			handlerstest.EqualRows(t, usage(t, r, "nameplates", start), "0 0 900 crowded")
		})
	})
	t.Run("5.12 to allocate again after a lost reply gives the same", func(t *testing.T) {
		// There: the first nameplate is leaked until it is pruned.
		r := handlerstest.Start(t, handlerstest.Options{})
		one := r.Bind(t, "app", "a")
		first := one.Request("allocated", "allocate")
		one.Drop()
		two := r.Bind(t, "app", "a")
		again := two.Request("allocated", "allocate")
		for _, name := range []string{"nameplate", "mailbox"} {
			if first.Text(name) != again.Text(name) {
				t.Errorf("the %s is %s, and then %s", name, first.Text(name), again.Text(name))
			}
		}
		handlerstest.EqualRows(t, two.List(), first.Text("nameplate"))
		r.Bind(t, "app", "b").Request("claimed", "claim", "nameplate", first.Text("nameplate"))
		if next := r.Bind(t, "app", "a").Request("allocated", "allocate"); next.Text("nameplate") == first.Text("nameplate") {
			t.Error("a nameplate that has found its partner is given out again")
		}
	})
	t.Run("allocated.mailbox", func(t *testing.T) { // upstream's pending #38
		r := handlerstest.Start(t, handlerstest.Options{})
		a := r.Bind(t, "app", "a")
		allocated := a.Request("allocated", "allocate")
		if got := a.Request("claimed", "claim", "nameplate", allocated.Text("nameplate")).Text("mailbox"); got != allocated.Text("mailbox") {
			t.Errorf("allocated leads to %s, claimed to %s", allocated.Text("mailbox"), got)
		}
	})
	t.Run("5.17 the list is of those who wait, and fits", func(t *testing.T) {
		// There: it names every nameplate, and grows beyond the 32 KiB that Go clients read.
		r := handlerstest.Start(t, handlerstest.Options{})
		crowd(t, r)
		a := r.Bind(t, "app", "a")
		a.Request("claimed", "claim", "nameplate", "5")
		released := r.Bind(t, "app", "d")
		released.Request("claimed", "claim", "nameplate", "5")
		a.Request("released", "release")
		r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", "6")
		handlerstest.EqualRows(t, a.List(), "6")
		r.Exec(t, `INSERT INTO mailboxes (key, app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
			VALUES (1000, 'many', 'shared', 0, 0, 1, 4102444800000, 0, 0, 0, 0)`)
		for digits := 6; digits <= 40; digits++ { // so that some of them come close to the limit
			app := fmt.Sprint("many", digits)
			r.Exec(t, `WITH RECURSIVE numbers (n) AS (VALUES (100000) UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000 + ?)
				INSERT INTO nameplates (app, id, mailbox, created, stale_at, crowded, waiting)
				SELECT ?, n || ?, 1000, 0, 4102444800000, 0, 1 FROM numbers`, 40_000/(digits+10), app, strings.Repeat("0", digits-6))
			c := r.Bind(t, app, "a")
			s := c.Request("nameplates", "list") // which is not too long
			if len(s.Raw) < testclient.MaxFrame-200 {
				t.Errorf("a list of %d bytes leaves out what would fit", len(s.Raw))
			}
			c.Drop()
		}
	})
	t.Run("5.18 a nameplate is made of ASCII digits", func(t *testing.T) {
		// There: digits of any script are, and a line feed may follow; 7 and 007 are two, as here.
		r := handlerstest.Start(t, handlerstest.Options{})
		for _, wrong := range []string{"٣", "4\n", "４", "4 ", "+4", "-4", "1e3", "4.0", "0x4", "", strings.Repeat("0", 41)} {
			c := r.Bind(t, "app", "a")
			for _, command := range []string{"claim", "release"} {
				c.Refused("a nameplate is 1 to 40 of the digits 0-9", command, "nameplate", wrong)
			}
			c.Drop()
		}
		for _, right := range []string{"0", "00", "7", "007", strings.Repeat("9", 40)} {
			r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", right)
		}
		handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM nameplates`), "0", "00", "007", "7", strings.Repeat("9", 40))
	})
	t.Run("5.19 what is no text is refused, or null", func(t *testing.T) {
		// There: a number is heard as a number, and replayed as a text; a number as id kills Go and Haskell clients.
		r := handlerstest.Start(t, handlerstest.Options{})
		a := r.Bind(t, "app", "a").Open("m")
		b := r.Bind(t, "app", "b").Open("m")
		a.Refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", 1, "body", "")
		a.Refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", nil, "body", "")
		a.Refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", map[string]any{})
		a.Refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", 1)
		for _, id := range []string{`1`, `true`, `null`, `1.5`, strconv.Quote(strings.Repeat("x", 4097)), `"\u0000"`, `"\ud83d"`} {
			a.Write(websocket.TextMessage, `{"type": "add", "phase": "p", "body": "b", "id": `+id+`}`)
			a.WantAck(id)
			for _, c := range []*testclient.Wormhole{a, b} {
				if got := c.Want("message").At("id"); got != nil {
					t.Errorf("the id %s is heard as %v", id, got)
				}
			}
		}
		a.Write(websocket.TextMessage, `{"type": "add", "phase": "p", "body": "not hex: {\"pake\": 1}", "id": "x"}`) // some clients' bodies are none
		a.WantAck(`"x"`)
		late := r.Bind(t, "app", "b").Send("open", "mailbox", "m")
		for range 7 {
			late.Want("message")
		}
		for _, c := range []*testclient.Wormhole{a, b, late} {
			if got := c.Want("message"); got.Text("id") != "x" || got.Text("body") != `not hex: {"pake": 1}` {
				t.Errorf("it hears %s", got.Raw)
			}
		}
	})
}

// The rest of TestWormholeImprovements, from 5.20 on; for connections and time see TestWormholeSocketsOfAnAddress,
// TestWormholeIdentify and TestSlowReader.
