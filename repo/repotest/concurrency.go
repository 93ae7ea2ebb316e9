package repotest

import (
	"errors"
	"sync"
	"sync/atomic"

	"restante/rendezvous"
	"restante/session"
)

const writers = 32

var concurrency = []test{
	{"positions are dense however many append", func(w *world) {
		const each = 8
		var m rendezvous.Mailbox
		w.update(func(tx rendezvous.Tx) { m = w.mailbox(tx) })
		w.together(func(int) {
			for range each {
				w.update(func(tx rendezvous.Tx) {
					w.add(tx, ok(tx.MailboxByKey(m.Key)), "body")
				})
			}
		})
		w.view(func(tx rendezvous.Tx) {
			list := ok(tx.Messages(m.Key, 0, 2*writers*each, 1<<20))
			equal(w, "how many", len(list), writers*each)
			for i, message := range list {
				equal(w, "position", message.Position, rendezvous.Position(i+1))
			}
		})
	}},
	{"frames are dense however many send", func(w *world) {
		w.update(func(tx rendezvous.Tx) { w.session(tx, key(1)) })
		w.together(func(int) {
			w.update(func(tx rendezvous.Tx) { ok(tx.Send(key(1), frame)) })
		})
		w.view(func(tx rendezvous.Tx) {
			list := ok(tx.Frames(key(1), 0, 2*writers, 1<<20))
			equal(w, "how many", len(list), writers)
			for i, payload := range list {
				equal(w, "frame", payload, frame(session.Seq(i)))
			}
		})
	}},
	{"of those that would all be the first, one is", func(w *world) {
		var first atomic.Int64
		w.together(func(int) {
			made := false
			w.must(w.store.Update(w.Context(), func(tx rendezvous.Tx) error { // which may run again: it returns its errors
				_, err := tx.Nameplate(app, "1")
				made = errors.Is(err, rendezvous.ErrNotFound)
				if !made {
					return nil
				}
				m := w.mailbox(tx)
				return tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: m.Key, Created: at(0), StaleAt: at(1)})
			}))
			if made {
				first.Add(1)
			}
		})
		equal(w, "how many", first.Load(), int64(1))
	}},
	{"those that fail and panic take nothing from the others", func(w *world) {
		w.together(func(i int) {
			f := func(tx rendezvous.Tx) error {
				w.mailbox(tx)
				switch i % 4 {
				case 1:
					return errMine
				case 2:
					panic("ouch")
				}
				return nil
			}
			if i%4 == 0 || i%4 == 3 {
				w.must(w.store.Update(w.Context(), f))
			} else {
				w.refused("a failure", f)
			}
		})
		w.view(func(tx rendezvous.Tx) {
			equal(w, "mailboxes", ok(tx.Counts()).Mailboxes, int64(writers/2))
		})
	}},
}

// together runs f on as many goroutines as there are writers.
func (w *world) together(f func(i int)) {
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { f(i) })
	}
	all.Wait()
}
