package rendezvous

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"restante/session"
)

// txn is one use case's transaction: what it loads and saves, who acts, and
// the frames it will have sent.
type txn struct {
	Tx
	s           *Service
	now         time.Time
	actor       *Session // who acts; nil when it is no session
	stored      Session  // the same, as it is stored
	wasDetached bool     // before it acted
	outgoing    []outgoing
	endings     []ending
	topics      []Topic
}

// outgoing is a frame on its way to a session.
type outgoing struct {
	to    session.Key
	of    MailboxID
	frame Frame
}

// ending is a session that ends with the transaction.
type ending struct {
	of  session.Key
	why session.Reason
}

func (s *Service) newTxn(tx Tx) *txn { return &txn{Tx: tx, s: s, now: tx.Now()} }

// attach loads the session that acts. Whatever it asks for is a sign of life.
func (t *txn) attach(k session.Key) (session.Attached, error) {
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
	t.stored = stored
	stored.Record = attached.Record()
	t.actor, t.wasDetached = &stored, wasDetached
	return attached, nil
}

// attached is a stored session whose client has just given a sign of life.
func (s *Service) attached(stored Session, now time.Time) (_ session.Attached, wasDetached bool, err error) {
	s.presence.Stored(stored.Key, stored.Seen) // another process may have
	switch state := s.state(stored, now).(type) {
	case session.Attached:
		return state, false, nil
	case session.Detached:
		return state.Resume(now), true, nil
	case session.Closed:
		return session.Attached{}, false, sessionEnded(state)
	}
	panic("unreachable: State is sealed")
}

func unknownSession() *Failure {
	return refuse(SessionUnknown, "no such session; begin a new one with POST /v1/sessions")
}

func sessionEnded(c session.Closed) *Failure {
	if !c.Used {
		return unknownSession() // it did nothing and left no tombstone, whether it is swept yet or not
	}
	f := refuse(SessionEnded, "this session ended (%s); begin a new one. Commands below %d had been received", c.Reason, c.Ledger.Wanted)
	f.Ended = &c
	return f
}

// publish sends frames to every session subscribed to the mailbox, except the
// one that acts: its reply tells it. Who follows the mailbox's log is woken.
func (t *txn) publish(m Mailbox, frames ...Frame) error {
	subscribers, err := t.Subscribers(m.Key)
	if err != nil {
		return err
	}
	for _, sub := range subscribers {
		if t.actor != nil && sub.Key == t.actor.Key {
			continue
		}
		for _, f := range frames {
			t.outgoing = append(t.outgoing, outgoing{sub.Key, m.ID, f})
		}
	}
	t.wake(Topic{Mailbox: m.Key})
	return nil
}

// wakeSession wakes who receives for a session of which something else has changed than its frames.
func (t *txn) wakeSession(k session.Key) {
	t.AfterCommit(func() { t.s.outboxes.Invalidate(k) })
	t.wake(Topic{Session: k})
}

func (t *txn) wake(topic Topic) {
	if !slices.Contains(t.topics, topic) {
		t.topics = append(t.topics, topic)
	}
}

// end has a session end with this transaction, leaving a tombstone if it ever did something.
func (t *txn) end(of session.Key, why session.Reason) {
	if !slices.ContainsFunc(t.endings, func(e ending) bool { return e.of == of }) {
		t.endings = append(t.endings, ending{of, why})
	}
}

// deliver numbers the posted frames. Outboxes are touched last, and in the order
// of their keys, so that no two transactions can wait for each other.
func (t *txn) deliver() error {
	slices.SortStableFunc(t.outgoing, func(a, b outgoing) int { return bytes.Compare(a.to[:], b.to[:]) })
	for _, p := range t.outgoing {
		var one numberedFrame
		backlog, err := t.Send(p.to, func(n session.Seq) []byte {
			one = numberedFrame{n, Encode(p.frame, p.of, n)}
			return one.payload
		})
		if errors.Is(err, ErrNotFound) {
			continue // it was removed since its subscription was read
		}
		if err != nil {
			return err
		}
		if exceedsWindow(backlog, t.s.Config.Limits, 1) {
			t.wakeSession(p.to) // its receiver is to find out
		} else {
			t.AfterCommit(func() { t.s.outboxes.Append(p.to, one) })
			t.wake(Topic{Session: p.to})
		}
		if exceedsWindow(backlog, t.s.Config.Limits, 2) {
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
		if err := t.writeTombstone(stored, t.closed(stored, e.why)); err != nil {
			return err
		}
		t.wakeSession(e.of)
	}
	if len(t.topics) > 0 {
		t.AfterCommit(func() { t.s.announce(t.topics) })
	}
	return nil
}

// exceedsWindow tells whether a backlog fills the window so many times exceedsWindow.
func exceedsWindow(b Backlog, l Limits, times int64) bool {
	return b.Frames >= times*l.WindowFrames || b.Bytes >= times*l.WindowBytes
}

// writeTombstone puts a tombstone in a session's place, or nothing if it never did anything.
func (t *txn) writeTombstone(of Session, c session.Closed) error {
	if !c.Used {
		return t.DeleteSession(of.Key)
	}
	count, err := t.CountSessions(of.Address, true, t.s.Config.Limits.AddressSessions)
	if err != nil {
		return err
	}
	if count >= t.s.Config.Limits.AddressSessions {
		if err := t.removeOldestTombstone(of.Address); err != nil {
			return err
		}
	}
	of.Record = c.Record()
	if err := t.UpdateSession(of, c.At.Add(t.s.Config.TombstoneTTL)); err != nil {
		return err
	}
	return t.EmptySession(of.Key)
}

// removeOldestTombstone removes the tombstone that has stood longest.
func (t *txn) removeOldestTombstone(address string) error {
	oldest, err := t.OldestTombstone(address)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.removeTombstone(oldest)
}

// removeTombstone removes a tombstone. If it is that of its side's owner, the side's older
// ones fall with it: else one of those would pass for the owner.
func (t *txn) removeTombstone(k session.Key) error {
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
