package rendezvous

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"restante/session"
)

// txn is the transaction of one use case: what it loads and saves, which session acts, and the frames
// it publishes.
type txn struct {
	Tx
	s           *Service
	began       time.Time       // before the transaction, in local time
	at          time.Time       // what Now returns; zero until something asks for it
	caller      context.Context // of an update; only observers are told
	address     string          // from which the request came, if it is known
	actor       *Session        // the session that acts; nil for a side without a session
	stored      Session         // the acting session as it is stored
	wasDetached bool            // the acting session was detached before this request
	acked       session.Seq     // what the request acknowledges
	renews      bool            // the request brings a new token, so the session may be without a valid one
	outgoing    []outgoing
	endings     []ending
	place       *place // of the session that a handshake begins
	makesWay    bool   // a session ends with the transaction
	topics      []Topic
	charged     int64        // bytes that this transaction counted for the address
	storedSums  *storedBytes // read by this transaction; nil if the service knows them
}

// outgoing is on its way to a session: a frame, or messages of a log.
type outgoing struct {
	to    session.Key
	of    MailboxID
	frame Frame // nil for messages
	run   run
}

// run is messages of a mailbox's log, which an outbox refers to.
type run struct {
	key      MailboxKey
	first    Position
	count    int64
	messages []Message // the same, if this transaction added them
}

// ending is a session that ends with the transaction.
type ending struct {
	of  session.Key
	why session.Reason
}

// newTxn returns the transaction of a use case that began after the given local time.
func (s *Service) newTxn(tx Tx, began time.Time) *txn {
	return &txn{Tx: tx, s: s, began: began}
}

// Now returns the transaction's time. A use case asks for it after it has read something, if it can: then the storage
// need not tell it apart. If the storage fails, it is the time as far as this process knows it, and the transaction fails.
func (t *txn) Now() time.Time {
	if !t.at.IsZero() {
		return t.at
	}
	now := t.Tx.Now()
	if now.IsZero() {
		return t.s.now()
	}
	t.s.measure(now, t.began)
	t.at = now
	return now
}

// attach loads the session that acts. Its request is a sign of life, whatever it asks for.
func (t *txn) attach(k session.Key) (session.Attached, error) {
	stored, err := t.Session(k)
	if errors.Is(err, ErrNotFound) {
		return session.Attached{}, unknownSession()
	}
	if err != nil {
		return session.Attached{}, err
	}
	attached, wasDetached, err := t.s.attached(stored, t.Now())
	if err == nil && !t.renews {
		err = t.s.checkToken(attached.Token, t.Now())
	}
	if err != nil {
		return attached, err
	}
	t.act(stored, attached, wasDetached)
	return attached, nil
}

// act makes a session the one that acts.
func (t *txn) act(stored Session, attached session.Attached, wasDetached bool) {
	t.stored = stored
	stored.Record = attached.Record()
	t.actor, t.wasDetached = &stored, wasDetached
}

// attachAcking is attach for a request that may acknowledge frames. It refuses an acknowledgement of
// frames that were never sent, and one that goes with an epoch that was never given.
func (t *txn) attachAcking(k session.Key, ack *session.Seq, epoch *session.Epoch) (session.Attached, error) {
	attached, err := t.attach(k)
	if err != nil || ack == nil {
		return attached, err
	}
	if epoch != nil && *epoch > attached.Epoch {
		return attached, futureEpoch(*epoch, attached.Epoch)
	}
	if _, err := attached.Acknowledge(*ack); err != nil {
		return attached, refuse(SessionStateMismatch, "%v", err)
	}
	if isCurrent(epoch, attached.Epoch) {
		t.acked = *ack
	}
	return attached, nil
}

func futureEpoch(named, current session.Epoch) *Failure {
	return refuse(SessionStateMismatch, "epoch %d has not begun; the current one is %d", named, current)
}

// attached returns a stored session whose client has just given a sign of life. It fails if the
// session has ended.
func (s *Service) attached(stored Session, now time.Time) (_ session.Attached, wasDetached bool, err error) {
	s.presence.Stored(stored.Key, stored.Seen) // another process may have stored it
	return comeBack(s.state(stored, now), now)
}

// comeBack returns a session in that state after its client has just given a sign of life. It fails if the session has
// ended.
func comeBack(state session.State, now time.Time) (_ session.Attached, wasDetached bool, err error) {
	switch state := state.(type) {
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
		return unknownSession() // it did nothing and leaves no tombstone, whether it is pruned yet or not
	}
	why := string(c.Reason)
	if c.Text != "" {
		why += ": " + c.Text
	}
	f := refuse(SessionEnded, "this session ended (%s); begin a new one. Commands below %d had been received", why, c.Ledger.Wanted)
	f.Ended = &c
	return f
}

// publish sends frames to every session subscribed to the mailbox, except the acting one, whose reply
// says the same. It wakes the followers of the mailbox's log.
func (t *txn) publish(m Mailbox, frames ...Frame) error {
	return t.eachSubscriber(m, func(to session.Key) {
		for _, f := range frames {
			t.outgoing = append(t.outgoing, outgoing{to: to, of: m.ID, frame: f})
		}
	})
}

// publishMessages does the same for messages that were added to the mailbox's log.
func (t *txn) publishMessages(m Mailbox, added []Message) error {
	return t.eachSubscriber(m, func(to session.Key) {
		t.outgoing = append(t.outgoing, outgoing{to: to, of: m.ID, run: run{m.Key, added[0].Position, int64(len(added)), added}})
	})
}

