package repotest

import (
	"bytes"
	"fmt"

	"restante/rendezvous"
	"restante/session"
)

var commands = []testCase{
	{"the next command is counted, with its reply", func(h *harness) {
		reply := rendezvous.Reply{Fingerprint: [32]byte{1, 2, 31: 3}, Outcome: []byte{0, 255, '{'}}
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			h.must(tx.Complete(key(1), 0, reply))
			wantEqual(h, "reply", value(tx.Reply(key(1), 0)), reply)
			h.must(tx.Complete(key(1), 1, rendezvous.Reply{}))
			wantEqual(h, "empty reply", value(tx.Reply(key(1), 1)), rendezvous.Reply{})
			s := value(tx.Session(key(1)))
			wantEqual(h, "wanted", s.Wanted, session.Seq(2))
			wantEqual(h, "used", s.Used, true)
		})
	}},
	{"any other command is refused and changes nothing", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			h.session(tx, key(2))
			h.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			h.end(tx, key(2), at(1))
		})
		for what, n := range map[string]session.Seq{"one done before": 0, "one too early": 2} {
			h.wantFailure(what, func(tx rendezvous.Tx) error { return tx.Complete(key(1), n, rendezvous.Reply{}) })
		}
		h.wantFailure("one of a session that ended", func(tx rendezvous.Tx) error { return tx.Complete(key(2), 0, rendezvous.Reply{}) })
		h.wantFailure("one of no session", func(tx rendezvous.Tx) error { return tx.Complete(key(3), 0, rendezvous.Reply{}) })
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "wanted", value(tx.Session(key(1))).Wanted, session.Seq(1))
			_, err := tx.Reply(key(1), 2)
			h.wantNotFound("reply", err)
		})
	}},
	{"only the last window of replies is kept", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			const last = session.Window + 5
			for n := session.Seq(0); n <= last; n++ {
				h.must(tx.Complete(key(1), n, rendezvous.Reply{Outcome: []byte{byte(n)}}))
			}
			_, err := tx.Reply(key(1), last-session.Window)
			h.wantNotFound("the last forgotten", err)
			wantEqual(h, "the first kept", value(tx.Reply(key(1), last-session.Window+1)).Outcome, []byte{last - session.Window + 1})
			wantEqual(h, "the last", value(tx.Reply(key(1), last)).Outcome, []byte{last})
		})
	}},
	{"a session is marked as used", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			wantEqual(h, "before", value(tx.Session(key(1))).Used, false)
			h.must(tx.MarkUsed(key(1)))
			h.must(tx.MarkUsed(key(1)))
			wantEqual(h, "after", value(tx.Session(key(1))).Used, true)
		})
	}},
}

// frame returns the bytes of frame n.
func frame(n session.Seq) []byte { return bytes.Repeat([]byte{byte(n)}, 10) }

