package repotest

import (
	"bytes"
	"fmt"

	"restante/rendezvous"
	"restante/session"
)

var commands = []test{
	{"one in turn is counted, with its reply", func(w *world) {
		reply := rendezvous.Reply{Fingerprint: [32]byte{1, 2, 31: 3}, Outcome: []byte{0, 255, '{'}}
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			w.must(tx.Complete(key(1), 0, reply))
			equal(w, "reply", ok(tx.Reply(key(1), 0)), reply)
			w.must(tx.Complete(key(1), 1, rendezvous.Reply{}))
			equal(w, "empty reply", ok(tx.Reply(key(1), 1)), rendezvous.Reply{})
			s := ok(tx.Session(key(1)))
			equal(w, "wanted", s.Wanted, session.Seq(2))
			equal(w, "used", s.Used, true)
		})
	}},
	{"one out of turn is refused and changes nothing", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			w.session(tx, key(2))
			w.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			w.end(tx, key(2), at(1))
		})
		for what, n := range map[string]session.Seq{"one done before": 0, "one too early": 2} {
			w.refused(what, func(tx rendezvous.Tx) error { return tx.Complete(key(1), n, rendezvous.Reply{}) })
		}
		w.refused("one of a session that ended", func(tx rendezvous.Tx) error { return tx.Complete(key(2), 0, rendezvous.Reply{}) })
		w.refused("one of no session", func(tx rendezvous.Tx) error { return tx.Complete(key(3), 0, rendezvous.Reply{}) })
		w.view(func(tx rendezvous.Tx) {
			equal(w, "wanted", ok(tx.Session(key(1))).Wanted, session.Seq(1))
			_, err := tx.Reply(key(1), 2)
			w.missing("reply", err)
		})
	}},
	{"only the last window of replies is kept", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			const last = session.Window + 5
			for n := session.Seq(0); n <= last; n++ {
				w.must(tx.Complete(key(1), n, rendezvous.Reply{Outcome: []byte{byte(n)}}))
			}
			_, err := tx.Reply(key(1), last-session.Window)
			w.missing("the last forgotten", err)
			equal(w, "the first kept", ok(tx.Reply(key(1), last-session.Window+1)).Outcome, []byte{last - session.Window + 1})
			equal(w, "the last", ok(tx.Reply(key(1), last)).Outcome, []byte{last})
		})
	}},
	{"a session is marked as used", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			equal(w, "before", ok(tx.Session(key(1))).Used, false)
			w.must(tx.MarkUsed(key(1)))
			w.must(tx.MarkUsed(key(1)))
			equal(w, "after", ok(tx.Session(key(1))).Used, true)
		})
	}},
}

// frame is the bytes of frame n.
func frame(n session.Seq) []byte { return bytes.Repeat([]byte{byte(n)}, 10) }

var outboxes = []test{
	{"frames are numbered from 0, densely, and come back byte for byte", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			for n := range int64(5) {
				var number session.Seq
				b := ok(tx.Send(key(1), func(seq session.Seq) []byte {
					number = seq
					return frame(seq)
				}))
				equal(w, "number", number, session.Seq(n))
				equal(w, "backlog told", b, rendezvous.Backlog{Frames: n + 1, Bytes: 10 * (n + 1)})
			}
			equal(w, "ledger", ok(tx.Session(key(1))).Ledger, session.Ledger{Next: 5})
			equal(w, "frames", ok(tx.Frames(key(1), 3, 9, 99)), [][]byte{frame(3), frame(4)})
			equal(w, "none beyond", ok(tx.Frames(key(1), 5, 9, 99)), nil)
		})
	}},
	{"the backlog is as large as its frames, also when their numbers have more digits", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			size := int64(0)
			for n := range int64(120) {
				b := ok(tx.Send(key(1), func(seq session.Seq) []byte { return fmt.Appendf(nil, `{"seq":%d}`, seq) }))
				size += int64(len(fmt.Sprintf(`{"seq":%d}`, n)))
				equal(w, "backlog told", b, rendezvous.Backlog{Frames: n + 1, Bytes: size})
			}
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 120}))
			equal(w, "backlog", ok(tx.Backlog(key(1))), rendezvous.Backlog{})
		})
	}},
	{"an answer is bounded in frames and in bytes, and has one at least", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			for range 5 {
				ok(tx.Send(key(1), frame))
			}
			for _, x := range []struct {
				count int
				size  int64
				want  int
			}{{2, 99, 2}, {9, 99, 5}, {9, 30, 3}, {9, 29, 2}, {9, 10, 1}, {9, 1, 1}, {9, 0, 1}} {
				got := ok(tx.Frames(key(1), 0, x.count, x.size))
				equal(w, "how many", len(got), x.want)
			}
		})
	}},
	{"to acknowledge forgets what is below, and never goes back or beyond", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			s := w.session(tx, key(1))
			for range 5 {
				ok(tx.Send(key(1), frame))
			}
			s.Epoch = 2
			w.must(tx.UpdateSession(s, at(0)))
			kept := func(what string, want session.Seq) {
				equal(w, what+": kept", ok(tx.Session(key(1))).Kept, want)
				equal(w, what+": backlog", ok(tx.Backlog(key(1))), rendezvous.Backlog{Frames: 5 - int64(want), Bytes: 10 * (5 - int64(want))})
				equal(w, what+": frames", len(ok(tx.Frames(key(1), 0, 9, 99))), 5-int(want))
			}
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 4}))
			kept("of an earlier epoch", 0)
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 3}))
			kept("below 3", 3)
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 1}))
			kept("back", 3)
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 6}))
			kept("beyond", 3)
			w.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 5}))
			kept("all", 5)
			w.must(tx.Acknowledge(session.Ack{Session: key(2), Epoch: 2, UpTo: 5}))
		})
	}},
	{"a session without an outbox is not found", func(w *world) {
		w.refused("Send", func(tx rendezvous.Tx) error {
			_, err := tx.Send(key(1), frame)
			w.missing("Send", err)
			_, err = tx.Backlog(key(1))
			w.missing("Backlog", err)
			return err
		})
		w.refused("Subscribe without a session", func(tx rendezvous.Tx) error {
			_, err := tx.Subscribe(key(1), w.mailbox(tx).Key)
			return err
		})
		w.refused("Subscribe without a mailbox", func(tx rendezvous.Tx) error {
			w.session(tx, key(1))
			_, err := tx.Subscribe(key(1), 999)
			return err
		})
	}},
	{"subscribers come in the order of their keys, each once", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m, other := w.mailbox(tx), w.mailbox(tx)
			var want []rendezvous.Subscriber
			for _, k := range []byte{2, 3, 1} {
				w.session(tx, key(k))
				equal(w, "new", ok(tx.Subscribe(key(k), m.Key)), true)
				equal(w, "again", ok(tx.Subscribe(key(k), m.Key)), false)
			}
			ok(tx.Subscribe(key(1), other.Key))
			for k := byte(1); k <= 3; k++ {
				want = append(want, rendezvous.Subscriber{Key: key(k), Side: ok(tx.Session(key(k))).Side})
			}
			equal(w, "all", ok(tx.Subscribers(m.Key)), want)
			w.must(tx.Unsubscribe(key(2), m.Key))
			w.must(tx.Unsubscribe(key(2), m.Key))
			equal(w, "but one", ok(tx.Subscribers(m.Key)), []rendezvous.Subscriber{want[0], want[2]})
			equal(w, "of none", ok(tx.Subscribers(999)), nil)
		})
	}},
}
