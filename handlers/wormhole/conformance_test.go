package wormhole_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/handlers/welcome"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// The tests TestWormholeConformance… are the reference server's own (magic-wormhole-mailbox-server,
// at its main branch of August 2026), by the names that they have there: those that say what a client
// sees, what is stored, and what is remembered. Where this server deviates on purpose, the test
// asserts what this server does and says so.
//
// Left out, since they test how that server is built:
//   - test_web: WebSocketProtocolOptions.test_set: there are no options of a WebSocket library to pass on.
//   - test_server: Prune.test_apps: nothing is kept by app in memory, and pruning walks what is stale.
//   - test_server: Startup: it tests what is logged at a start; our lines are tested with the program.
//   - test_server: DumpStats is commented out there.
//   - test_service, test_config: their command line; main_test.go and the e2e tests are about ours.
//   - test_database: their files and upgrades; repo tests its schema and migrations.
//   - test_addrid, test_connectiondb: there is no table of connections, and no address is kept.
//   - test_rlimits, test_util, test_ws_client: helpers.

// test_web.WebSocketAPI: what a client sees.
func TestWormholeConformanceWeb(t *testing.T) {
	r := handlerstest.Start(t, handlerstest.Options{Settings: welcome.Settings{AdvertiseVersion: "9.9.9"}})
	test := func(name string, f func(t *testing.T, app string)) { // each in an app of its own
		t.Run(name, func(t *testing.T) { f(t, name) })
	}
	claims := func(t *testing.T, app string) []string {
		t.Helper()
		return r.Rows(t, `SELECT nameplate, side, released IS NOT NULL FROM claims WHERE app = '`+app+`'`)
	}
	sides := func(t *testing.T, app string) []string {
		t.Helper()
		return r.Rows(t, `SELECT side, opened IS NOT NULL, closed IS NOT NULL FROM mailbox_sides WHERE app = '`+app+`'`)
	}
	t.Run("test_welcome", func(t *testing.T) {
		dumped := r.Dumper()
		before := dumped(t)
		c := r.Connect(t)
		if got := c.Welcome.At("welcome/current_cli_version"); got != "9.9.9" {
			t.Errorf("current_cli_version is %v", got)
		}
		dumped(t).WantSame(t, before) // there is no app before anyone has bound
	})
	test("test_bind", func(t *testing.T, app string) {
		c := r.Connect(t)
		c.Refused("bind requires 'side'", "bind", "appid", app)
		c.Refused("bind requires 'appid'", "bind", "side", "a")
		c.Send("bind", "appid", app, "side", "a")
		c.Refused("already bound", "bind", "appid", app, "side", "a")
		c.Refused("unknown type", "__unknown")
		c.Refused("ping requires 'ping'", "ping")
		c.Request("pong", "ping", "ping", 5)
	})
	test("test_list", func(t *testing.T, app string) {
		c := r.Connect(t)
		c.Refused("must bind first", "list")
		c.Send("bind", "appid", app, "side", "a")
		handlerstest.EqualRows(t, c.List())
		r.Bind(t, app, "b").Request("claimed", "claim", "nameplate", "999")
		r.Bind(t, app, "c").Request("claimed", "claim", "nameplate", "1234")
		handlerstest.EqualRows(t, c.List(), "1234", "999") // sorted as texts
		// Deviation (5.17): the list names only nameplates that wait for a partner.
		r.Bind(t, app, "d").Request("claimed", "claim", "nameplate", "999")
		handlerstest.EqualRows(t, c.List(), "1234")
	})
	test("test_allocate", func(t *testing.T, app string) {
		c := r.Connect(t)
		c.Refused("must bind first", "allocate")
		c.Send("bind", "appid", app, "side", "a")
		nameplate := c.Request("allocated", "allocate").Text("nameplate")
		handlerstest.EqualRows(t, c.List(), nameplate)
		c.Refused("you already allocated one, don't be greedy", "allocate")
		c.Request("claimed", "claim", "nameplate", nameplate)
		handlerstest.EqualRows(t, claims(t, app), nameplate+` a 0`)
	})
	test("test_claim", func(t *testing.T, app string) {
		c := r.Bind(t, app, "a")
		c.Refused("claim requires 'nameplate'", "claim")
		if mailbox := c.Request("claimed", "claim", "nameplate", "1").Text("mailbox"); mailbox == "" {
			t.Error("it has no mailbox")
		}
		c.Refused("only one claim per connection", "claim", "nameplate", "1")
		handlerstest.EqualRows(t, claims(t, app), `1 a 0`)
		handlerstest.EqualRows(t, sides(t, app), `a 0 0`)
		handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM mailboxes WHERE app = '`+app+`'`), `1`)
	})
	test("test_claim_crowded", func(t *testing.T, app string) {
		for _, side := range []string{"a", "b"} {
			r.Bind(t, app, side).Request("claimed", "claim", "nameplate", "1")
		}
		r.Bind(t, app, "c").Refused("crowded", "claim", "nameplate", "1")
	})
	test("test_release", func(t *testing.T, app string) {
		r.Bind(t, app, "b").Request("claimed", "claim", "nameplate", "1")
		c := r.Bind(t, app, "a")
		c.Refused("release without nameplate must follow claim", "release")
		c.Request("claimed", "claim", "nameplate", "1")
		c.Request("released", "release")
		handlerstest.EqualRows(t, claims(t, app), `1 a 1`, `1 b 0`)
		c.Refused("only one release per connection", "release")
	})
	test("test_release_named", func(t *testing.T, app string) {
		c := r.Bind(t, app, "a")
		c.Request("claimed", "claim", "nameplate", "1")
		c.Request("released", "release", "nameplate", "1")
		handlerstest.EqualRows(t, claims(t, app))
	})
	test("test_release_named_ignored", func(t *testing.T, app string) {
		r.Bind(t, app, "a").Request("released", "release", "nameplate", "1") // no side has it
	})
	test("test_release_named_mismatch", func(t *testing.T, app string) {
		c := r.Bind(t, app, "a")
		c.Request("claimed", "claim", "nameplate", "1")
		c.Refused("release and claim must use same nameplate", "release", "nameplate", "2")
	})
	test("test_open", func(t *testing.T, app string) {
		b := r.Bind(t, app, "b").Send("open", "mailbox", "mb1")
		b.Add("p", "stored")
		c := r.Bind(t, app, "a")
		c.Refused("open requires 'mailbox'", "open")
		c.Send("open", "mailbox", "mb1")
		c.WantMessages("stored")
		b.Add("p", "live")
		c.WantMessages("live")
		c.Refused("only one open per connection", "open", "mailbox", "mb1")
	})
	test("test_open_crowded", func(t *testing.T, app string) {
		for _, side := range []string{"a", "b"} {
			r.Bind(t, app, side).Send("open", "mailbox", "mb1")
		}
		r.Bind(t, app, "c").Refused("crowded", "open", "mailbox", "mb1")
	})
	test("test_add", func(t *testing.T, app string) {
		b := r.Bind(t, app, "b").Send("open", "mailbox", "mb1")
		c := r.Bind(t, app, "a")
		c.Refused("must open mailbox before adding", "add")
		c.Send("open", "mailbox", "mb1")
		c.Refused("missing 'phase'", "add", "body", "")
		c.Refused("missing 'body'", "add", "phase", "")
		echo, other := c.Add("p", "b"), b.Want("message")
		for _, s := range []testclient.Message{echo, other} {
			if s.Text("side") != "a" || s.Text("phase") != "p" || s.Text("body") != "b" || s.Text("id") != echo.Text("id") {
				t.Errorf("the message is %s", s.Raw)
			}
		}
	})
	test("test_close", func(t *testing.T, app string) {
		b := r.Bind(t, app, "b").Send("open", "mailbox", "mb1")
		c := r.Bind(t, app, "a")
		c.Refused("close without mailbox must follow open", "close")
		c.Send("open", "mailbox", "mb1")
		c.Request("closed", "close", "mood", "mood")
		b.Add("p", "unheard")
		c.WantNothing()
		c.Refused("only one close per connection", "close")
	})
	test("test_close_named", func(t *testing.T, app string) {
		c := r.Bind(t, app, "a").Send("open", "mailbox", "mb1")
		c.Request("closed", "close", "mailbox", "mb1")
	})
	test("test_close_named_ignored", func(t *testing.T, app string) {
		r.Bind(t, app, "a").Request("closed", "close", "mailbox", "mb1") // no side has opened it
		handlerstest.EqualRows(t, sides(t, app))
	})
	test("test_close_named_mismatch", func(t *testing.T, app string) {
		c := r.Bind(t, app, "a").Send("open", "mailbox", "mb1")
		c.Refused("open and close must use same mailbox", "close", "mailbox", "mb2")
	})
	test("test_close_crowded", func(t *testing.T, app string) {
		for _, side := range []string{"a", "b"} {
			r.Bind(t, app, side).Send("open", "mailbox", "mb1")
		}
		// Deviation (5.10, and upstream's own #20): there is "crowded", which has a client wait for ever.
		r.Bind(t, app, "c").Request("closed", "close", "mailbox", "mb1")
	})
	t.Run("test_disconnect", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{})
		b := r.Bind(t, "app", "b").Send("open", "mailbox", "mb1")
		r.Bind(t, "app", "a").Send("open", "mailbox", "mb1").Drop()
		b.Add("p", "body")
		b.Drop()
		ctx, cancel := context.WithTimeout(t.Context(), testclient.Limit)
		defer cancel()
		if r.Handlers.Wait(ctx); ctx.Err() != nil {
			t.Error("the sockets did not end with their connections")
		}
	})
	test("test_interrupted_client_nameplate", func(t *testing.T, app string) {
		one := r.Bind(t, app, "a")
		mailbox := one.Request("claimed", "claim", "nameplate", "1").Text("mailbox")
		one.Drop()
		two := r.Bind(t, app, "a")
		if again := two.Request("claimed", "claim", "nameplate", "1").Text("mailbox"); again != mailbox {
			t.Errorf("claimed again, it leads to %s instead of %s", again, mailbox)
		}
		two.Drop()
		three := r.Bind(t, app, "a")
		three.Request("released", "release", "nameplate", "1") // without a claim on this connection
		handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM nameplates WHERE app = '`+app+`'`))
		three.Drop()
		r.Bind(t, app, "a").Request("released", "release", "nameplate", "1")
	})
	test("test_interrupted_client_nameplate_reclaimed", func(t *testing.T, app string) {
		r.Bind(t, app, "b").Request("claimed", "claim", "nameplate", "1")
		one := r.Bind(t, app, "a")
		one.Request("claimed", "claim", "nameplate", "1")
		one.Request("released", "release")
		one.Drop()
		before := claims(t, app)
		r.Bind(t, app, "a").Refused("reclaimed", "claim", "nameplate", "1")
		handlerstest.EqualRows(t, claims(t, app), before...)
	})
	test("test_interrupted_client_mailbox", func(t *testing.T, app string) {
		b := r.Bind(t, app, "b").Send("open", "mailbox", "mb1")
		b.Add("p", "one")
		one := r.Bind(t, app, "a").Send("open", "mailbox", "mb1")
		one.WantMessages("one")
		one.Drop()
		two := r.Bind(t, app, "a").Send("open", "mailbox", "mb1")
		two.WantMessages("one")
		two.Request("closed", "close")
		handlerstest.EqualRows(t, sides(t, app), `a 1 1`, `b 1 0`)
		two.Drop()
		r.Bind(t, app, "a").Request("closed", "close", "mailbox", "mb1")
	})
}

