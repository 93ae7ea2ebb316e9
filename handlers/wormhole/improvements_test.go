package wormhole_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers/handlerstest"
	"restante/internal/testclient"
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
	t.Run("5.1 a mistake is reported, and costs no connection", func(t *testing.T) {
		// There: the connection is dropped without a word, and with it acks that are on their way.
		r := handlerstest.Start(t, handlerstest.Options{})
		for _, version := range []string{`[]`, `["python"]`, `"python"`, `{}`, `[1, 2]`, `[null, null]`} {
			c := r.Connect(t)
			c.SendWithoutID(`{"type": "bind", "appid": "app", "side": "a", "client_version": ` + version + `}`)
			c.WantError(noVersion)
			c.Refused("must bind first", "list") // nothing was done
			c.SendWithoutID(`{"type": "bind", "appid": "app", "side": "a", "client_version": null}`)
			handlerstest.EqualRows(t, c.List())
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
			c := r.Bind(t, "app", "a")
			c.Write(websocket.TextMessage, command)
			c.WantAck("null")
			if got := c.Want("error").Text("error"); got != complaint {
				t.Errorf("%s is refused with %q, want %q", command, got, complaint)
			}
			handlerstest.EqualRows(t, c.List())
		}
	})
	t.Run("5.1 reading the database stops no client", func(t *testing.T) {
		// There: a dashboard that reads for 5 s has everyone dropped who allocates meanwhile (magic-wormhole#726).
		r := handlerstest.Start(t, handlerstest.Options{})
		tx, err := r.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var count int
		if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM mailboxes`).Scan(&count); err != nil {
			t.Fatal(err)
		}
		r.Bind(t, "app", "a").Request("allocated", "allocate") // while it is being read
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("5.2 both claim, neither releases, both close", func(t *testing.T) {
		// There: the second close fails on a foreign key, is dropped, and fails again until pruning.
		r := handlerstest.Start(t, handlerstest.Options{})
		a, b := r.Bind(t, "app", "a"), r.Bind(t, "app", "b")
		mailbox := a.Request("claimed", "claim", "nameplate", "4").Text("mailbox")
		b.Request("claimed", "claim", "nameplate", "4")
		for _, c := range []*testclient.Wormhole{a, b} {
			c.Open(mailbox).Request("closed", "close")
		}
		r.WantEmpty(t) // at once, with the nameplate
		handlerstest.EqualRows(t, r.Rows(t, `SELECT result FROM usage_nameplates UNION ALL SELECT result FROM usage_mailboxes`), "happy", "happy")
	})
	t.Run("5.3 closing lets go of nothing in another app, and of no other nameplate", func(t *testing.T) {
		// There: it deletes all claims of a side of that name, everywhere; pruning then fails for all apps.
		r := handlerstest.Start(t, handlerstest.Options{})
		victim := r.Bind(t, "app", "a")
		victim.Request("claimed", "claim", "nameplate", "1")
		again := r.Bind(t, "app", "a")
		again.Request("claimed", "claim", "nameplate", "2")
		attacker := r.Bind(t, "other", "a")
		attacker.Send("open", "mailbox", attacker.Request("claimed", "claim", "nameplate", "1").Text("mailbox"))
		attacker.Request("closed", "close")
		again.Send("open", "mailbox", r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", "2").Text("mailbox"))
		again.Request("closed", "close")
		handlerstest.EqualRows(t, r.Rows(t, `SELECT app, nameplate, side FROM claims`), "app 1 a")
		victim.Request("released", "release")
		handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM nameplates`))
	})
	t.Run("5.4 a mailbox that no side was ever in does not stop the pruning", func(t *testing.T) {
		// There: pruning fails at it, and prunes nothing behind it.
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			r.Exec(t, `INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
				VALUES ('app', 'damaged', 946684800000, 946684800000, 1, 946684800001, 0, 0, 0, 0)`)
			r.Bind(t, "app", "a").Open("left behind").Drop()
			elapse(16 * time.Minute)
			r.WantEmpty(t)
			handlerstest.EqualRows(t, r.Rows(t, `SELECT result FROM usage_mailboxes`), "pruney", "quiet")
		})
	})
	t.Run("5.5 what fails leaves nothing", func(t *testing.T) {
		// There: what a failed command wrote is committed with the next client's.
		r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Limits.Mailboxes = 1 }})
		c := r.Bind(t, "app", "a").Open("m")
		r.WantRows(t, `SELECT app FROM client_versions`, "app") // is written a moment later
		dumped := r.Dumper()
		before := dumped(t)
		c.Refused("a side may be in 1 mailboxes; close one first", "claim", "nameplate", "4")
		dumped(t).WantSame(t, before)
		r.Bind(t, "app", "b").Open("m")
		handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM nameplates`))
	})
	t.Run("5.6 apps do not notice each other", func(t *testing.T) {
		// There: a mailbox of the same id in two apps fails on its key, and tells that it exists.
		r := handlerstest.Start(t, handlerstest.Options{})
		var mates []*testclient.Wormhole
		for _, app := range []string{"one", "two"} {
			c := r.Bind(t, app, "a")
			c.Request("claimed", "claim", "nameplate", "4")
			c.Open("m").Add("p", app)
			mates = append(mates, c, r.Bind(t, app, "b").Send("open", "mailbox", "m"))
		}
		mates[1].WantMessages("one")
		mates[3].WantMessages("two")
		for _, c := range mates {
			c.WantNothing()
			c.Request("closed", "close")
		}
		for _, c := range []*testclient.Wormhole{mates[0], mates[2]} {
			handlerstest.EqualRows(t, c.List(), "4")
			c.Request("released", "release")
		}
	})
	t.Run("5.7 no ghost of a mailbox", func(t *testing.T) {
		// There: opened again after closing, it vanishes when the other side closes; what is added then is neither heard nor ever removed.
		r := handlerstest.Start(t, handlerstest.Options{})
		a, b := r.Bind(t, "app", "a").Open("m"), r.Bind(t, "app", "b").Open("m")
		a.Request("closed", "close")
		a.Open("m")
		b.Request("closed", "close")
		a.Add("p", "still there")
		again := r.Bind(t, "app", "b").Send("open", "mailbox", "m")
		again.WantMessages("still there")
		r.Bind(t, "app", "a").Request("closed", "close", "mailbox", "m")
		r.Bind(t, "app", "b").Request("closed", "close", "mailbox", "m")
		r.WantEmpty(t)
		again.WantGone("m")
		a.WantGone("m")                                                                // it is closed by its own side, elsewhere
		a.Refused("must open mailbox before adding", "add", "phase", "p", "body", "b") // and stays so
		r.WantEmpty(t)
	})
	t.Run("5.9 downtime kills no code", func(t *testing.T) {
		// There: pruning runs at the start, and what no client could touch while the server was down is gone.
		now := time.Now()
		clock := func() time.Time { return now }
		path := filepath.Join(t.TempDir(), "copy.db")
		t.Run("before", func(t *testing.T) {
			r := handlerstest.Start(t, handlerstest.Options{Now: clock})
			c := r.Bind(t, "app", "a")
			c.Send("open", "mailbox", c.Request("claimed", "claim", "nameplate", "4").Text("mailbox")).Add("p", "kept")
			r.Exec(t, `VACUUM INTO ?`, path)
		})
		now = now.Add(time.Hour)
		r := handlerstest.Start(t, handlerstest.Options{Now: clock, Path: path, Config: func(c *rendezvous.Config) { c.BootGrace = 11 * time.Minute }})
		if !handlerstest.Eventually(t, func() bool { return r.Service.Prune(t.Context()).Skipped }) {
			t.Error("it prunes at once")
		}
		b := r.Bind(t, "app", "b")
		b.Send("open", "mailbox", b.Request("claimed", "claim", "nameplate", "4").Text("mailbox")).WantMessages("kept")
	})
}
