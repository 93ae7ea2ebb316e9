package handlers_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// The faults of the reference server that this one does not repeat: each test says what happens
// there, and asserts what happens here. The numbers are those of docs/wormhole.md.
//
// Those without a test of their own here:
//   - 5.8 (mailboxes stay in memory): none is ever there; rendezvous counts only the sockets that hold one.
//   - 5.11 (a nameplate may be had again at once after its only side released it): it is the same here.
//   - 5.13 (allocation reads all names and draws with a guessable generator): TestWormholeConformanceServer
//     allocates from full ranges; drawing is crypto/rand, which no client can see.
//   - 5.14, 5.15 (no indexes; slow): repo's plan tests and the benchmarks.
//   - 5.25 (its --generation-duration, its upgrade script): there is no such flag and no such script.
//   - 5.26 (no graceful end, no reload): TestWormholeDrain, TestWormholeNotices.
func TestWormholeImprovements(t *testing.T) {
	t.Run("5.1 a mistake is told, and costs nobody the connection", func(t *testing.T) {
		// There: the connection is dropped without a word, and with it acks that are on their way.
		r := serve(t, setup{})
		for _, version := range []string{`[]`, `["python"]`, `"python"`, `{}`, `[1, 2]`, `[null, null]`} {
			c := r.call(t)
			c.tell(`{"type": "bind", "appid": "app", "side": "a", "client_version": ` + version + `}`)
			c.error(noVersion)
			c.refused("must bind first", "list") // nothing was done
			c.tell(`{"type": "bind", "appid": "app", "side": "a", "client_version": null}`)
			expect(t, c.list())
		}
		const nameplate, name = "a nameplate is 1 to 40 of the digits 0-9", "' must be a string of at most 256 bytes, without NUL"
		for command, complaint := range map[string]string{
			`{`:                                     noObject,
			`[]`:                                    noObject,
			`{"type": "claim", "nameplate": "np1"}`: nameplate,
			`{"type": "claim", "nameplate": "` + strings.Repeat("1", 41) + `"}`: nameplate,
			`{"type": "claim", "nameplate": 4}`:                                 "'nameplate" + name,
			`{"type": "open", "mailbox": 4}`:                                    "'mailbox" + name,
			`{"type": "close", "mailbox": 4}`:                                   "'mailbox" + name,
		} {
			c := r.bind(t, "app", "a")
			c.write(websocket.TextMessage, command)
			c.acked("null")
			if got := c.hear("error").text("error"); got != complaint {
				t.Errorf("%s is refused with %q, want %q", command, got, complaint)
			}
			expect(t, c.list())
		}
	})
	t.Run("5.1 who reads the database stops nobody", func(t *testing.T) {
		// There: a dashboard that reads for 5 s has everyone dropped who allocates meanwhile (magic-wormhole#726).
		r := serve(t, setup{})
		tx, err := r.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var count int
		if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM mailboxes`).Scan(&count); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.bind(t, "app", "a").ask("allocated", "allocate")
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("5.2 both claim, neither releases, both close", func(t *testing.T) {
		// There: the second close fails on a foreign key, is dropped, and fails again until pruning.
		r := serve(t, setup{})
		a, b := r.bind(t, "app", "a"), r.bind(t, "app", "b")
		mailbox := a.ask("claimed", "claim", "nameplate", "4").text("mailbox")
		b.ask("claimed", "claim", "nameplate", "4")
		for _, c := range []*caller{a, b} {
			c.opens(mailbox).ask("closed", "close")
		}
		r.nothing(t) // at once, with the nameplate
		expect(t, r.rows(t, `SELECT result FROM usage_nameplates UNION ALL SELECT result FROM usage_mailboxes`), "happy", "happy")
	})
	t.Run("5.3 closing lets go of nothing in another app, and of no other nameplate", func(t *testing.T) {
		// There: it deletes all claims of a side of that name, everywhere; pruning then fails for all apps.
		r := serve(t, setup{})
		victim := r.bind(t, "app", "a")
		victim.ask("claimed", "claim", "nameplate", "1")
		again := r.bind(t, "app", "a")
		again.ask("claimed", "claim", "nameplate", "2")
		attacker := r.bind(t, "other", "a")
		attacker.say("open", "mailbox", attacker.ask("claimed", "claim", "nameplate", "1").text("mailbox"))
		attacker.ask("closed", "close")
		again.say("open", "mailbox", r.bind(t, "app", "a").ask("claimed", "claim", "nameplate", "2").text("mailbox"))
		again.ask("closed", "close")
		expect(t, r.rows(t, `SELECT app, nameplate, side FROM claims`), "app 1 a")
		victim.ask("released", "release")
		expect(t, r.rows(t, `SELECT id FROM nameplates`))
	})
	t.Run("5.4 a mailbox that nobody was ever in does not stop the pruning", func(t *testing.T) {
		// There: pruning fails at it, and prunes nothing behind it.
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			r.exec(t, `INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
				VALUES ('app', 'damaged', 946684800000, 946684800000, 1, 946684800001, 0, 0, 0, 0)`)
			r.bind(t, "app", "a").opens("left behind").leave()
			elapse(16 * time.Minute)
			r.nothing(t)
			expect(t, r.rows(t, `SELECT result FROM usage_mailboxes`), "pruney", "quiet")
		})
	})
	t.Run("5.5 what fails leaves nothing", func(t *testing.T) {
		// There: what a failed command wrote is committed with the next client's.
		r := serve(t, setup{config: func(c *rendezvous.Config) { c.Limits.Mailboxes = 1 }})
		c := r.bind(t, "app", "a").opens("m")
		r.holds(t, `SELECT app FROM client_versions`, "app") // is written a moment later
		dumped := r.dumper()
		before := dumped(t)
		c.refused("a side may be in 1 mailboxes; close one first", "claim", "nameplate", "4")
		dumped(t).same(t, before)
		r.bind(t, "app", "b").opens("m")
		expect(t, r.rows(t, `SELECT id FROM nameplates`))
	})
	t.Run("5.6 apps do not notice each other", func(t *testing.T) {
		// There: a mailbox of the same id in two apps fails on its key, and tells that it exists.
		r := serve(t, setup{})
		var mates []*caller
		for _, app := range []string{"one", "two"} {
			c := r.bind(t, app, "a")
			c.ask("claimed", "claim", "nameplate", "4")
			c.opens("m").add("p", app)
			mates = append(mates, c, r.bind(t, app, "b").say("open", "mailbox", "m"))
		}
		mates[1].hears("one")
		mates[3].hears("two")
		for _, c := range mates {
			c.quiet()
			c.ask("closed", "close")
		}
		for _, c := range []*caller{mates[0], mates[2]} {
			expect(t, c.list(), "4")
			c.ask("released", "release")
		}
	})
	t.Run("5.7 no ghost of a mailbox", func(t *testing.T) {
		// There: opened again after closing, it vanishes when the other side closes; what is added then is neither heard nor ever removed.
		r := serve(t, setup{})
		a, b := r.bind(t, "app", "a").opens("m"), r.bind(t, "app", "b").opens("m")
		a.ask("closed", "close")
		a.opens("m")
		b.ask("closed", "close")
		a.add("p", "still there")
		again := r.bind(t, "app", "b").say("open", "mailbox", "m")
		again.hears("still there")
		r.bind(t, "app", "a").ask("closed", "close", "mailbox", "m")
		r.bind(t, "app", "b").ask("closed", "close", "mailbox", "m")
		r.nothing(t)
		again.gone("m")
		a.gone("m")                                                                    // it is closed by its own side, elsewhere
		a.refused("must open mailbox before adding", "add", "phase", "p", "body", "b") // and stays so
		r.nothing(t)
	})
	t.Run("5.9 downtime kills no code", func(t *testing.T) {
		// There: pruning runs at the start, and what no client could touch while the server was down is gone.
		now := time.Now()
		clock := func() time.Time { return now }
		path := filepath.Join(t.TempDir(), "copy.db")
		t.Run("before", func(t *testing.T) {
			r := serve(t, setup{now: clock})
			c := r.bind(t, "app", "a")
			c.say("open", "mailbox", c.ask("claimed", "claim", "nameplate", "4").text("mailbox")).add("p", "kept")
			r.exec(t, `VACUUM INTO ?`, path)
		})
		now = now.Add(time.Hour)
		r := serve(t, setup{now: clock, path: path, config: func(c *rendezvous.Config) { c.BootGrace = 11 * time.Minute }})
		if !eventually(t, func() bool { return r.service.Prune(t.Context()).Skipped }) {
			t.Error("it prunes at once")
		}
		b := r.bind(t, "app", "b")
		b.say("open", "mailbox", b.ask("claimed", "claim", "nameplate", "4").text("mailbox")).hears("kept")
	})
}