// test_web.WebSocketAPI: which clients came. It is written down a moment later.
func TestWormholeConformanceClientVersions(t *testing.T) {
	r := handlerstest.Start(t, handlerstest.Options{})
	for name, tt := range map[string]struct {
		version any // nil: it does not say
		want    string
	}{
		"test_bind_with_client_version":            {[]any{"python", "1.2.3"}, `python 1.2.3`},
		"test_bind_without_client_version":         {nil, `- -`},
		"test_bind_with_client_version_extra_junk": {[]any{"python", "1.2.3", "extra ignore me"}, `python 1.2.3`},
	} {
		t.Run(name, func(t *testing.T) {
			bind := []any{"appid", name, "side", "side"}
			if tt.version != nil {
				bind = append(bind, "client_version", tt.version)
			}
			r.Connect(t).Send("bind", bind...)
			r.WantRows(t, `SELECT app, implementation, version FROM client_versions WHERE app = '`+name+`'`, name+` `+tt.want)
		})
	}
}

// test_web.LogRequests: what an operator sees.
func TestWormholeConformanceLog(t *testing.T) {
	lines := func(r *handlerstest.Server) (n int) {
		for line := range strings.Lines(r.Logs.String()) {
			if strings.Contains(line, `"msg":"request"`) {
				n++
			}
		}
		return n
	}
	for name, tt := range map[string]struct {
		level slog.Level
		lines int
	}{"test_log_http": {slog.LevelDebug, 2}, "test_no_log_http": {slog.LevelInfo, 0}} {
		t.Run(name, func(t *testing.T) {
			r := handlerstest.Start(t, handlerstest.Options{Level: tt.level})
			r.Get(t, "/")
			r.Get(t, "/livez")
			if got := lines(r); got != tt.lines {
				t.Errorf("the log has %d lines, want %d", got, tt.lines)
			}
		})
	}
	// Deviation (design §6): a socket is one line as well, when it ends; and whether usage is blurred
	// or not, the address of the client is never in it.
	for name, blur := range map[string]time.Duration{"test_log_websocket": 0, "test_no_log_websocket": time.Minute} {
		t.Run(name, func(t *testing.T) {
			r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Blur = blur }})
			c := r.Bind(t, "app", "a")
			address := c.Conn.LocalAddr().String()
			c.Drop()
			if !handlerstest.Eventually(t, func() bool { return lines(r) == 1 }) {
				t.Error("there is no line in the log")
			}
			for _, secret := range []string{address, "127.0.0.1"} {
				if strings.Contains(r.Logs.String(), secret) {
					t.Errorf("the log holds %s:\n%s", secret, r.Logs)
				}
			}
		})
	}
}
