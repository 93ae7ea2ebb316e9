package repotest

import (
	"time"

	"restante/rendezvous"
)

var status = []test{
	{"everything is counted; of the sessions, those that live", func(w *world) {
		w.empty()
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			w.add(tx, w.add(tx, m, "one"), "two")
			w.add(tx, w.mailbox(tx), "three")
			w.mailbox(tx)
			w.nameplate(tx, "1", m)
			w.nameplate(tx, "2", m)
			w.session(tx, key(1))
			w.session(tx, key(2))
			w.end(tx, key(2), at(1))
		})
		w.view(func(tx rendezvous.Tx) {
			equal(w, "counts", ok(tx.Counts()), rendezvous.Counts{Nameplates: 2, Mailboxes: 3, Messages: 3, Sessions: 1})
		})
	}},
	{"clients are recorded, whatever they say they are", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.must(tx.RecordClients([]rendezvous.ClientVersion{
				{App: app, Side: "a", Connected: at(0), Implementation: "rust", Version: "1.0"},
				{App: app, Side: "b", Connected: at(1)},
			}))
			w.must(tx.RecordClients(nil))
		})
	}},
	{"the last modification's time moves with each that is committed, and with nothing else", func(w *world) {
		last := w.tick()
		for what, change := range map[string]func(rendezvous.Tx){
			"to create": func(tx rendezvous.Tx) { w.session(tx, key(1)) },
			"to append": func(tx rendezvous.Tx) { w.add(tx, w.mailbox(tx), "body") },
		} {
			var done time.Time
			w.update(func(tx rendezvous.Tx) { change(tx); done = tx.Now() })
			now := w.updated()
			if !now.After(last) || now.Before(done) {
				w.Errorf("%s: %v after %v, at %v", what, now, last, done)
			}
			last = w.tick()
		}
		w.refused("a failure", func(tx rendezvous.Tx) error { w.mailbox(tx); return errMine })
		w.refused("a panic", func(tx rendezvous.Tx) error { w.mailbox(tx); panic("ouch") })
		w.update(func(tx rendezvous.Tx) { ok(tx.Counts()) })
		w.must(w.store.Probe(w.Context()))
		equal(w, "afterwards", w.updated(), last)
	}},
}

// updated is when something was last modified.
func (w *world) updated() (t time.Time) {
	w.Helper()
	w.view(func(tx rendezvous.Tx) { t = ok(tx.Updated()) })
	return t
}

// tick waits until the clock is past the last modification, which it tells.
func (w *world) tick() time.Time {
	w.Helper()
	last := w.updated()
	for now := last; !now.After(last); {
		w.view(func(tx rendezvous.Tx) { now = tx.Now() })
	}
	return last
}
