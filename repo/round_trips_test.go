package repo_test

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// tripCounter passes connections on to a server and counts how often its clients wait for an answer.
type tripCounter struct {
	address string
	trips   atomic.Int64
}

// newTripCounter starts a counter in front of a server.
func newTripCounter(t *testing.T, server string) *tripCounter {
	t.Helper()
	c := &tripCounter{}
	c.address = startProxy(t, server, c.pass)
	return c
}

func (c *tripCounter) pass(client, upstream net.Conn) {
	var answered atomic.Bool // since the client sent something
	answered.Store(true)
	var replies sync.WaitGroup
	replies.Go(func() {
		defer client.Close()
		relay(client, upstream, func() { answered.Store(true) })
	})
	relay(upstream, client, func() {
		if answered.Swap(false) {
			c.trips.Add(1)
		}
	})
	_ = upstream.Close()
	replies.Wait()
}

// TestRoundTrips pins how often each operation of a client waits for PostgreSQL, as counted on the wire. Each runs once
// before, so that its statements are prepared.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	counter := newTripCounter(t, pgtest.Shared(t).Address())
	u, err := url.Parse(newDatabase(t))
	must(err)
	db := open(t, repo.Options{URL: "postgres://postgres@" + counter.address + u.Path + "?sslmode=disable", Connections: 1})
	repo.StampNoUpdate(db)
	f := &fixture{ctx: t.Context(), db: db, Service: newService(db)}
	seqs := map[string]session.Seq{}
	command := func(of string) rendezvous.Command {
		n := seqs[of]
		seqs[of]++
		return rendezvous.Command{Session: id(of).Key(), Seq: &n, Address: "address"}
	}
	does := func(of string, f func(c rendezvous.Command) error) func() error {
		return func() error { return f(command(of)) }
	}
	sideless := rendezvous.SideRef{App: "app", Side: "wormhole", Address: "address"}
	var claimed rendezvous.MailboxID
	claim := func(c rendezvous.Command) error {
		a, err := f.Claim(f.ctx, c, "42", 0)
		claimed = a.Result.Mailbox
		return err
	}
	open := func(c rendezvous.Command) error {
		_, err := f.Open(f.ctx, c, claimed, rendezvous.OpenRequest{})
		return err
	}
	add := func(c rendezvous.Command) error {
		_, err := f.Add(f.ctx, c, claimed, rendezvous.Draft{Phase: "p", Body: "body"})
		return err
	}
	closing := func(c rendezvous.Command) error {
		_, err := f.Close(f.ctx, c, claimed, rendezvous.Happy)
		return err
	}
	release := func(c rendezvous.Command) error {
		_, err := f.Release(f.ctx, c, "42")
		return err
	}
	end := func(c rendezvous.Command) error {
		_, err := f.End(f.ctx, c, nil)
		return err
	}
	operations := []struct {
		name string
		want int64
		run  func() error
	}{
		{"handshake of a new session", 6, func() error { return begins("a")(f) }},
		{"handshake of another", 5, func() error { return begins("b")(f) }},
		{"resume", 4, func() error { return resumes("a", 0)(f) }},
		{"claim of a new nameplate", 10, does("a", claim)},
		{"claim of one that waits", 7, does("b", claim)},
		{"open", 5, does("a", open)},
		{"open by the other side", 6, does("b", open)},
		{"add", 5, does("a", add)},
		{"add by the other side", 5, does("b", add)},
		{"read", 4, func() error {
			_, err := f.Read(f.ctx, rendezvous.Query{Session: id("b").Key()}, rendezvous.ReadRequest{Mailbox: claimed, Limit: 10})
			return err
		}},
		{"release", 4, does("a", release)},
		{"release by the last side", 4, does("b", release)},
		{"close", 6, does("a", closing)},
		{"close by the last side", 8, does("b", closing)},
		{"end of a session", 7, does("a", end)},
		{"end of the other", 7, does("b", end)},
		{"open for a wormhole client", 5, func() error { _, err := f.OpenFor(f.ctx, sideless, "agreed"); return err }},
		{"add for a wormhole client", 3, func() error {
			_, err := f.AddFor(f.ctx, sideless, "agreed", []rendezvous.Draft{{Phase: "p", Body: "body"}})
			return err
		}},
		{"close for a wormhole client", 7, func() error { return f.CloseFor(f.ctx, sideless, "agreed", rendezvous.Happy) }},
	}
	for _, pass := range []string{"first", "again"} {
		clear(seqs)
		for _, o := range operations {
			before := counter.trips.Load()
			if err := o.run(); err != nil {
				t.Fatalf("%s: %v", o.name, err)
			}
			if got := counter.trips.Load() - before; pass == "again" && got != o.want {
				t.Errorf("%s: %d round trips, want %d", o.name, got, o.want)
			}
		}
		must(db.Update(f.ctx, func(tx rendezvous.Tx) error { // the ended sessions make way for those of the same names
			for _, name := range []string{"a", "b"} {
				if err := tx.DeleteSession(id(name).Key()); err != nil {
					return err
				}
			}
			return nil
		}))
		f.Service = newService(db)
	}
}
