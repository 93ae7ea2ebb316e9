package handlers_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// The rest of TestWormholeImprovements, from 5.10 on.
func TestWormholeImprovementsCrowding(t *testing.T) {
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
		r := serve(t, relaySetup{})
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
		r := serve(t, relaySetup{})
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
	t.Run("5.10 who is refused keeps nothing alive", func(t *testing.T) {
		// There: each crowded claim renews the nameplate (#80).
		bubble(t, relaySetup{}, func(t *testing.T, r *relay) {
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
		r := serve(t, relaySetup{})
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
		r := serve(t, relaySetup{})
		a := r.bind(t, "app", "a")
		allocated := a.ask("allocated", "allocate")
		if got := a.ask("claimed", "claim", "nameplate", allocated.text("nameplate")).text("mailbox"); got != allocated.text("mailbox") {
			t.Errorf("allocated leads to %s, claimed to %s", allocated.text("mailbox"), got)
		}
	})
	t.Run("5.17 the list is of those who wait, and fits", func(t *testing.T) {
		// There: it names every nameplate, and grows beyond the 32 KiB that Go clients read.
		r := serve(t, relaySetup{})
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
		r := serve(t, relaySetup{})
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
		r := serve(t, relaySetup{})
		a := r.bind(t, "app", "a").opens("m")
		b := r.bind(t, "app", "b").opens("m")
		a.refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", 1, "body", "")
		a.refused("'phase' must be a string of at most 256 bytes, without NUL", "add", "phase", nil, "body", "")
		a.refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", map[string]any{})
		a.refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", 1)
		for _, id := range []string{`1`, `{}`, `[]`, `true`, `null`, `1.5`, quote(strings.Repeat("x", 257)), `"\u0000"`} {
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
		for range 8 {
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
func TestWormholeImprovementsLimits(t *testing.T) {
	t.Run("5.20 there are limits", func(t *testing.T) {
		// There: none.
		r := serve(t, relaySetup{config: func(c *rendezvous.Config) {
			c.Limits.MailboxMessages, c.Limits.MailboxBytes, c.Limits.Nameplates, c.Limits.Mailboxes = 3, 100<<10, 2, 4
		}})
		a := r.bind(t, "app", "a").opens("m")
		const full = "a mailbox holds 3 messages of 102400 bytes together; close this one and use another"
		a.refused("'body' must be a string of at most 65536 bytes", "add", "phase", "p", "body", strings.Repeat("x", 64<<10+1))
		a.add("p", strings.Repeat("x", 64<<10))
		a.refused(full, "add", "phase", "p", "body", strings.Repeat("x", 60<<10))
		a.add("p", "two")
		a.add("p", "three")
		a.refused(full, "add", "phase", "p", "body", "")
		for nameplate := range 2 {
			r.bind(t, "app", "a").ask("claimed", "claim", "nameplate", fmt.Sprint(nameplate))
		}
		r.bind(t, "app", "a").refused("a side may hold 2 nameplates; release one first", "claim", "nameplate", "2")
		r.bind(t, "app", "a").opens("n")
		r.bind(t, "app", "a").refused("a side may be in 4 mailboxes; close one first", "open", "mailbox", "o")
		r.bind(t, "app", "b").ask("claimed", "claim", "nameplate", "2")
	})
	t.Run("5.21 nobody is nobody", func(t *testing.T) {
		// There: an empty appid and side are fine, and may then be bound again.
		r := serve(t, relaySetup{})
		for _, members := range [][]any{{"appid", "", "side", "a"}, {"appid", "app", "side", ""}, {"appid", "", "side", ""}} {
			c := r.call(t)
			c.refused("'appid' and 'side' must not be empty", "bind", members...)
			c.refused("must bind first", "list")
			c.say("bind", "appid", "app", "side", "a")
			c.refused("already bound", "bind", "appid", "app", "side", "a")
		}
	})
	t.Run(`the mailbox ""`, func(t *testing.T) {
		// There: it is one, which everyone shares who has a malformed code; another app's close of it is dropped.
		r := serve(t, relaySetup{})
		for _, app := range []string{"one", "two"} {
			c := r.bind(t, app, "a")
			c.refused("'mailbox' must not be empty", "open", "mailbox", "")
			c.ask("closed", "close", "mailbox", "", "mood", "errory") // Go clients wait for it
		}
		r.nothing(t)
	})
	t.Run("5.22 the order is that of adding, whatever the clock does", func(t *testing.T) {
		// There: replay is ordered by the time of the wall clock.
		var late atomic.Int64
		r := serve(t, relaySetup{now: func() time.Time { return time.Now().Add(-time.Duration(late.Load())) }})
		a := r.bind(t, "app", "a").opens("m")
		var bodies []string
		for i := range 5 {
			late.Add(int64(time.Minute))
			bodies = append(bodies, fmt.Sprint(i))
			a.add("p", bodies[i])
		}
		r.bind(t, "app", "b").say("open", "mailbox", "m").hears(bodies...)
	})
	t.Run("5.23 usage counts what it says", func(t *testing.T) {
		// There: a crowded nameplate is over only when all three have released, and a mailbox that nobody came to cannot be quiet (see 5.4).
		r := serve(t, relaySetup{})
		a, b, c := r.bind(t, "app", "a"), r.bind(t, "app", "b"), r.bind(t, "app", "c")
		a.ask("claimed", "claim", "nameplate", "4")
		b.ask("claimed", "claim", "nameplate", "4")
		c.refused("crowded", "claim", "nameplate", "4")
		a.ask("released", "release")
		b.ask("released", "release")
		expect(t, r.rows(t, `SELECT result FROM usage_nameplates`), "crowded")
		r.holds(t, `SELECT side FROM client_versions`, "a", "b", "c") // each bind is one
	})
	t.Run("5.24 nobody guesses a mailbox", func(t *testing.T) {
		// There: it has 64 random bits.
		r := serve(t, relaySetup{})
		seen := map[string]bool{}
		for i := range 20 {
			mailbox := r.bind(t, "app", fmt.Sprint(i)).ask("allocated", "allocate").text("mailbox")
			if len(mailbox) != 26 || strings.Trim(mailbox, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[mailbox] { // 26 × 5 bits
				t.Errorf("a mailbox is %q", mailbox)
			}
			seen[mailbox] = true
		}
	})
}

// 5.16 There: a proxy that sends X-Real-IP without X-Real-Port, as nginx does, gets a 500 for every
// socket; the header is believed whoever sends it; and an IPv4 address is told in IPv6's clothes.
func TestWormholeBehindAProxy(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies []string
		headers []string
		want    string
	}{
		"5.16 no port, nobody trusted":       {nil, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 a port, nobody trusted":        {nil, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: 7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 no port":                       {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 a port that is none":           {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: x"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 a port that is too large":      {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: 65536"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 forwarded":                     {[]string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 192.0.2.7, 127.0.0.1"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 IPv6":                          {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 2001:db8::7"}, "map[ipv6:2001:db8::7 port:0]"},
		"5.16 IPv4 in IPv6":                  {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: ::ffff:192.0.2.7"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 another proxy is trusted":      {[]string{"192.0.2.0/24"}, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 nonsense of a trusted proxy":   {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: nonsense"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 the proxy itself":              {[]string{"127.0.0.1/32"}, nil, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 nonsense, and nobody trusted":  {nil, []string{"X-Real-IP: nonsense", "X-Real-Port: -1"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 no address, forwarded nowhere": {[]string{"127.0.0.1/32"}, []string{"X-Forwarded-For: "}, "map[ipv4:127.0.0.1 port:%s]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, relaySetup{proxies: tt.proxies}).call(t, tt.headers...)
			want := strings.Replace(tt.want, "%s", port(c), 1)
			if got := fmt.Sprint(c.welcome.at("welcome/your-address")); got != want {
				t.Errorf("your-address is %s, want %s", got, want)
			}
		})
	}
}
