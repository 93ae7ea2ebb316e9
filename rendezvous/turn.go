package rendezvous

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"restante/session"
)

// turn is one use case's transaction: what it loads and saves, who acts, and
// the frames it will have sent.
type turn struct {
	Tx
	s           *Service
	now         time.Time
	me          *Session // who acts; nil when it is no session
	loaded      Session  // the same, as it is stored
	wasDetached bool     // before it acted
	posts       []post
	endings     []ending
	topics      []Topic
}

// post is a frame on its way to a session.
type post struct {
	to    session.Key
	of    MailboxID
	frame Frame
}

// ending is a session that ends with the transaction.
type ending struct {
	of  session.Key
	why session.Reason
}

func (s *Service) turn(tx Tx) *turn { return &turn{Tx: tx, s: s, now: tx.Now()} }

// attach loads the session that acts. Whatever it asks for is a sign of life.
func (t *turn) attach(k session.Key) (session.Attached, error) {
	stored, err := t.Session(k)
	if errors.Is(err, ErrNotFound) {
		return session.Attached{}, unknownSession()
	}
	if err != nil {
		return session.Attached{}, err
	}
	attached, wasDetached, err := t.s.attached(stored, t.now)
	if err != nil {
		return attached, err
	}
	t.loaded = stored
	stored.Record = attached.Record()
	t.me, t.wasDetached = &stored, wasDetached
	return attached, nil
}

// attached is a stored session whose client has just given a sign of life.
func (s *Service) attached(stored Session, now time.Time) (_ session.Attached, wasDetached bool, err error) {
	s.clients.wrote(stored.Key, stored.Seen) // another process may have
	switch state := s.state(stored, now).(type) {
	case session.Attached:
		return state, false, nil
	case session.Detached:
		return state.Resume(now), true, nil
	case session.Closed:
		return session.Attached{}, false, ended(state)
	}
	panic("unreachable: State is sealed")
}

func unknownSession() *Failure {
	return refuse(SessionUnknown, "no such session; begin a new one with POST /v1/sessions")
}

func ended(c session.Closed) *Failure {
	if !c.Used {
		return unknownSession() // it did nothing and left no tombstone, whether it is swept yet or not
	}
	f := refuse(SessionEnded, "this session ended (%s); begin a new one. Commands below %d had been received", c.Reason, c.Ledger.Wanted)
	f.Ended = &c
	return f
}

// publish sends frames to every session subscribed to the mailbox, except the
// one that acts: its reply tells it. Who follows the mailbox's log is woken.
func (t *turn) publish(m Mailbox, frames ...Frame) error {
	subscribers, err := t.Subscribers(m.Key)
	if err != nil {
		return err
	}
	for _, sub := range subscribers {
		if t.me != nil && sub.Key == t.me.Key {
			continue
		}
		for _, f := range frames {
			t.posts = append(t.posts, post{sub.Key, m.ID, f})
		}
	}
	t.wake(Topic{Mailbox: m.Key})
	return nil
}

// stir wakes who receives for a session of which something else has changed than its frames.
func (t *turn) stir(k session.Key) {
	t.AfterCommit(func() { t.s.outboxes.forget(k) })
	t.wake(Topic{Session: k})
}

func (t *turn) wake(topic Topic) {
	if !slices.Contains(t.topics, topic) {
		t.topics = append(t.topics, topic)
	}
}

// end has a session end with this transaction, leaving a tombstone if it ever did something.
func (t *turn) end(of session.Key, why session.Reason) {
	if !slices.ContainsFunc(t.endings, func(e ending) bool { return e.of == of }) {
		t.endings = append(t.endings, ending{of, why})
	}
}

// deliver numbers the posted frames. Outboxes are touched last, and in the order
// of their keys, so that no two transactions can wait for each other.
func (t *turn) deliver() error {
	slices.SortStableFunc(t.posts, func(a, b post) int { return bytes.Compare(a.to[:], b.to[:]) })
	for _, p := range t.posts {
		var one sent
		backlog, err := t.Send(p.to, func(n session.Seq) []byte {
			one = sent{n, Encode(p.frame, p.of, n)}
			return one.payload
		})
		if errors.Is(err, ErrNotFound) {
			continue // it was removed since its subscription was read
		}
		if err != nil {
			return err
		}
		if over(backlog, t.s.Config.Limits, 1) {
			t.stir(p.to) // its receiver is to find out
		} else {
			t.AfterCommit(func() { t.s.outboxes.put(p.to, one) })
			t.wake(Topic{Session: p.to})
		}
		if over(backlog, t.s.Config.Limits, 2) {
			t.end(p.to, session.Overflow)
		}
	}
	for _, e := range t.endings {
		stored, err := t.IdleSession(e.of)
		if errors.Is(err, ErrNotFound) {
			continue // it is acting: what is sent to it next finds it as full
		}
		if err != nil {
			return err
		}
		if err := t.bury(stored, t.closing(stored, e.why)); err != nil {
			return err
		}
		t.stir(e.of)
	}
	if len(t.topics) > 0 {
		t.AfterCommit(func() { t.s.announce(t.topics) })
	}
	return nil
}

// over tells whether a backlog fills the window so many times over.
func over(b Backlog, l Limits, times int64) bool {
	return b.Frames >= times*l.WindowFrames || b.Bytes >= times*l.WindowBytes
}

// bury puts a tombstone in a session's place, or nothing if it never did anything.
func (t *turn) bury(of Session, c session.Closed) error {
	if !c.Used {
		return t.DeleteSession(of.Key)
	}
	count, err := t.CountSessions(of.Address, true, t.s.Config.Limits.AddressSessions)
	if err != nil {
		return err
	}
	if count >= t.s.Config.Limits.AddressSessions {
		if err := t.forgetOldest(of.Address); err != nil {
			return err
		}
	}
	of.Record = c.Record()
	if err := t.UpdateSession(of, c.At.Add(t.s.Config.TombstoneTTL)); err != nil {
		return err
	}
	return t.EmptySession(of.Key)
}

// forgetOldest removes the tombstone that has stood longest.
func (t *turn) forgetOldest(address string) error {
	oldest, err := t.OldestTombstone(address)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.forget(oldest)
}

// forget removes a tombstone. If it is that of its side's owner, the side's older
// ones fall with it: else one of those would pass for the owner.
func (t *turn) forget(k session.Key) error {
	stored, err := t.Session(k)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, err := t.SideOwner(stored.App, stored.Side)
	for err == nil && owner.Key == k {
		if err = t.DeleteSession(k); err == nil {
			owner, err = t.SideOwner(stored.App, stored.Side)
			k = owner.Key
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return t.DeleteSession(k)
}
