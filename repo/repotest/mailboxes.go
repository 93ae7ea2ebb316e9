package repotest

import (
	"errors"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
)

var mailboxes = []test{
	{"it comes back as it was stored, whatever it is", func(w *world) {
		w.forAll(func(t *rapid.T, w *world) {
			first, then := drawMailbox(t), drawMailbox(t)
			then.App, then.ID, then.Created = first.App, first.ID, first.Created
			if len(then.Sides) < len(first.Sides) {
				then.Sides = first.Sides // none is ever removed
			}
			w.update(func(tx rendezvous.Tx) {
				m := ok(tx.CreateMailbox(first))
				want := first
				want.Key = m.Key
				equal(w, "told", m, want)
				equal(w, "by key", ok(tx.MailboxByKey(m.Key)), want)
				want = then
				want.Key = m.Key
				w.must(tx.UpdateMailbox(want))
				equal(w, "updated, by id", ok(tx.Mailbox(m.App, m.ID)), want)
				w.must(tx.RetireMailbox(want, usage))
			})
		})
	}},
	{"one that is not there is not found", func(w *world) {
		w.view(func(tx rendezvous.Tx) {
			_, err := tx.Mailbox(app, "x")
			w.missing("Mailbox", err)
			_, err = tx.MailboxByKey(1)
			w.missing("MailboxByKey", err)
		})
		w.refused("UpdateMailbox", func(tx rendezvous.Tx) error { return tx.UpdateMailbox(rendezvous.Mailbox{Key: 1, TTL: time.Second}) })
		w.refused("RetireMailbox", func(tx rendezvous.Tx) error { return tx.RetireMailbox(rendezvous.Mailbox{Key: 1}, usage) })
	}},
	{"an id is an app's own", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			a := ok(tx.CreateMailbox(rendezvous.NewMailbox("a", "x", time.Minute, at(0))))
			b := ok(tx.CreateMailbox(rendezvous.NewMailbox("b", "x", time.Minute, at(0))))
			equal(w, "a's", ok(tx.Mailbox("a", "x")).Key, a.Key)
			equal(w, "b's", ok(tx.Mailbox("b", "x")).Key, b.Key)
		})
		w.refused("the same once more", func(tx rendezvous.Tx) error {
			_, err := tx.CreateMailbox(rendezvous.NewMailbox("a", "x", time.Minute, at(0)))
			return err
		})
	}},
	{"a side that was in is kept, one that comes back is as new", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx, "a", "b")
			m, _ = m.Close("a", rendezvous.Scary, at(5))
			w.must(tx.UpdateMailbox(m))
			m, _ = m.Enter("a", at(6))
			w.must(tx.UpdateMailbox(m))
			equal(w, "as new", ok(tx.MailboxByKey(m.Key)), m)
			without := m
			without.Sides = nil
			w.must(tx.UpdateMailbox(without))
			equal(w, "kept", ok(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"those of a side are the ones that it is in, in the order of their keys", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			both := w.mailbox(tx, "b", "a")
			w.mailbox(tx, "b")
			own := w.mailbox(tx, "a")
			left := w.mailbox(tx, "a")
			left, _ = left.Close("a", rendezvous.Happy, at(1))
			w.must(tx.UpdateMailbox(left))
			equal(w, "all", ok(tx.MailboxesOf(app, "a")), []rendezvous.Mailbox{both, own})
			equal(w, "how many", ok(tx.CountMailboxesOf(app, "a")), 2)
			equal(w, "elsewhere", ok(tx.MailboxesOf("other", "a")), nil)
			equal(w, "how many elsewhere", ok(tx.CountMailboxesOf("other", "a")), 0)
		})
	}},
	{"to retire it takes everything of it, and its key is never used again", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			m := w.add(tx, w.mailbox(tx, "a"), "body")
			ok(tx.Subscribe(key(1), m.Key))
			w.must(tx.RetireMailbox(m, usage))
			_, err := tx.Mailbox(m.App, m.ID)
			w.missing("by id", err)

			again := ok(tx.CreateMailbox(rendezvous.NewMailbox(m.App, m.ID, time.Minute, at(0))))
			if again.Key <= m.Key {
				w.Errorf("key %d after %d", again.Key, m.Key)
			}
			equal(w, "sides", ok(tx.Mailbox(m.App, m.ID)).Sides, nil)
			for _, k := range []rendezvous.MailboxKey{m.Key, again.Key} {
				equal(w, "messages", ok(tx.Messages(k, 0, 9, 99)), nil)
				equal(w, "subscribers", ok(tx.Subscribers(k)), nil)
			}
		})
	}},
	{"it is not retired while a nameplate points to it", func(w *world) {
		var m rendezvous.Mailbox
		w.update(func(tx rendezvous.Tx) {
			m = w.mailbox(tx)
			w.nameplate(tx, "1", m)
		})
		w.refused("to retire it", func(tx rendezvous.Tx) error { return tx.RetireMailbox(m, usage) })
	}},
	{"stale ones come in order, from the cursor on, up to the limit", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			var keys []rendezvous.MailboxKey
			for _, staleAt := range []int64{5, 3, 5, 4, 6} {
				m := w.mailbox(tx)
				m.StaleAt = at(staleAt)
				w.must(tx.UpdateMailbox(m))
				keys = append(keys, m.Key)
			}
			var got []rendezvous.MailboxKey
			var after rendezvous.MailboxCursor
			for {
				some := ok(tx.StaleMailboxes(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.Key)
					after = c
				}
			}
			equal(w, "order", got, []rendezvous.MailboxKey{keys[1], keys[3], keys[0], keys[2]})
			equal(w, "cursor", after, rendezvous.MailboxCursor{StaleAt: at(5), Key: keys[2]})
		})
	}},
	{"what sockets hold only moves forward", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m, other := w.mailbox(tx), w.mailbox(tx)
			w.must(tx.SocketsSeen([]rendezvous.MailboxKey{m.Key, 999}, at(5)))
			w.must(tx.SocketsSeen([]rendezvous.MailboxKey{m.Key}, at(4)))
			m.SocketSeen = at(5)
			equal(w, "held", ok(tx.MailboxByKey(m.Key)), m)
			m, _ = m.Open("a", at(9))
			w.must(tx.UpdateMailbox(m))
			equal(w, "held and changed", ok(tx.MailboxByKey(m.Key)), m)
			equal(w, "not held", ok(tx.MailboxByKey(other.Key)), other)
		})
	}},
	{"its holders are the live sessions of the sides that are in", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			for i, side := range []rendezvous.Side{"in", "ended", "left", "elsewhere"} {
				w.must(tx.CreateSession(newSession(key(byte(i+1)), side), at(0)))
			}
			w.end(tx, key(2), at(1))
			m := w.mailbox(tx, "in", "left")
			m, _ = m.Close("left", rendezvous.Happy, at(1))
			w.must(tx.UpdateMailbox(m))
			equal(w, "holders", ok(tx.Holders(m.Key)), []rendezvous.Session{newSession(key(1), "in")})
			equal(w, "of one that is only held by an ended one", ok(tx.Holders(w.mailbox(tx, "ended").Key)), nil)
		})
	}},
}

