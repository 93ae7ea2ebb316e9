package repotest

import (
	"fmt"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

// replyTo returns the reply that the tests give to command n.
func replyTo(n session.Seq) rendezvous.Reply {
	return rendezvous.Reply{Fingerprint: [32]byte{byte(n), 31: 7}, Outcome: fmt.Appendf(nil, "outcome %d", n)}
}

// addAs adds a message as command n of a session.
func (h *harness) addAs(tx rendezvous.Tx, k session.Key, m rendezvous.Mailbox, n session.Seq) rendezvous.Mailbox {
	h.Helper()
	m = h.add(tx, m, fmt.Sprintf("message of command %d", n))
	h.must(tx.Complete(k, n, replyTo(n)))
	return m
}

var replies = []testCase{
	{"the reply to a command that added a message is kept like any other", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, key(1))
			m, n := h.mailbox(tx, s.Side), h.mailbox(tx, s.Side)
			m = h.addAs(tx, key(1), m, 0)
			n = h.addAs(tx, key(1), n, 1)
			h.must(tx.Complete(key(1), 2, replyTo(2)))
			m = h.addAs(tx, key(1), m, 3)
			for i := range session.Seq(4) {
				wantEqual(h, "reply", value(tx.Reply(key(1), i)), replyTo(i))
			}
			_, err := tx.Reply(key(1), 4)
			h.wantNotFound("the next one", err)
			messages := value(tx.Messages(m.Key, 0, 9, 1<<20))
			wantEqual(h, "messages", len(messages), 2)
			wantEqual(h, "body", messages[1].Body, "message of command 3")

			h.must(tx.RetireMailbox(m, rendezvous.Usage{App: app, Result: rendezvous.ResultHappy}))
			h.addAs(tx, key(1), n, 4)
			for i := range session.Seq(5) {
				wantEqual(h, "reply after the mailbox", value(tx.Reply(key(1), i)), replyTo(i))
			}
			h.end(tx, key(1), at(1))
			_, err = tx.Reply(key(1), 4)
			h.wantNotFound("of a session that ended", err)
		})
	}},
	{"a message is kept of a transaction that does nothing afterwards, with a reply and without one", func(h *harness) {
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) { m = h.mailbox(tx, h.session(tx, key(1)).Side) })
		h.update(func(tx rendezvous.Tx) { m = h.add(tx, m, "first") })
		h.update(func(tx rendezvous.Tx) { m = h.addAs(tx, key(1), m, 0) })
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "messages", len(value(tx.Messages(m.Key, 0, 9, 1<<20))), 2)
			wantEqual(h, "reply", value(tx.Reply(key(1), 0)), replyTo(0))
		})
	}},
	{"two messages of one command have one reply", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, key(1))
			m := h.mailbox(tx, s.Side)
			h.addAs(tx, key(1), h.add(tx, m, "first"), 0)
			h.must(tx.Complete(key(1), 1, replyTo(1)))
			wantEqual(h, "reply", value(tx.Reply(key(1), 0)), replyTo(0))
			wantEqual(h, "the next one", value(tx.Reply(key(1), 1)), replyTo(1))
		})
	}},
	{"only the last window of them is kept, wherever they are", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, key(1))
			m := h.mailbox(tx, s.Side)
			const last = session.Window + 20
			for n := session.Seq(0); n <= last; n++ {
				m = h.addAs(tx, key(1), m, n)
			}
			kept := func(when string) {
				_, err := tx.Reply(key(1), last-session.Window)
				h.wantNotFound(when+": the last forgotten", err)
				for n := session.Seq(last - session.Window + 1); n <= last; n++ {
					wantEqual(h, when, value(tx.Reply(key(1), n)), replyTo(n))
				}
			}
			kept("with its mailbox")
			h.must(tx.RetireMailbox(m, rendezvous.Usage{App: app, Result: rendezvous.ResultHappy}))
			kept("without it")
		})
	}},
	{"each of the last replies is there, whatever was added, retired, ended and undone", func(h *harness) {
		h.forAllDrawn(func(t *rapid.T, h *harness) {
			m := newReplyModel(h)
			for i := range rapid.IntRange(1, 15).Draw(t, "transactions") {
				m.change(t)
				if i%4 == 0 {
					h.view(m.check)
				}
			}
			h.view(m.check)
		})
	}},
}

// replyModel is a session, the number of its next command, and two mailboxes that it is in.
type replyModel struct {
	*harness
	replyState
}

type replyState struct {
	wanted    session.Seq
	mailboxes [2]rendezvous.Mailbox
}

func newReplyModel(h *harness) *replyModel {
	m := &replyModel{harness: h}
	h.update(func(tx rendezvous.Tx) {
		h.must(tx.DeleteSession(key(1)))
		h.session(tx, key(1))
		for i := range m.mailboxes {
			m.mailboxes[i] = h.mailbox(tx, sideOf(key(1)))
		}
	})
	return m
}

// change does something several times in a transaction, which may be undone.
func (m *replyModel) change(t *rapid.T) {
	do := rapid.SampledFrom([]string{"add", "add", "add", "do", "do", "retire", "end"}).Draw(t, "do")
	in, times := rapid.IntRange(0, 1).Draw(t, "mailbox"), rapid.IntRange(1, 20).Draw(t, "times")
	undo := rapid.IntRange(0, 4).Draw(t, "undo") == 0
	before, after := m.replyState, replyState{}
	err := m.store.Update(m.Context(), func(tx rendezvous.Tx) error {
		after = before // it may run twice
		for range times {
			after = m.step(tx, after, do, in)
		}
		if undo {
			return rendezvous.ErrNotFound
		}
		return nil
	})
	if undo {
		m.wantNotFound("what is undone", err)
		return
	}
	m.must(err)
	m.replyState = after
}

func (m *replyModel) step(tx rendezvous.Tx, s replyState, do string, in int) replyState {
	switch do {
	case "add":
		s.mailboxes[in] = m.addAs(tx, key(1), s.mailboxes[in], s.wanted)
		s.wanted++
	case "do":
		m.must(tx.Complete(key(1), s.wanted, replyTo(s.wanted)))
		s.wanted++
	case "retire": // and open another one
		m.must(tx.RetireMailbox(s.mailboxes[in], rendezvous.Usage{App: app, Result: rendezvous.ResultHappy}))
		s.mailboxes[in] = m.mailbox(tx, sideOf(key(1)))
	case "end": // and begin another one with the same key
		m.end(tx, key(1), at(1))
		m.must(tx.DeleteSession(key(1)))
		m.session(tx, key(1))
		s.wanted = 0
	}
	return s
}

// check checks the reply to every command.
func (m *replyModel) check(tx rendezvous.Tx) {
	for n := max(0, m.wanted-session.Window-2); n <= m.wanted; n++ {
		reply, err := tx.Reply(key(1), n)
		if n < m.wanted-session.Window || n == m.wanted {
			m.wantNotFound(fmt.Sprintf("the reply to command %d before %d", n, m.wanted), err)
			continue
		}
		m.must(err)
		wantEqual(m.harness, "reply", reply, replyTo(n))
	}
}
