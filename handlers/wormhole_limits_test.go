package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
)

// TestWormholeLimits is of the improvements 5.20 to 5.24 on the reference server.
func TestWormholeLimits(t *testing.T) {
	t.Run("5.20 there are limits", func(t *testing.T) {
		// There: none.
		r := serve(t, setup{config: func(c *rendezvous.Config) {
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
		r := serve(t, setup{})
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
		r := serve(t, setup{})
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
		r := serve(t, setup{now: func() time.Time { return time.Now().Add(-time.Duration(late.Load())) }})
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
		// There: a crowded nameplate is over only when all three have released, and a mailbox that no side came to cannot be quiet (see 5.4).
		r := serve(t, setup{})
		a, b, c := r.bind(t, "app", "a"), r.bind(t, "app", "b"), r.bind(t, "app", "c")
		a.ask("claimed", "claim", "nameplate", "4")
		b.ask("claimed", "claim", "nameplate", "4")
		c.refused("crowded", "claim", "nameplate", "4")
		a.ask("released", "release")
		b.ask("released", "release")
		expect(t, r.rows(t, `SELECT result FROM usage_nameplates`), "crowded")
		r.holds(t, `SELECT app FROM client_versions`, "app", "app", "app") // each bind is one
	})
	t.Run("5.24 nobody guesses a mailbox", func(t *testing.T) {
		// There: it has 64 random bits.
		r := serve(t, setup{})
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
// socket; the header is believed from every sender; and an IPv4 address is written as an IPv6 one.
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
			forward := "X-Real-IP"
			if slices.ContainsFunc(tt.headers, func(h string) bool { return strings.HasPrefix(h, "X-Forwarded-For") }) {
				forward = ""
			}
			c := serve(t, setup{proxies: tt.proxies, forward: forward}).call(t, tt.headers...)
			want := strings.Replace(tt.want, "%s", port(c), 1)
			if got := fmt.Sprint(c.welcome.at("welcome/your-address")); got != want {
				t.Errorf("your-address is %s, want %s", got, want)
			}
		})
	}
}