var messages = []test{
	{"they come back as they were stored, in the order of their positions", func(w *world) {
		w.forAll(func(t *rapid.T, w *world) {
			added := rapid.SliceOfN(rapid.Custom(drawMessage), 1, 5).Draw(t, "messages")
			after := rapid.IntRange(0, len(added)).Draw(t, "after")
			w.update(func(tx rendezvous.Tx) {
				m := w.mailbox(tx)
				for i := range added {
					m = m.Appended(added[i].Body, added[i].Received)
					added[i].Position = m.Last
					w.must(tx.Append(m, added[i]))
				}
				equal(w, "messages", ok(tx.Messages(m.Key, rendezvous.Position(after), 99, 1<<20)), added[after:])
				equal(w, "the mailbox", ok(tx.MailboxByKey(m.Key)), m)
				w.must(tx.RetireMailbox(m, usage))
			})
		})
	}},
	{"an answer is bounded in messages and in bytes, and has one at least", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			for range 5 {
				m = w.add(tx, m, "0123456789")
			}
			for _, x := range []struct {
				count int
				size  int64
				want  int
			}{{2, 99, 2}, {9, 99, 5}, {9, 30, 3}, {9, 29, 2}, {9, 10, 1}, {9, 1, 1}, {9, 0, 1}} {
				equal(w, "how many", len(ok(tx.Messages(m.Key, 0, x.count, x.size))), x.want)
			}
			equal(w, "none beyond", ok(tx.Messages(m.Key, 5, 9, 99)), nil)
		})
	}},
	{"only the next position is taken", func(w *world) {
		var m rendezvous.Mailbox
		w.update(func(tx rendezvous.Tx) { m = w.add(tx, w.mailbox(tx), "body") })
		for _, p := range []rendezvous.Position{0, 1, 3} {
			w.refused("another", func(tx rendezvous.Tx) error {
				m := m
				m.Last = p
				return tx.Append(m, rendezvous.Message{Position: p, Received: at(0)})
			})
		}
		w.refused("one of no mailbox", func(tx rendezvous.Tx) error {
			return tx.Append(rendezvous.Mailbox{Key: 999, Last: 1}, rendezvous.Message{Position: 1, Received: at(0)})
		})
		w.refused("one more than is kept", func(tx rendezvous.Tx) error {
			w.add(tx, m, "body")
			return errors.New("no")
		})
		w.view(func(tx rendezvous.Tx) {
			equal(w, "the mailbox", ok(tx.MailboxByKey(m.Key)), m)
		})
	}},
}

