package repotest

import (
	"fmt"

	"restante/rendezvous"
	"restante/session"
)

// encoded returns the messages of a mailbox as the frames from number first on.
func encoded(m rendezvous.Mailbox, first session.Seq, messages []rendezvous.Message) [][]byte {
	frames := make([][]byte, len(messages))
	for i, message := range messages {
		frames[i] = rendezvous.Encode(rendezvous.MessageFrame{Message: message}, m.ID, first+session.Seq(i))
	}
	return frames
}

// log stores a mailbox with so many messages.
func (h *harness) log(tx rendezvous.Tx, count int) (rendezvous.Mailbox, []rendezvous.Message) {
	h.Helper()
	m := h.mailbox(tx, "side")
	for i := range count {
		m = h.add(tx, m, fmt.Sprintf("body %d", i+1))
	}
	return m, value(tx.Messages(m.Key, 0, count, 1<<30))
}

var runs = []testCase{
	{"messages that are sent come back as frames, from any number on, across runs and frames", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m, inM := h.log(tx, 7)
			n, inN := h.log(tx, 3)
			wantEqual(h, "first of a run", value(tx.SendMessages(key(1), m.Key, 2, 3)), 0)
			wantEqual(h, "first of its continuation", value(tx.SendMessages(key(1), m.Key, 5, 1)), 3)
			value(tx.SendFrame(key(1), frame))
			wantEqual(h, "first after a frame", value(tx.SendMessages(key(1), m.Key, 6, 2)), 5)
			wantEqual(h, "first of another log", value(tx.SendMessages(key(1), n.Key, 1, 3)), 7)

			want := encoded(m, 0, inM[1:5])
			want = append(want, frame(4))
			want = append(want, encoded(m, 5, inM[5:7])...)
			want = append(want, encoded(n, 7, inN)...)
			for from := range len(want) + 1 {
				wantEqual(h, fmt.Sprintf("from %d", from), value(tx.Frames(key(1), session.Seq(from), 99, 1<<20)), want[from:])
				wantEqual(h, fmt.Sprintf("two from %d", from), value(tx.Frames(key(1), session.Seq(from), 2, 1<<20)), want[from:min(from+2, len(want))])
			}
			size := int64(len(want[0]) + len(want[1]))
			wantEqual(h, "bounded in bytes", value(tx.Frames(key(1), 0, 99, size)), want[:2])
			wantEqual(h, "at least one", value(tx.Frames(key(1), 1, 99, 0)), want[1:2])
			wantEqual(h, "ledger", value(tx.Session(key(1))).Ledger, session.Ledger{Next: 10})
			wantEqual(h, "backlog: messages do not count", value(tx.Backlog(key(1))), rendezvous.Backlog{Frames: 1, Bytes: 10})
		})
	}},
	{"messages that are added and sent one by one are there for each look on the way", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			a, b := h.session(tx, key(1)), h.session(tx, key(2))
			first, second := h.mailbox(tx, a.Side, b.Side), h.mailbox(tx, a.Side, b.Side)
			var want [][]byte
			for n := range session.Seq(12) {
				value(tx.Session(b.Key))
				m := value(tx.Mailbox(app, []rendezvous.MailboxID{first.ID, second.ID}[n/3%2]))
				wantEqual(h, "wanted", value(tx.Session(a.Key)).Wanted, n)
				m = h.addAs(tx, a.Key, m, n)
				wantEqual(h, "number", value(tx.SendMessages(b.Key, m.Key, m.Last, 1)), n)
				if n%5 != 1 {
					want = append(want, nil)
					continue
				}
				want = append(want, encoded(m, n, value(tx.Messages(m.Key, m.Last-1, 9, 99)))...)
				wantEqual(h, "frame", value(tx.Frames(b.Key, n, 9, 1<<20)), want[n:])
				wantEqual(h, "reply", value(tx.Reply(a.Key, n)), replyTo(n))
				wantEqual(h, "next", value(tx.Session(b.Key)).Next, n+1)
			}
			for n := range session.Seq(12) {
				wantEqual(h, "reply", value(tx.Reply(a.Key, n)), replyTo(n))
			}
			wantEqual(h, "frames", len(value(tx.Frames(b.Key, 0, 99, 1<<20))), 12)
		})
	}},
	{"an acknowledgement in the middle of a run keeps the rest of it", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m, messages := h.log(tx, 5)
			value(tx.SendMessages(key(1), m.Key, 1, 5))
			value(tx.SendFrame(key(1), frame))
			want := append(encoded(m, 0, messages), frame(5))
			for _, upTo := range []session.Seq{2, 4, 5, 6} {
				h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: upTo}))
				wantEqual(h, "kept", value(tx.Session(key(1))).Kept, upTo)
				wantEqual(h, "frames", value(tx.Frames(key(1), upTo, 99, 1<<20)), want[upTo:])
			}
			wantEqual(h, "backlog", value(tx.Backlog(key(1))), rendezvous.Backlog{})
		})
	}},
	{"the messages of a retired mailbox stay readable until no outbox refers to them", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			h.session(tx, key(2))
			m, messages := h.log(tx, 150)
			value(tx.SendMessages(key(1), m.Key, 1, 150))
			value(tx.SendMessages(key(2), m.Key, 150, 1))
			h.must(tx.RetireMailbox(m, usage))
			again := rendezvous.NewMailbox(app, m.ID, m.TTL, at(9)) // another mailbox with the same id
			value(tx.CreateMailbox(again))

			want := encoded(m, 0, messages)
			wantEqual(h, "frames", value(tx.Frames(key(1), 120, 99, 1<<20)), want[120:])
			wantEqual(h, "unreferred logs", value(tx.RetiredLogs(0, 9)), nil)
			wantEqual(h, "deleted while it is referred to", value(tx.DeleteRetiredLog(m.Key)), true)
			wantEqual(h, "frames after that", value(tx.Frames(key(1), 120, 99, 1<<20)), want[120:])

			h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 150}))
			wantEqual(h, "unreferred logs, while one session refers to it", value(tx.RetiredLogs(0, 9)), nil)
			h.must(tx.EmptySession(key(2)))
			wantEqual(h, "unreferred logs, when none does", value(tx.RetiredLogs(0, 9)), []rendezvous.MailboxKey{m.Key})
			wantEqual(h, "after the cursor", value(tx.RetiredLogs(m.Key, 9)), nil)
			wantEqual(h, "all deleted by the first page", value(tx.DeleteRetiredLog(m.Key)), false)
			wantEqual(h, "left after the first page", len(value(tx.Messages(m.Key, 0, 999, 1<<20))), 50)
			wantEqual(h, "all deleted by the second page", value(tx.DeleteRetiredLog(m.Key)), true)
			wantEqual(h, "left", len(value(tx.Messages(m.Key, 0, 999, 1<<20))), 0)
			wantEqual(h, "unreferred logs at the end", value(tx.RetiredLogs(0, 9)), nil)
		})
	}},
	{"a short log stays while an outbox refers to it", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m, messages := h.log(tx, 3)
			value(tx.SendMessages(key(1), m.Key, 2, 2))
			h.must(tx.RetireMailbox(m, usage))
			wantEqual(h, "frames", value(tx.Frames(key(1), 0, 9, 1<<20)), encoded(m, 0, messages[1:]))
			h.must(tx.DeleteSession(key(1)))
			wantEqual(h, "unreferred logs", value(tx.RetiredLogs(0, 9)), []rendezvous.MailboxKey{m.Key})
			wantEqual(h, "all deleted by the first page", value(tx.DeleteRetiredLog(m.Key)), true)
			wantEqual(h, "left", len(value(tx.Messages(m.Key, 0, 9, 99))), 0)
		})
	}},
	{"a short log that no outbox refers to goes with its mailbox", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m, _ := h.log(tx, 3)
			h.must(tx.RetireMailbox(m, usage))
			wantEqual(h, "messages", value(tx.Messages(m.Key, 0, 9, 99)), nil)
			wantEqual(h, "retired logs", value(tx.RetiredLogs(0, 9)), nil)
		})
	}},
	{"a session that has ended is sent nothing", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m, _ := h.log(tx, 1)
			value(tx.SendMessages(key(1), m.Key, 1, 1))
			h.end(tx, key(1), at(1))
			_, err := tx.SendFrame(key(1), frame)
			h.wantNotFound("SendFrame", err)
			_, err = tx.SendMessages(key(1), m.Key, 1, 1)
			h.wantNotFound("SendMessages", err)
			wantEqual(h, "ledger", value(tx.Session(key(1))).Ledger, session.Ledger{Kept: 1, Next: 1})
			wantEqual(h, "frames", value(tx.Frames(key(1), 0, 9, 99)), nil)
		})
	}},
	{"a handshake loads the sessions that exist, in any state", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, key(1))
			h.session(tx, key(2))
			h.end(tx, key(2), at(1))
			h.must(tx.LockHandshake([]session.Key{key(3), key(1)}, app, s.Side))
			h.must(tx.LockHandshake([]session.Key{key(3)}, app, ""))
			found := value(tx.HandshakeSessions([]session.Key{key(2), key(3), key(1)}))
			wantEqual(h, "how many", len(found), 2)
			a, side, err := tx.SideOf(key(1))
			h.must(err)
			wantEqual(h, "app", a, app)
			wantEqual(h, "side", side, s.Side)
			_, _, err = tx.SideOf(key(3))
			h.wantNotFound("SideOf", err)
			h.must(tx.BeginEpoch(key(1), 2))
			wantEqual(h, "epoch", value(tx.Session(key(1))).Epoch, 2)
		})
		h.wantFailure("an epoch again", func(tx rendezvous.Tx) error { return tx.BeginEpoch(key(1), 2) })
	}},
}