// eachSubscriber calls send for every session subscribed to the mailbox, except the acting one, and
// wakes the followers of the mailbox's log.
func (t *txn) eachSubscriber(m Mailbox, send func(to session.Key)) error {
	subscribers, err := t.Subscribers(m.Key)
	if err != nil {
		return err
	}
	for _, sub := range subscribers {
		if t.actor == nil || sub.Key != t.actor.Key {
			send(sub.Key)
		}
	}
	t.wake(Topic{Mailbox: m.Key})
	return nil
}

// wakeSession wakes the receiver of a session in which something else has changed than its frames.
func (t *txn) wakeSession(k session.Key) {
	t.AfterCommit(func() { t.s.outboxes.Invalidate(k) })
	t.wake(Topic{Session: k})
}

func (t *txn) wake(topic Topic) {
	if !slices.Contains(t.topics, topic) {
		t.topics = append(t.topics, topic)
	}
}

// end ends a session with this transaction. The session leaves a tombstone if it ever did something.
func (t *txn) end(of session.Key, why session.Reason) {
	if !slices.ContainsFunc(t.endings, func(e ending) bool { return e.of == of }) {
		t.endings = append(t.endings, ending{of, why})
	}
}

// deliver numbers the published frames. Outboxes are locked last, and in the order of their keys, so
// that no two transactions can wait for each other.
func (t *txn) deliver() error {
	slices.SortStableFunc(t.outgoing, func(a, b outgoing) int { return bytes.Compare(a.to[:], b.to[:]) })
	for _, o := range t.outgoing {
		send := t.sendFrame
		if o.frame == nil {
			send = t.sendMessages
		}
		if err := send(o); err != nil && !errors.Is(err, ErrNotFound) { // the session ended since its subscription was read
			return err
		}
	}
	for _, e := range t.endings {
		stored, err := t.IdleSession(e.of)
		if errors.Is(err, ErrNotFound) {
			continue // it is acting: the next frame sent to it finds it just as full
		}
		if err != nil {
			return err
		}
		closed := t.closed(stored, e.why)
		if err := t.writeTombstone(stored, closed); err != nil {
			return err
		}
		if closed.Reason == session.Overflow {
			t.AfterCommit(func() { t.s.stats.Overflowed.Add(1) })
			t.keepMailboxesLater(stored)
		}
		t.wakeSession(e.of)
	}
	if len(t.topics) > 0 {
		t.AfterCommit(func() { t.s.announce(t.topics) })
	}
	return nil
}

func (t *txn) sendFrame(o outgoing) error {
	var numbered numberedFrame
	backlog, err := t.SendFrame(o.to, func(n session.Seq) []byte {
		numbered = numberedFrame{n, Encode(o.frame, o.of, n)}
		return numbered.payload
	})
	if err != nil {
		return err
	}
	if exceedsWindow(backlog, t.s.Config.Limits, 1) {
		t.wakeSession(o.to) // its receiver is to find out
	} else {
		t.AfterCommit(func() { t.s.outboxes.Append(o.to, numbered) })
		t.wake(Topic{Session: o.to})
	}
	if exceedsWindow(backlog, t.s.Config.Limits, 2) {
		t.end(o.to, session.Overflow)
	}
	return nil
}

// sendMessages sends messages, which cost the session nothing: their log holds them anyway.
func (t *txn) sendMessages(o outgoing) error {
	first, err := t.SendMessages(o.to, o.run.key, o.run.first, o.run.count)
	if err != nil {
		return err
	}
	t.wake(Topic{Session: o.to})
	t.AfterCommit(func() {
		if _, _, known := t.s.outboxes.Last(o.to); !known || o.run.messages == nil {
			t.s.outboxes.Invalidate(o.to) // a read that is under way may have missed these
			return
		}
		numbered := make([]numberedFrame, len(o.run.messages))
		for i, m := range o.run.messages {
			n := first + session.Seq(i)
			numbered[i] = numberedFrame{n, Encode(MessageFrame{m}, o.of, n)}
		}
		t.s.outboxes.Append(o.to, numbered...)
	})
	return nil
}

// exceedsWindow reports whether a backlog fills the window so many times over.
func exceedsWindow(b Backlog, l Limits, times int64) bool {
	return b.Frames >= times*l.WindowFrames || b.Bytes >= times*l.WindowBytes
}

// Topic is what a waiting request wants news of: a session's outbox or a mailbox's log.
type Topic struct {
	Session session.Key
	Mailbox MailboxKey // 0 if the topic is a session's
}

// announce wakes the readers of topics, on this process and on others.
func (s *Service) announce(topics []Topic) {
	s.hub.Wake(topics...)
	if s.Announce != nil {
		s.stats.Announced.Add(int64(len(topics)))
		s.Announce(topics)
	}
}

// Wake wakes the readers that wait on this process, because another process had news of topics.
func (s *Service) Wake(topics []Topic) {
	s.stats.Heard.Add(int64(len(topics)))
	for _, topic := range topics {
		s.logs.Invalidate(topic.Mailbox)
		s.outboxes.Invalidate(topic.Session)
		if topic == watchedTopic {
			s.watchNews.Set()
		}
	}
	s.hub.Wake(topics...)
}

// WakeIf is [Service.Wake] for every topic for which match returns true: for example for all of them,
// when news from other processes may have been missed.
func (s *Service) WakeIf(match func(Topic) bool) {
	if match(watchedTopic) {
		s.watchNews.Set()
	}
	s.logs.InvalidateAll()
	s.outboxes.InvalidateAll()
	s.hub.WakeIf(match)
}