var usage = rendezvous.Usage{App: app, Started: at(0), Total: time.Second, Result: rendezvous.ResultQuiet}

// drawMailbox is any mailbox, with up to two sides, the older first.
func drawMailbox(t *rapid.T) rendezvous.Mailbox {
	m := rendezvous.Mailbox{
		App: rendezvous.AppID(text.Draw(t, "app")), ID: rendezvous.MailboxID(text.Draw(t, "id")),
		Created: drawTime(t, "created"), Updated: drawTime(t, "updated"), StaleAt: drawTime(t, "stale at"),
		TTL:          time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "ttl")) * time.Millisecond,
		ForNameplate: rapid.Bool().Draw(t, "for nameplate"), Crowded: rapid.Bool().Draw(t, "crowded"),
		Last: rendezvous.Position(drawSeq(t, "last")), Bytes: int64(drawSeq(t, "bytes")),
	}
	entered := drawTime(t, "entered")
	for i := range rapid.IntRange(0, 2).Draw(t, "sides") {
		o := rendezvous.Opening{Side: rendezvous.Side([]byte{'b' - byte(i)}), Entered: entered.Add(time.Duration(i) * time.Millisecond)}
		if rapid.Bool().Draw(t, "opened") {
			opened := drawTime(t, "opened at")
			o.Opened = &opened
		}
		if rapid.Bool().Draw(t, "closed") {
			o.Closed = &rendezvous.Closing{
				At:   drawTime(t, "closed at"),
				Mood: rapid.SampledFrom([]rendezvous.Mood{rendezvous.Happy, rendezvous.Lonely, rendezvous.Scary, rendezvous.Errory}).Draw(t, "mood"),
			}
		}
		m.Sides = append(m.Sides, o)
	}
	return m
}

// drawMessage is any message, whose position is to be set; a body may be any bytes.
func drawMessage(t *rapid.T) rendezvous.Message {
	return rendezvous.Message{
		Side: rendezvous.Side(text.Draw(t, "side")), Received: drawTime(t, "received"),
		Draft: rendezvous.Draft{
			Phase: text.Draw(t, "phase"),
			Body:  string(rapid.SliceOf(rapid.Byte()).Draw(t, "body")),
			ID:    rapid.Ptr(text, true).Draw(t, "id"),
		},
	}
}
