package rendezvous_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"restante/internal/presence"
	"restante/rendezvous"
	"restante/session"
)

// damaged is a store in which one session, one side and one mailbox are damaged: what a loop writes of them fails, and
// with it all that is written in the same transaction.
type damaged struct {
	rendezvous.Store
	damage *atomic.Pointer[damage]
}

type damage struct {
	session session.Key
	side    rendezvous.Side
	mailbox rendezvous.MailboxKey
}

func (s damaged) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if !ofLoop(ctx) {
		return s.Store.Update(ctx, f)
	}
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(damagedTx{tx, *s.damage.Load()}) })
}

type damagedTx struct {
	rendezvous.Tx
	damage
}

func (t damagedTx) Acknowledge(acks ...session.Ack) error {
	if slices.ContainsFunc(acks, func(a session.Ack) bool { return a.Session == t.session }) {
		return errBroken
	}
	return t.Tx.Acknowledge(acks...)
}

func (t damagedTx) UpdateLastSeen(list []session.Sighting) error {
	if slices.ContainsFunc(list, func(s session.Sighting) bool { return s.Key == t.session }) {
		return errBroken
	}
	return t.Tx.UpdateLastSeen(list)
}

func (t damagedTx) MailboxesOf(of rendezvous.AppID, side rendezvous.Side) ([]rendezvous.Mailbox, error) {
	if side == t.side {
		return nil, errBroken
	}
	return t.Tx.MailboxesOf(of, side)
}

func (t damagedTx) SocketsSeen(keys []rendezvous.MailboxKey, at time.Time) error {
	if slices.Contains(keys, t.mailbox) {
		return errBroken
	}
	return t.Tx.SocketsSeen(keys, at)
}

func (t damagedTx) IdleMailbox(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	if k == t.mailbox {
		return rendezvous.Mailbox{}, errBroken
	}
	return t.Tx.IdleMailbox(k)
}

func (t damagedTx) RecordClients(versions []rendezvous.ClientVersion) error {
	if slices.ContainsFunc(versions, func(v rendezvous.ClientVersion) bool { return v.Version == "damaged" }) {
		return errBroken
	}
	return t.Tx.RecordClients(versions)
}

// mailbox returns a mailbox as the storage has it.
func (w *world) mailbox(k rendezvous.MailboxKey) (m rendezvous.Mailbox) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx rendezvous.Tx) (err error) {
		m, err = tx.MailboxByKey(k)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// What the loops store goes on for all others when it always fails for one.
func TestDamageToOneLeavesTheOthers(t *testing.T) {
	t.Parallel()
	newDamage := func() (*atomic.Pointer[damage], func(rendezvous.Store) rendezvous.Store) {
		d := new(atomic.Pointer[damage])
		d.Store(new(damage))
		return d, func(s rendezvous.Store) rendezvous.Store { return damaged{s, d} }
	}
	t.Run("acknowledgements", func(t *testing.T) {
		d, wrap := newDamage()
		bubbleOn(t, nil, wrap, func(t *testing.T, w *world) {
			sender, clients := w.begin("sender"), []*client{}
			for _, id := range []rendezvous.MailboxID{"m", "n", "o"} {
				c := w.begin(rendezvous.Side("reads " + string(id)))
				c.open(id)
				sender.open(id)
				clients = append(clients, c)
			}
			d.Store(&damage{session: clients[1].key})
			for acked := range session.Seq(3) {
				for i, id := range []rendezvous.MailboxID{"m", "n", "o"} {
					sender.add(id, "body")
					_ = clients[i].receive(acked)
				}
				time.Sleep(2 * time.Second)
			}
			expect(t, w.stored(clients[0].key).Kept, 2)
			expect(t, w.stored(clients[1].key).Kept, 0)
			expect(t, w.stored(clients[2].key).Kept, 2)
			d.Store(new(damage))
			time.Sleep(presence.WriteInterval + time.Second)
			expect(t, w.stored(clients[1].key).Kept, 2) // what could not be stored was kept
		})
	})
	t.Run("signs of life", func(t *testing.T) {
		d, wrap := newDamage()
		bubbleOn(t, nil, wrap, func(t *testing.T, w *world) {
			a, b := w.begin("a"), w.begin("b")
			d.Store(&damage{session: a.key})
			began := time.Now()
			for range 6 {
				for _, c := range []*client{a, b} {
					_, err := c.poll(t.Context(), 0)
					c.must(err)
				}
			}
			expect(t, w.stored(a.key).Seen.After(began.Add(time.Second)), false)
			expect(t, time.Since(w.stored(b.key).Seen) <= presence.MaxLag, true)
		})
	})
	t.Run("what clients leave", func(t *testing.T) {
		d, wrap := newDamage()
		bubbleOn(t, nil, wrap, func(t *testing.T, w *world) {
			a, b := w.begin("a"), w.begin("b")
			a.open("m")
			b.open("n")
			bad, good := w.openFor("o"), w.openFor("p")
			releaseBad, releaseGood := w.KeepAlive(bad), w.KeepAlive(good)
			d.Store(&damage{side: "a", mailbox: bad})
			opened := time.Now().Add(time.Second)
			time.Sleep(30 * time.Second)
			for _, c := range []*client{a, b} {
				_, err := c.poll(t.Context(), 0)
				c.must(err)
				_, err = w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app, Side: "heir of " + c.side, Replaces: &c.id})
				c.must(err)
			}
			ended := time.Now()
			time.Sleep(time.Second)
			releaseBad()
			releaseGood()
			time.Sleep(time.Second)
			expect(t, w.mailbox(w.keyOf("m")).Updated.After(opened), false)
			expect(t, w.mailbox(w.keyOf("n")).Updated.After(opened), true)
			expect(t, w.mailbox(bad).SocketSeen.Before(ended), true)
			expect(t, w.mailbox(good).SocketSeen.Before(ended), false)
			d.Store(new(damage))
			time.Sleep(presence.WriteInterval + time.Second)
			expect(t, w.mailbox(w.keyOf("m")).Updated.After(opened), true)
			expect(t, w.mailbox(bad).SocketSeen.Before(ended), false)
		})
	})
	t.Run("what sides are told", func(t *testing.T) {
		d, wrap := newDamage()
		bubbleOn(t, nil, wrap, func(_ *testing.T, w *world) {
			bad, good := w.watches("a", "m"), w.watches("b", "n")
			d.Store(&damage{mailbox: w.keyOf("m")})
			for _, id := range []rendezvous.MailboxID{"m", "n"} {
				w.begin(rendezvous.Side("other of " + string(id))).open(id)
			}
			bad.hears("opened")
			good.hears("opened", "other of n here ")
		})
	})
	t.Run("client versions", func(t *testing.T) {
		_, wrap := newDamage()
		bubbleOn(t, nil, wrap, func(t *testing.T, w *world) {
			for _, version := range []string{"1", "damaged", "2"} {
				w.RecordClient(app, [2]string{"tea", version})
			}
			time.Sleep(time.Second)
			report, err := w.Usage(t.Context(), rendezvous.UsagePeriod{Days: 1})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, len(report.Versions), 2)
		})
	})
}
