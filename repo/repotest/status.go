package repotest

import (
	"time"

	"restante/rendezvous"
)

var status = []testCase{
	{"nameplates, mailboxes, messages and live sessions are counted", func(h *harness) {
		h.wantEmptyStore()
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			h.add(tx, h.add(tx, m, "one"), "two")
			h.add(tx, h.mailbox(tx), "three")
			h.mailbox(tx)
			h.nameplate(tx, "1", m)
			h.nameplate(tx, "2", m)
			h.session(tx, key(1))
			h.session(tx, key(2))
			h.end(tx, key(2), at(1))
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "counts", value(tx.Counts()), rendezvous.Counts{Nameplates: 2, Mailboxes: 3, Messages: 3, Sessions: 1})
		})
	}},
	{"the size of the database is known", func(h *harness) {
		h.view(func(tx rendezvous.Tx) {
			if size := value(tx.StorageSize()); size.Database <= 0 || size.Log < 0 {
				h.Errorf("%+v", size)
			}
		})
	}},
	{"client versions are recorded, with and without a name", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.RecordClients([]rendezvous.ClientVersion{
				{App: app, Connected: at(0), Implementation: "rust", Version: "1.0"},
				{App: app, Connected: at(1)},
			}))
			h.must(tx.RecordClients(nil))
		})
	}},
	{"the last modification's time moves with each committed change only", func(h *harness) {
		last := h.waitForClock()
		for what, change := range map[string]func(rendezvous.Tx){
			"to create": func(tx rendezvous.Tx) { h.session(tx, key(1)) },
			"to append": func(tx rendezvous.Tx) { h.add(tx, h.mailbox(tx), "body") },
		} {
			var done time.Time
			h.update(func(tx rendezvous.Tx) { change(tx); done = tx.Now() })
			now := h.lastModified()
			if !now.After(last) || now.Before(done) {
				h.Errorf("%s: %v after %v, at %v", what, now, last, done)
			}
			last = h.waitForClock()
		}
		h.wantFailure("a failure", func(tx rendezvous.Tx) error { h.mailbox(tx); return errTest })
		h.wantFailure("a panic", func(tx rendezvous.Tx) error { h.mailbox(tx); panic("ouch") })
		h.update(func(tx rendezvous.Tx) { value(tx.Counts()) })
		h.must(h.store.Probe(h.Context()))
		wantEqual(h, "afterwards", h.lastModified(), last)
	}},
}

// lastModified returns the time of the last modification.
func (h *harness) lastModified() (t time.Time) {
	h.Helper()
	h.view(func(tx rendezvous.Tx) { t = value(tx.Updated()) })
	return t
}

// waitForClock waits until the clock is past the last modification, and returns that one's time.
func (h *harness) waitForClock() time.Time {
	h.Helper()
	last := h.lastModified()
	for now := last; !now.After(last); {
		h.view(func(tx rendezvous.Tx) { now = tx.Now() })
	}
	return last
}
