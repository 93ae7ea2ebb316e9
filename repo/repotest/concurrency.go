package repotest

import (
	"errors"
	"sync"
	"sync/atomic"

	"restante/rendezvous"
	"restante/session"
)

const writerCount = 32

var concurrency = []testCase{
	{"positions are dense when many transactions append", func(h *harness) {
		const each = 8
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) { m = h.mailbox(tx) })
		h.inParallel(func(int) {
			for range each {
				h.update(func(tx rendezvous.Tx) {
					h.add(tx, value(tx.MailboxByKey(m.Key)), "body")
				})
			}
		})
		h.view(func(tx rendezvous.Tx) {
			list := value(tx.Messages(m.Key, 0, 2*writerCount*each, 1<<20))
			wantEqual(h, "how many", len(list), writerCount*each)
			for i, message := range list {
				wantEqual(h, "position", message.Position, rendezvous.Position(i+1))
			}
		})
	}},
	{"frames are numbered densely when many transactions send", func(h *harness) {
		h.update(func(tx rendezvous.Tx) { h.session(tx, key(1)) })
		h.inParallel(func(int) {
			h.update(func(tx rendezvous.Tx) { value(tx.SendFrame(key(1), frame)) })
		})
		h.view(func(tx rendezvous.Tx) {
			list := value(tx.Frames(key(1), 0, 2*writerCount, 1<<20))
			wantEqual(h, "how many", len(list), writerCount)
			for i, payload := range list {
				wantEqual(h, "frame", payload, frame(session.Seq(i)))
			}
		})
	}},
	{"one of several transactions that create the same nameplate creates it", func(h *harness) {
		var first atomic.Int64
		h.inParallel(func(int) {
			made := false
			h.must(h.store.Update(h.Context(), func(tx rendezvous.Tx) error { // returns its errors, because it may run again
				_, err := tx.Nameplate(app, "1")
				made = errors.Is(err, rendezvous.ErrNotFound)
				if !made {
					return nil
				}
				m := h.mailbox(tx)
				return tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: m.Key, Created: at(0), StaleAt: at(1)})
			}))
			if made {
				first.Add(1)
			}
		})
		wantEqual(h, "how many", first.Load(), int64(1))
	}},
	{"updates that fail and panic do not affect the others", func(h *harness) {
		h.inParallel(func(i int) {
			f := func(tx rendezvous.Tx) error {
				h.mailbox(tx)
				switch i % 4 {
				case 1:
					return errTest
				case 2:
					panic("ouch")
				}
				return nil
			}
			if i%4 == 0 || i%4 == 3 {
				h.must(h.store.Update(h.Context(), f))
			} else {
				h.wantFailure("a failure", f)
			}
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "mailboxes", value(tx.Counts()).Mailboxes, int64(writerCount/2))
		})
	}},
}

// inParallel runs f on writerCount goroutines.
func (h *harness) inParallel(f func(i int)) {
	var all sync.WaitGroup
	for i := range writerCount {
		all.Go(func() { f(i) })
	}
	all.Wait()
}