var outboxes = []testCase{
	{"frames are numbered from 0, densely, and come back byte for byte", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			for n := range int64(5) {
				var number session.Seq
				b := value(tx.SendFrame(key(1), func(seq session.Seq) []byte {
					number = seq
					return frame(seq)
				}))
				wantEqual(h, "number", number, session.Seq(n))
				wantEqual(h, "backlog told", b, rendezvous.Backlog{Frames: n + 1, Bytes: 10 * (n + 1)})
			}
			wantEqual(h, "ledger", value(tx.Session(key(1))).Ledger, session.Ledger{Next: 5})
			wantEqual(h, "frames", value(tx.Frames(key(1), 3, 9, 99)), [][]byte{frame(3), frame(4)})
			wantEqual(h, "none beyond", value(tx.Frames(key(1), 5, 9, 99)), nil)
		})
	}},
	{"the backlog has the size of its frames, whatever number of digits their numbers have", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			size := int64(0)
			for n := range int64(120) {
				b := value(tx.SendFrame(key(1), func(seq session.Seq) []byte { return fmt.Appendf(nil, `{"seq":%d}`, seq) }))
				size += int64(len(fmt.Sprintf(`{"seq":%d}`, n)))
				wantEqual(h, "backlog told", b, rendezvous.Backlog{Frames: n + 1, Bytes: size})
			}
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 120}))
			wantEqual(h, "backlog", value(tx.Backlog(key(1))), rendezvous.Backlog{})
		})
	}},
	{"Frames is bounded in frames and in bytes, and returns at least one", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			for range 5 {
				value(tx.SendFrame(key(1), frame))
			}
			for _, x := range []struct {
				count int
				size  int64
				want  int
			}{{2, 99, 2}, {9, 99, 5}, {9, 30, 3}, {9, 29, 2}, {9, 10, 1}, {9, 1, 1}, {9, 0, 1}} {
				got := value(tx.Frames(key(1), 0, x.count, x.size))
				wantEqual(h, "how many", len(got), x.want)
			}
		})
	}},
	{"an acknowledgement deletes the frames below it, and never goes back or too far", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			for range 5 {
				value(tx.SendFrame(key(1), frame))
			}
			h.must(tx.BeginEpoch(key(1), 2))
			kept := func(what string, want session.Seq) {
				wantEqual(h, what+": kept", value(tx.Session(key(1))).Kept, want)
				wantEqual(h, what+": backlog", value(tx.Backlog(key(1))), rendezvous.Backlog{Frames: 5 - int64(want), Bytes: 10 * (5 - int64(want))})
				wantEqual(h, what+": frames", len(value(tx.Frames(key(1), 0, 9, 99))), 5-int(want))
			}
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 4}))
			kept("of an earlier epoch", 0)
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 3}))
			kept("below 3", 3)
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 1}))
			kept("back", 3)
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 6}))
			kept("beyond", 3)
			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 2, UpTo: 5}))
			kept("all", 5)
			h.must(tx.Acknowledge(session.Ack{Session: key(2), Epoch: 2, UpTo: 5}))
		})
	}},
	{"the outbox of a missing session is not found", func(h *harness) {
		h.wantFailure("Send", func(tx rendezvous.Tx) error {
			_, err := tx.SendFrame(key(1), frame)
			h.wantNotFound("Send", err)
			_, err = tx.Backlog(key(1))
			h.wantNotFound("Backlog", err)
			return err
		})
		h.wantFailure("Subscribe without a session", func(tx rendezvous.Tx) error {
			_, _, err := tx.Subscribe(key(1), h.mailbox(tx).Key, rendezvous.Watch{})
			return err
		})
		h.wantFailure("Subscribe without a mailbox", func(tx rendezvous.Tx) error {
			h.session(tx, key(1))
			_, _, err := tx.Subscribe(key(1), 999, rendezvous.Watch{})
			return err
		})
	}},
	{"subscribers come in the order of their keys, each once", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m, other := h.mailbox(tx), h.mailbox(tx)
			var want []rendezvous.Subscriber
			for _, k := range []byte{2, 3, 1} {
				h.session(tx, key(k))
				wantEqual(h, "new", h.subscribe(tx, key(k), m.Key), true)
				wantEqual(h, "again", h.subscribe(tx, key(k), m.Key), false)
			}
			h.subscribe(tx, key(1), other.Key)
			for k := byte(1); k <= 3; k++ {
				want = append(want, rendezvous.Subscriber{Key: key(k), Side: value(tx.Session(key(k))).Side})
			}
			wantEqual(h, "all", value(tx.Subscribers(m.Key)), want)
			h.must(tx.Unsubscribe(key(2), m.Key))
			h.must(tx.Unsubscribe(key(2), m.Key))
			wantEqual(h, "but one", value(tx.Subscribers(m.Key)), []rendezvous.Subscriber{want[0], want[2]})
			wantEqual(h, "of none", value(tx.Subscribers(999)), nil)
		})
	}},
}
