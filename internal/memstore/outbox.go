package memstore

import (
	"bytes"
	"errors"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// Subscribe subscribes a session to a mailbox.
func (t *tx) Subscribe(k session.Key, key rendezvous.MailboxKey, wants rendezvous.Watch) (fresh bool, asked rendezvous.Watch, err error) {
	if err := t.change(); err != nil {
		return false, asked, err
	}
	if _, err := t.session(k); err != nil {
		return false, asked, t.fail(errNoSuch)
	}
	if _, found := t.mailboxes.get(key); !found {
		return false, asked, t.fail(errNoSuch)
	}
	m, err := t.editMailbox(key)
	if err != nil {
		return false, asked, err
	}
	i, found := slices.BinarySearchFunc(m.subscribers, k, func(s subscriber, k session.Key) int { return bytes.Compare(s.key[:], k[:]) })
	m.subscribers = slices.Clone(m.subscribers)
	if !found {
		m.subscribers = slices.Insert(m.subscribers, i, subscriber{key: k, watch: wants, examined: -1})
		return true, wants, nil
	}
	had := &m.subscribers[i].watch
	asked = rendezvous.Watch{Presence: wants.Presence && !had.Presence, Receipts: wants.Receipts && !had.Receipts}
	had.Presence, had.Receipts = had.Presence || wants.Presence, had.Receipts || wants.Receipts
	return false, asked, nil
}

// Unsubscribe ends a subscription.
func (t *tx) Unsubscribe(k session.Key, key rendezvous.MailboxKey) error {
	if err := t.change(); err != nil {
		return err
	}
	m, found := t.mailboxes.get(key)
	if !found || !slices.ContainsFunc(m.subscribers, func(s subscriber) bool { return s.key == k }) {
		return nil
	}
	m, err := t.editMailbox(key)
	if err == nil {
		m.subscribers = slices.DeleteFunc(slices.Clone(m.subscribers), func(s subscriber) bool { return s.key == k })
	}
	return err
}

// Subscribers returns the sessions that subscribe to a mailbox.
func (t *tx) Subscribers(key rendezvous.MailboxKey) ([]rendezvous.Subscriber, error) {
	m, found := t.mailboxes.get(key)
	if !found {
		return nil, nil
	}
	list := make([]rendezvous.Subscriber, 0, len(m.subscribers))
	for _, s := range m.subscribers {
		r, err := t.session(s.key)
		if err != nil {
			return nil, err
		}
		list = append(list, rendezvous.Subscriber{Key: s.key, Side: r.Side, Watch: s.watch})
	}
	return list, nil
}

// liveOutbox returns the row of a session that takes frames, to change it.
func (t *tx) liveOutbox(k session.Key) (*sessionRow, error) {
	r, err := t.editSession(k)
	if err == nil && !r.live {
		err = rendezvous.ErrNotFound
	}
	return r, err
}

// SendFrame appends a frame.
func (t *tx) SendFrame(k session.Key, encode func(session.Seq) []byte) (rendezvous.Backlog, error) {
	r, err := t.liveOutbox(k)
	if err != nil {
		return rendezvous.Backlog{}, err
	}
	payload := encode(r.Next)
	r.outbox = append(r.outbox, entry{seq: r.Next, count: 1, payload: payload})
	r.Next++
	r.backlog.Frames++
	r.backlog.Bytes += int64(len(payload))
	return r.backlog, nil
}

// SendMessages appends messages of a log. A run that goes on where the last one ends makes that one longer.
func (t *tx) SendMessages(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (session.Seq, error) {
	r, err := t.liveOutbox(k)
	if err != nil {
		return 0, err
	}
	n := r.Next
	r.Next += session.Seq(count)
	if last := len(r.outbox) - 1; last >= 0 {
		if e := r.outbox[last]; e.mailbox == m && e.first+rendezvous.Position(e.count) == first && e.end() == n {
			e.count += count
			r.outbox = append(slices.Clone(r.outbox[:last]), e)
			return n, nil
		}
	}
	r.outbox = append(r.outbox, entry{seq: n, count: count, mailbox: m, first: first})
	return n, nil
}

// Frames returns frames as they are sent.
func (t *tx) Frames(k session.Key, from session.Seq, count int, size int64) (frames [][]byte, _ error) {
	r, found := t.sessions.get(k)
	if !found {
		return nil, nil
	}
	full := false
	add := func(frame []byte) {
		if size -= int64(len(frame)); size < 0 && len(frames) > 0 {
			full = true
			return
		}
		frames = append(frames, frame)
		full = size <= 0 || len(frames) == count
	}
	for _, e := range r.outbox {
		if full {
			break
		}
		if e.end() <= from {
			continue
		}
		if e.mailbox == 0 {
			add(e.payload)
			continue
		}
		log, found := t.logs.get(e.mailbox)
		if !found {
			return nil, errors.New("an outbox refers to a log that is gone")
		}
		for n := max(e.seq, from); n < e.end() && !full; n++ {
			message, found := log.message(e.first + rendezvous.Position(n-e.seq))
			if !found {
				return nil, errors.New("an outbox refers to a message that is gone")
			}
			add(rendezvous.Encode(rendezvous.MessageFrame{Message: message}, log.id, n))
		}
	}
	return frames, nil
}

// Backlog returns what is stored for a session alone.
func (t *tx) Backlog(k session.Key) (rendezvous.Backlog, error) {
	r, err := t.session(k)
	if err != nil {
		return rendezvous.Backlog{}, err
	}
	return r.backlog, nil
}

// BeginEpoch stores the epoch of a session that was resumed.
func (t *tx) BeginEpoch(k session.Key, epoch session.Epoch) error {
	r, err := t.editSession(k)
	if err == nil && epoch <= r.Epoch {
		err = rendezvous.ErrNotFound
	}
	if err == nil {
		r.Epoch = epoch
	}
	return err
}

// Acknowledge forgets the frames that are acknowledged.
func (t *tx) Acknowledge(acks ...session.Ack) error {
	if err := t.change(); err != nil {
		return err
	}
	for _, a := range acks {
		if r, err := t.session(a.Session); err != nil || r.Epoch != a.Epoch || r.Kept >= a.UpTo || r.Next < a.UpTo {
			continue
		}
		r, err := t.editSession(a.Session)
		if err != nil {
			return err
		}
		r.Kept = a.UpTo
		for len(r.outbox) > 0 && r.outbox[0].end() <= a.UpTo {
			if e := r.outbox[0]; e.mailbox == 0 {
				r.backlog.Frames--
				r.backlog.Bytes -= int64(len(e.payload))
			}
			r.outbox = r.outbox[1:]
		}
	}
	return nil
}
