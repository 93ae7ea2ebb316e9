package rendezvous_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// engines are durable databases, as in production.
var engines = []struct {
	name string
	url  func(*testing.B) string
}{
	{"SQLite", func(b *testing.B) string {
		b.Helper()
		return filepath.Join(b.TempDir(), "restante.db")
	}},
	{"PostgreSQL", func(b *testing.B) string {
		b.Helper()
		return pgtest.Start(b, "fsync=on", "full_page_writes=on", "synchronous_commit=on").Database(b)
	}},
}

// roomy allows a benchmark everything it takes.
func roomy(c *rendezvous.Config) {
	c.Limits.Nameplates, c.Limits.Mailboxes = 1<<30, 1<<30
	c.Limits.MailboxMessages, c.Limits.MailboxBytes = 1<<40, 1<<40
	c.Limits.WindowFrames, c.Limits.WindowBytes = 1<<40, 1<<40
	c.Limits.AddressSessions = 1 << 30
}

// unique returns a name that nothing has yet.
func unique() string { return fmt.Sprint("n", serial.Add(1)) }

var serial atomic.Int64

// useCases are what clients ask for, most of them one transaction each.
var useCases = []struct {
	name string
	do   func(w *world, c *client, box rendezvous.MailboxID)
}{
	{"handshake", func(w *world, _ *client, _ rendezvous.MailboxID) { w.begin(rendezvous.Side(unique())) }},
	{"add", func(_ *world, c *client, box rendezvous.MailboxID) { c.add(box, strings.Repeat("x", 256)) }},
	{"open", func(_ *world, c *client, _ rendezvous.MailboxID) { c.open(rendezvous.MailboxID(unique())) }},
	{"list", func(w *world, c *client, _ rendezvous.MailboxID) {
		_, err := w.List(context.Background(), rendezvous.Query{Session: c.key})
		c.must(err)
	}},
	{"allocate and release", func(w *world, c *client, _ rendezvous.MailboxID) {
		claimed := c.allocate()
		c.must(w.ReleaseFor(context.Background(), rendezvous.SideRef{App: app, Side: c.side}, claimed.Nameplate))
		c.close(claimed.Mailbox, rendezvous.Happy)
	}},
	{"receive nothing", func(w *world, c *client, _ rendezvous.MailboxID) {
		_, err := w.Receive(context.Background(), rendezvous.ReceiveRequest{Session: c.key, Wait: new(time.Duration(0))})
		c.must(err)
	}},
}

func BenchmarkUseCase(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			url := engine.url(b)
			for _, u := range useCases {
				b.Run(u.name, func(b *testing.B) {
					w := open(b, url, roomy, nil)
					defer w.stop()
					c, box := w.begin(rendezvous.Side(unique())), rendezvous.MailboxID(unique())
					c.open(box)
					b.ResetTimer()
					for range b.N {
						u.do(w, c, box)
					}
				})
			}
		})
	}
}

// BenchmarkReceive measures a message from one session to another that waits for it.
func BenchmarkReceive(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			w := open(b, engine.url(b), roomy, nil)
			defer w.stop()
			from, to := w.begin("from"), w.begin("to")
			from.open("box")
			to.open("box")
			ack := session.Seq(0)
			for b.Loop() {
				got := make(chan rendezvous.Delivery)
				go func() {
					r, _ := to.poll(b.Context(), ack)
					got <- r
				}()
				from.add("box", "x")
				ack += session.Seq(len((<-got).Frames))
			}
		})
	}
}

// BenchmarkAmong shows what costs more when there is more of everything: nothing should. With -short
// it leaves out the million.
func BenchmarkAmong(b *testing.B) {
	for _, many := range []int{100, 10_000, 1_000_000} {
		if testing.Short() && many > 10_000 {
			continue
		}
		path := filepath.Join(b.TempDir(), "restante.db")
		crowd(b, path, many)
		w := open(b, path, roomy, nil)
		c, box := w.begin("me"), rendezvous.MailboxID(unique())
		c.open(box)
		for _, u := range useCases {
			b.Run(fmt.Sprintf("%s/%d mailboxes", u.name, many), func(b *testing.B) {
				for range b.N {
					u.do(w, c, box)
				}
			})
		}
		w.stop()
	}
}

// crowd fills a file with so many mailboxes. Each has a side, a message and a session that subscribes
// to it, and half of them have a nameplate.
func crowd(b *testing.B, path string, many int) {
	b.Helper()
	store, err := repo.Open(b.Context(), repo.Options{URL: path, Log: silent})
	if err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	now := time.Now().UnixMilli()
	later := now + 24*time.Hour.Milliseconds()
	all := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, many)
	for _, statement := range []string{
		`PRAGMA synchronous = OFF`,
		all + fmt.Sprintf(`INSERT INTO mailboxes (key, app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
			SELECT i, '%s', 'm' || i, %d, %d, 86400000, %d, i <= %d, 0, 1, 1 FROM n`, app, now, now, later, many/2),
		all + fmt.Sprintf(`INSERT INTO mailbox_sides (mailbox, app, side, entered, opened) SELECT i, '%s', 's' || i, %d, %d FROM n`, app, now, now),
		all + fmt.Sprintf(`INSERT INTO messages (mailbox, position, side, phase, body, received) SELECT i, 1, 's' || i, 'p', x'78', %d FROM n`, now),
		all + fmt.Sprintf(`INSERT INTO nameplates (app, id, number, mailbox, created, stale_at, crowded, waiting)
			SELECT '%s', i, i, i, %d, %d, 0, 1 FROM n WHERE i <= %d`, app, now, later, many/2),
		all + fmt.Sprintf(`INSERT INTO claims (app, nameplate, side, since) SELECT '%s', i, 's' || i, %d FROM n WHERE i <= %d`, app, now, many/2),
		all + fmt.Sprintf(`INSERT INTO sessions (key, app, side, address, began, turn, epoch, wanted, seen, grace, used, sweep_at)
			SELECT CAST(printf('%%032d', i) AS BLOB), '%s', 's' || i, 'a' || (i / 100), %d, 1, 1, 0, %d, 86400000, 1, %d FROM n`, app, now, now, later),
		all + `INSERT INTO outboxes (session, kept, next, bytes) SELECT CAST(printf('%032d', i) AS BLOB), 0, 0, 0 FROM n`,
		all + `INSERT INTO subscriptions (mailbox, session) SELECT i, CAST(printf('%032d', i) AS BLOB) FROM n`,
	} {
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatalf("%.80s: %v", statement, err)
		}
	}
}
