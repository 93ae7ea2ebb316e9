package repotest

import (
	"time"

	"restante/rendezvous"
	"restante/session"
)

// watched stores a mailbox whose sides, all open, are watched.
func (h *harness) watched(tx rendezvous.Tx, sides ...rendezvous.Side) rendezvous.Mailbox {
	h.Helper()
	m := h.mailbox(tx, sides...).Watch(at(5))
	h.must(tx.UpdateMailbox(m))
	return m
}

// attendances are the tests of what sides are told of each other.
var attendances = []testCase{
	{"what a session wants is added up", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m := h.mailbox(tx, "side")
			presence, both := rendezvous.Watch{Presence: true}, rendezvous.Watch{Presence: true, Receipts: true}
			for _, step := range []struct {
				wants, asked rendezvous.Watch
				fresh        bool
			}{
				{presence, presence, true},
				{rendezvous.Watch{}, rendezvous.Watch{}, false},
				{presence, rendezvous.Watch{}, false},
				{both, rendezvous.Watch{Receipts: true}, false},
				{both, rendezvous.Watch{}, false},
			} {
				fresh, asked, err := tx.Subscribe(key(1), m.Key, step.wants)
				h.must(err)
				wantEqual(h, "new", fresh, step.fresh)
				wantEqual(h, "asked", asked, step.asked)
			}
			subscribers := value(tx.Subscribers(m.Key))
			if len(subscribers) != 1 || subscribers[0].Watch != both {
				h.Errorf("the subscribers are %+v", subscribers)
			}
		})
	}},
	{"a mailbox keeps what its sides were told", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.watched(tx, "a", "b")
			m, _ = m.Attend("a", rendezvous.Silent)
			m, _ = m.Receive("b", 3)
			m, _ = m.TellCrowded(at(100_000))
			m.ReceivedTold = at(7)
			h.must(tx.UpdateMailbox(m))
			wantEqual(h, "mailbox", value(tx.MailboxByKey(m.Key)), m)
			h.must(tx.UpdateMailbox(m.Extend(time.Hour)))
			wantEqual(h, "sides", value(tx.MailboxByKey(m.Key)).Sides, m.Sides)
		})
	}},
	{"watched mailboxes are listed in the order of their keys", func(h *harness) {
		var first, second, third rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			first, _ = h.watched(tx, "a", "b"), h.mailbox(tx, "a")
			second, third = h.watched(tx), h.watched(tx, "c")
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "all", value(tx.WatchedMailboxes(0, 9)), []rendezvous.MailboxKey{first.Key, second.Key, third.Key})
			wantEqual(h, "a page", value(tx.WatchedMailboxes(first.Key, 1)), []rendezvous.MailboxKey{second.Key})
			wantEqual(h, "none", value(tx.WatchedMailboxes(third.Key, 9)), nil)
			wantEqual(h, "all of them", value(tx.WatchedIn(first.Key, third.Key)), []rendezvous.Mailbox{first, second, third})
			wantEqual(h, "some of them", value(tx.WatchedIn(second.Key, third.Key)), []rendezvous.Mailbox{second, third})
		})
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.RetireMailbox(second, rendezvous.Usage{App: app, Result: rendezvous.ResultHappy}))
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "without a retired one", value(tx.WatchedMailboxes(0, 9)), []rendezvous.MailboxKey{first.Key, third.Key})
			wantEqual(h, "those without it", value(tx.WatchedIn(first.Key, third.Key)), []rendezvous.Mailbox{first, third})
		})
	}},
	{"the owner of a watched side is the session that began last", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for n, side := range map[byte]rendezvous.Side{1: "a", 2: "b", 3: "not watched"} {
				h.must(tx.CreateSession(newSession(key(n), side), at(0)))
			}
			h.end(tx, key(1), at(1))
			m, other := h.watched(tx, "a", "b", "never had one"), h.watched(tx, "b")
			h.mailbox(tx, "not watched")
			sidesOf := func(sessions []rendezvous.Session) (sides []rendezvous.Side) {
				for _, s := range sessions {
					sides = append(sides, s.Side)
				}
				return sides
			}
			owners := value(tx.OwnersIn(m.Key, other.Key))
			wantEqual(h, "sides, each once", sidesOf(owners), []rendezvous.Side{"a", "b"})
			wantEqual(h, "ended", owners[0].Ended != nil, true)
			wantEqual(h, "of one", sidesOf(value(tx.OwnersIn(other.Key, other.Key))), []rendezvous.Side{"b"})
			h.must(tx.CreateSession(newSession(key(9), "a"), at(0)))
			owners = value(tx.OwnersIn(m.Key, m.Key))
			wantEqual(h, "the new one", owners[len(owners)-1].Key, key(9))
			left, _ := m.Close("a", rendezvous.Happy, at(9))
			h.must(tx.UpdateMailbox(left))
			wantEqual(h, "of those that are in", sidesOf(value(tx.OwnersIn(m.Key, m.Key))), []rendezvous.Side{"b"})
		})
	}},
	{"progress is the first message that is not acknowledged", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			h.session(tx, key(2))
			m, other := h.watched(tx, "side"), h.watched(tx, "side")
			for range 5 {
				m, other = h.add(tx, m, "body"), h.add(tx, other, "body")
			}
			h.subscribe(tx, key(1), m.Key)
			h.subscribe(tx, key(1), other.Key)
			h.subscribe(tx, key(2), m.Key)
			value(tx.SendMessages(key(1), m.Key, 1, 3))     // 0 to 2
			value(tx.SendFrame(key(1), frame))              // 3
			value(tx.SendMessages(key(1), other.Key, 2, 2)) // 4 and 5
			value(tx.SendMessages(key(1), m.Key, 5, 1))     // 6
			for _, step := range []struct {
				kept       session.Seq
				next, also rendezvous.Position
			}{{0, 1, 2}, {2, 3, 2}, {3, 5, 2}, {5, 5, 3}, {6, 5, 0}, {7, 0, 0}} {
				wantEqual(h, "from later on", value(tx.Unacknowledged(m.Key, key(1), step.kept)), step.next)
				h.must(tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: step.kept}))
				side := value(tx.Session(key(1))).Side
				progress := value(tx.Progress(m.Key))
				wantEqual(h, "progress", progress[0], rendezvous.Progress{Session: key(1), Side: side, Kept: step.kept, Next: step.next})
				wantEqual(h, "from there on", value(tx.Unacknowledged(m.Key, key(1), step.kept)), step.next)
				wantEqual(h, "of another mailbox from there on", value(tx.Unacknowledged(other.Key, key(1), step.kept)), step.also)
				wantEqual(h, "of another session", progress[1].Next, 0)
				wantEqual(h, "of another mailbox", value(tx.Progress(other.Key))[0].Next, step.also)
				wantEqual(h, "to examine", value(tx.MailboxesToExamine(m.Key, other.Key)), []rendezvous.MailboxKey{m.Key, other.Key})
				for _, p := range progress {
					h.must(tx.Examined(m.Key, p.Session, p.Kept))
				}
				wantEqual(h, "examined", value(tx.MailboxesToExamine(m.Key, other.Key)), []rendezvous.MailboxKey{other.Key})
			}
			h.must(tx.Examined(m.Key, key(1), 2)) // never goes back
			wantEqual(h, "still examined", value(tx.MailboxesToExamine(m.Key, m.Key)), nil)
		})
	}},
}
