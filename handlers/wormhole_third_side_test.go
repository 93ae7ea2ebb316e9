package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestWormholeThirdSide is of the improvements 5.10 to 5.19 on the reference server, of which most are about a third side or about names.
func TestWormholeThirdSide(t *testing.T) {
	crowd := func(t *testing.T, r *relay) (a, b *caller, mailbox string) {
		t.Helper()
		a, b = r.bind(t, "app", "a"), r.bind(t, "app", "b")
		mailbox = a.ask("claimed", "claim", "nameplate", "4").text("mailbox")
		b.ask("claimed", "claim", "nameplate", "4")
		r.bind(t, "app", "c").refused("crowded", "claim", "nameplate", "4")
		return a, b, mailbox
	}
	t.Run("5.10 a third side never locks the first two out", func(t *testing.T) {
		// There: it is recorded, and from then on everyone who comes back is crowded, the first two included.
		r := serve(t, setup{})
		a, b, mailbox := crowd(t, r)
		r.bind(t, "app", "c").refused("crowded", "open", "mailbox", mailbox)
		a.leave()
		b.leave()
		a, b = r.bind(t, "app", "a"), r.bind(t, "app", "b")
		for _, c := range []*caller{a, b} {
			if got := c.ask("claimed", "claim", "nameplate", "4").text("mailbox"); got != mailbox {
				t.Errorf("it leads to %s, want %s", got, mailbox)
			}
			c.opens(mailbox)
		}
		a.add("p", "hello")
		b.hears("hello")
		for _, c := range []*caller{a, b} {
			c.ask("released", "release")
			c.ask("closed", "close")
		}
		r.nothing(t)
	})
	t.Run("5.10 the one who is refused can end", func(t *testing.T) {
		// There: close is answered with crowded, and the client waits for ever (#20, magic-wormhole#408).
		r := serve(t, setup{})
		_, _, mailbox := crowd(t, r)
		for name, members := range map[string][]any{"named": {"mailbox", mailbox}, "unnamed": nil} {
			c := r.bind(t, "app", "c")
			c.refused("crowded", "claim", "nameplate", "4")
			c.refused("crowded", "open", "mailbox", mailbox)
			c.refused("must open mailbox before adding", "add", "phase", "p", "body", "b")
			c.ask("released", "release")
			if c.say("close", members...); c.hear("closed").kind == "" {
				t.Error(name)
			}
		}
		r.bind(t, "app", "c").ask("closed", "close", "mailbox", mailbox, "mood", "errory")
		expect(t, r.rows(t, `SELECT side FROM mailbox_sides WHERE closed IS NULL`), "a", "b")
	})
	t.Run("5.10 the sides that have not met are told", func(t *testing.T) {
		// There: the first side waits for ever (#19).
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			a := r.bind(t, "app", "a")
			a.opens(a.ask("claimed", "claim", "nameplate", "4").text("mailbox")).add("pake", "00")
			stranger := r.bind(t, "app", "stranger") // mistyped the number, and left
			stranger.ask("claimed", "claim", "nameplate", "4")
			stranger.leave()
			synctest.Wait() // the server has noticed
			r.bind(t, "app", "b").refused("crowded", "claim", "nameplate", "4")
			if got := a.next(); got.kind != "error" || got.text("error") != "crowded" || got.at("orig/type") != "open" {
				t.Errorf("it is told %s", got.raw)
			}
			r.bind(t, "app", "c").refused("crowded", "claim", "nameplate", "4")
			a.quiet() // once
			met, other := r.bind(t, "app", "d"), r.bind(t, "app", "e")
			mailbox := met.ask("claimed", "claim", "nameplate", "5").text("mailbox")
			met.opens(mailbox)
			other.opens(mailbox).add("p", "hello")
			met.hears("hello")
			met.add("p", "yes")
			other.hears("yes")
			r.bind(t, "app", "f").refused("crowded", "claim", "nameplate", "5")
			met.quiet()
			other.quiet()
		})
	})
	t.Run("5.10 who is refused keeps nothing alive", func(t *testing.T) {
		// There: each crowded claim renews the nameplate (#80).
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			start := time.Now()
			a, b, mailbox := crowd(t, r)
			a.leave()
			b.leave()
			for range 15 {
				r.bind(t, "app", "c").refused("crowded", "claim", "nameplate", "4")
				if time.Since(start) < 14*time.Minute {
					r.bind(t, "app", "c").refused("crowded", "open", "mailbox", mailbox)
				}
				if elapse(59 * time.Second); time.Since(start) > 14*time.Minute {
					break
				}
			}
			elapse(15*time.Minute + time.Second - time.Since(start))
			r.nothing(t)
			expect(t, r.usage(t, "nameplates", start), "0 0 900 crowded")
		})
	})
	t.Run("5.12 to allocate again after a lost reply gives the same", func(t *testing.T) {
		// There: the first nameplate is leaked until it is pruned.
		r := serve(t, setup{})
		one := r.bind(t, "app", "a")
		first := one.ask("allocated", "allocate")
		one.leave()
		two := r.bind(t, "app", "a")
		again := two.ask("allocated", "allocate")
		for _, name := range []string{"nameplate", "mailbox"} {
			if first.text(name) != again.text(name) {
				t.Errorf("the %s is %s, and then %s", name, first.text(name), again.text(name))
			}
		}
		expect(t, two.list(), first.text("nameplate"))
		r.bind(t, "app", "b").ask("claimed", "claim", "nameplate", first.text("nameplate"))
		if next := r.bind(t, "app", "a").ask("allocated", "allocate"); next.text("nameplate") == first.text("nameplate") {
			t.Error("a nameplate that has found its partner is given out again")
		}
	})
	t.Run("allocated.mailbox", func(t *testing.T) { // upstream's pending #38
		r := serve(t, setup{})
		a := r.bind(t, "app", "a")
		allocated := a.ask("allocated", "allocate")
		if got := a.ask("claimed", "claim", "nameplate", allocated.text("nameplate")).text("mailbox"); got != allocated.text("mailbox") {
			t.Errorf("allocated leads to %s, claimed to %s", allocated.text("mailbox"), got)
		}
	})
	t.Run("5.17 the list is of those who wait, and fits", func(t *testing.T) {
		// There: it names every nameplate, and grows beyond the 32 KiB that Go clients read.
		r := serve(t, setup{})
		crowd(t, r)
		a := r.bind(t, "app", "a")
		a.ask("claimed", "claim", "nameplate", "5")
		released := r.bind(t, "app", "d")
		released.ask("claimed", "claim", "nameplate", "5")
		a.ask("released", "release")
		r.bind(t, "app", "a").ask("claimed", "claim", "nameplate", "6")
		expect(t, a.list(), "6")
		r.exec(t, `INSERT INTO mailboxes (key, app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
			VALUES (1000, 'many', 'shared', 0, 0, 1, 4102444800000, 0, 0, 0, 0)`)
		for digits := 6; digits <= 40; digits++ { // so that some of them come close to the limit
			app := fmt.Sprint("many", digits)
			r.exec(t, `WITH RECURSIVE numbers (n) AS (VALUES (100000) UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000 + ?)
				INSERT INTO nameplates (app, id, mailbox, created, stale_at, crowded, waiting)
				SELECT ?, n || ?, 1000, 0, 4102444800000, 0, 1 FROM numbers`, 40_000/(digits+10), app, strings.Repeat("0", digits-6))
			c := r.bind(t, app, "a")
			s := c.ask("nameplates", "list") // which is not too long
			if len(s.raw) < largest-200 {
				t.Errorf("a list of %d bytes leaves out what would fit", len(s.raw))
			}
			c.leave()
		}
	})
	t.Run("5.18 a nameplate is made of ASCII digits", func(t *testing.T) {
		// There: digits of any script are, and a line feed may follow; 7 and 007 are two, as here.
		r := serve(t, setup{})
		for _, wrong := range []string{"٣", "4\n", "４", "4 ", "+4", "-4", "1e3", "4.0", "0x4", "", strings.Repeat("0", 41)} {
			c := r.bind(t, "app", "a")
			for _, command := range []string{"claim", "release"} {
				c.refused("a nameplate is 1 to 40 of the digits 0-9", command, "nameplate", wrong)
			}
			c.leave()
		}
		for _, right := range []string{"0", "00", "7", "007", strings.Repeat("9", 40)} {
			r.bind(t, "app", "a").ask("claimed", "claim", "nameplate", right)
		}
		expect(t, r.rows(t, `SELECT id FROM nameplates`), "0", "00", "007", "7", strings.Repeat("9", 40))
	})
	t.Run("5.19 what is no text is refused, or null", func(t *testing.T) {
		// There: a number is heard as a number, and replayed as a text; a number as id kills Go and Haskell clients.
		r := serve(t, setup{})
		a := r.bind(t, "app", "a").opens("m")
		b := r.bind(t, "app", "b").opens("m")
		a.refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", 1, "body", "")
		a.refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", nil, "body", "")
		a.refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", map[string]any{})
		a.refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", 1)
		for _, id := range []string{`1`, `true`, `null`, `1.5`, quote(strings.Repeat("x", 4097)), `"\u0000"`, `"\ud83d"`} {
			a.write(websocket.TextMessage, `{"type": "add", "phase": "p", "body": "b", "id": `+id+`}`)
			a.acked(id)
			for _, c := range []*caller{a, b} {
				if got := c.hear("message").at("id"); got != nil {
					t.Errorf("the id %s is heard as %v", id, got)
				}
			}
		}
		a.write(websocket.TextMessage, `{"type": "add", "phase": "p", "body": "not hex: {\"pake\": 1}", "id": "x"}`) // some clients' bodies are none
		a.acked(`"x"`)
		late := r.bind(t, "app", "b").say("open", "mailbox", "m")
		for range 7 {
			late.hear("message")
		}
		for _, c := range []*caller{a, b, late} {
			if got := c.hear("message"); got.text("id") != "x" || got.text("body") != `not hex: {"pake": 1}` {
				t.Errorf("it hears %s", got.raw)
			}
		}
	})
}

// The rest of TestWormholeImprovements, from 5.20 on; for connections and time see TestWormholeSocketsOfAnAddress,
// TestWormholeIdentify and TestSlowReader.
