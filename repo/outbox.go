package repo

import (
	"bytes"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// watchRow is what a session wants to be told of the other side of a mailbox.
type watchRow struct{ Presence, Receipts flag }

const (
	insertSubscription = `
		INSERT INTO subscriptions (mailbox, session, presence, receipts) VALUES (?, ?, ?, ?)
		ON CONFLICT (mailbox, session) DO NOTHING`
	updateSubscription = `
		UPDATE subscriptions SET presence = ?, receipts = ?
		WHERE mailbox = ? AND session = ?`
	deleteSubscription = `DELETE FROM subscriptions WHERE mailbox = ? AND session = ?`
)

// Subscribe subscribes the session to the mailbox. It reports whether the subscription is new, and what the session
// wants for the first time.
func (t *tx) Subscribe(k session.Key, m rendezvous.MailboxKey, wants rendezvous.Watch) (fresh bool, asked rendezvous.Watch, err error) {
	defer annotate(&err, "subscribing session %s to mailbox %d", k, m)
	t.forgetUnsubscribed(m)
	t.conn.remembered.forgetSubscribers(m)
	n, err := t.exec(insertSubscription, m, digest(k), flag(wants.Presence), flag(wants.Receipts))
	if err != nil || n > 0 {
		return n > 0, wants, err
	}
	if wants == (rendezvous.Watch{}) {
		return false, wants, nil
	}
	had, err := queryOne[watchRow](t, `SELECT presence, receipts FROM subscriptions WHERE mailbox = ? AND session = ?`, m, digest(k))
	if err != nil {
		return false, asked, err
	}
	asked = rendezvous.Watch{Presence: wants.Presence && !bool(had.Presence), Receipts: wants.Receipts && !bool(had.Receipts)}
	if asked == (rendezvous.Watch{}) {
		return false, asked, nil
	}
	err = t.change(updateSubscription,
		had.Presence || flag(wants.Presence), had.Receipts || flag(wants.Receipts), m, digest(k))
	return false, asked, err
}

// Unsubscribe ends a subscription, if there is one.
func (t *tx) Unsubscribe(k session.Key, m rendezvous.MailboxKey) (err error) {
	defer annotate(&err, "unsubscribing session %s from mailbox %d", k, m)
	t.conn.remembered.forgetSubscribers(m)
	return t.change(deleteSubscription, m, digest(k))
}

// Subscribers returns the sessions that are subscribed to a mailbox, in the order of their keys:
// at most one for each of its sides.
func (t *tx) Subscribers(m rendezvous.MailboxKey) (_ []rendezvous.Subscriber, err error) {
	defer annotate(&err, "listing the subscribers of mailbox %d", m)
	if t.isUnsubscribed(m) {
		return nil, nil
	}
	if list, known := t.conn.remembered.subscribersOf(m); known {
		return list, t.failed
	}
	list, err := t.subscribers(m)
	if err == nil {
		t.conn.remembered.putSubscribers(m, list)
	}
	return list, err
}

// subscribers reads the sessions that are subscribed to a mailbox.
func (t *tx) subscribers(m rendezvous.MailboxKey) ([]rendezvous.Subscriber, error) {
	type row struct {
		Key  digest
		Side rendezvous.Side
		watchRow
	}
	var rows []row
	err := t.besideMessages(func() (err error) {
		rows, err = queryAll[row](t, `
			SELECT s.key, s.side, u.presence, u.receipts
			FROM subscriptions AS u
			JOIN sessions AS s ON s.key = u.session
			WHERE u.mailbox = ?
			ORDER BY u.session`, m)
		return err
	})
	return mapSlice(rows, func(r row) rendezvous.Subscriber {
		return rendezvous.Subscriber{Key: session.Key(r.Key), Side: r.Side, Watch: rendezvous.Watch{Presence: bool(r.Presence), Receipts: bool(r.Receipts)}}
	}), err
}

// numberedRow is what an outbox's row says after frames were numbered.
type numberedRow struct {
	Seq    session.Seq // the first of them
	Frames int64
	Bytes  int64
}

func (r numberedRow) backlog() rendezvous.Backlog {
	return rendezvous.Backlog{Frames: r.Frames, Bytes: r.Bytes}
}

const (
	numberFrame = `
		UPDATE outboxes SET next = next + 1, frames = frames + 1, bytes = bytes + ? + LENGTH(CAST(next AS TEXT))
		WHERE session = ? AND live = 1
		RETURNING next - 1 AS seq, frames, bytes`
	numberMessages = `
		UPDATE outboxes SET next = next + ?
		WHERE session = ? AND live = 1
		RETURNING next - ? AS seq, frames, bytes`
	numberMessagesFrom = `UPDATE outboxes SET next = ? WHERE session = ? AND live = 1 AND next = ?`
	beginEpoch         = `UPDATE outboxes SET epoch = ? WHERE session = ? AND epoch < ?`
	acknowledge        = `
		UPDATE outboxes
		SET kept = ?,
		    frames = frames - (SELECT COUNT(payload) FROM outbox_entries AS e WHERE e.session = outboxes.session AND e.seq < ?),
		    bytes = bytes - (
			SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM outbox_entries AS e
			WHERE e.session = outboxes.session AND e.seq < ?)
		WHERE session = ? AND epoch = ? AND kept < ? AND next >= ?`
)

// SendFrame appends a frame to a session's outbox, and returns the session's backlog. It returns
// ErrNotFound if the session has ended.
func (t *tx) SendFrame(k session.Key, encode func(session.Seq) []byte) (_ rendezvous.Backlog, err error) {
	defer annotate(&err, "sending a frame to session %s", k)
	// The number is taken first: the transaction that has locked the outbox's row is the only one
	// that numbers frames. The frame contains its number once, in as many bytes as it has digits.
	row, err := queryReturning[numberedRow](t, numberFrame, len(encode(0))-len("0"), digest(k))
	if err != nil {
		return rendezvous.Backlog{}, err
	}
	t.conn.remembered.changeSession(k, func(s *rendezvous.Session) { s.Next = row.Seq + 1 })
	err = t.change(`INSERT INTO outbox_entries (session, seq, count, payload) VALUES (?, ?, 1, ?)`, digest(k), row.Seq, nonNil(encode(row.Seq)))
	return row.backlog(), err
}

const (
	// extendRun makes the last run of an outbox longer, if messages go on where it ends.
	extendRun = `
		UPDATE outbox_entries SET count = count + ?
		WHERE session = ? AND seq = (SELECT MAX(e.seq) FROM outbox_entries AS e WHERE e.session = ?)
			AND mailbox = ? AND position + count = ? AND seq + count = ?`
	insertRun = `INSERT INTO outbox_entries (session, seq, count, mailbox, position) VALUES (?, ?, ?, ?, ?)`
)

// SendMessages appends count messages of a log, from position first on, to a session's outbox. It
// returns the number of the first, or ErrNotFound if the session has ended.
//
// A run that goes on where the last one ends makes that one longer.
func (t *tx) SendMessages(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (_ session.Seq, err error) {
	defer annotate(&err, "sending messages %d to %d of mailbox %d to session %s", first, int64(first)+count-1, m, k)
	sent := func(s *rendezvous.Session) { s.Next += session.Seq(count) }
	if t.failed == nil {
		if seq, noted := t.conn.remembered.noteSent(k, m, first, count); noted {
			t.changed = true
			t.conn.remembered.changeSession(k, sent)
			return seq, nil
		}
	}
	row, err := queryReturning[numberedRow](t, numberMessages, count, digest(k), count)
	if err != nil {
		return 0, err
	}
	t.conn.remembered.changeSession(k, sent)
	t.conn.remembered.isLive(k)
	if t.needsLocks() {
		return row.Seq, t.appendRunLater(k, m, first, count, row.Seq)
	}
	extended, err := t.exec(extendRun, count, digest(k), digest(k), m, first, row.Seq)
	if err != nil || extended > 0 {
		return row.Seq, err
	}
	return row.Seq, t.change(insertRun, digest(k), row.Seq, count, m, first)
}

// entryRow is an entry of an outbox: a frame, or a run of messages.
type entryRow struct {
	Seq      session.Seq
	Count    int64
	Mailbox  *rendezvous.MailboxKey
	Position *rendezvous.Position
	Payload  []byte
}

// Frames returns the frames from number from on, as they are sent: at most count, and at most size
// bytes but at least one.
func (t *tx) Frames(k session.Key, from session.Seq, count int, size int64) (_ [][]byte, err error) {
	defer annotate(&err, "loading the frames of session %s from %d on", k, from)
	entries, err := queryAll[entryRow](t, `
		SELECT seq, count, mailbox, position, payload FROM outbox_entries
		WHERE session = ? AND seq + count > ?
			AND seq >= COALESCE((SELECT MAX(e.seq) FROM outbox_entries AS e WHERE e.session = ? AND e.seq <= ?), 0)
		ORDER BY seq
		LIMIT ?`, digest(k), from, digest(k), from, count)
	if err != nil {
		return nil, err
	}
	page := framePage{count: count, size: size}
	for _, e := range entries {
		if e.Payload != nil {
			page.add(e.Payload)
		} else if err := t.addRun(&page, e, from); err != nil {
			return nil, err
		}
		if page.full {
			break
		}
	}
	return page.frames, nil
}

// framePage is as many frames as go into one answer.
type framePage struct {
	frames [][]byte
	count  int
	size   int64 // that is left
	full   bool
}

// add adds a frame if there is room for it. The first one always has room.
func (p *framePage) add(frame []byte) {
	p.size -= int64(len(frame))
	if p.size < 0 && len(p.frames) > 0 {
		p.full = true
		return
	}
	p.frames = append(p.frames, frame)
	p.full = p.size <= 0 || len(p.frames) == p.count
}

// addRun adds the messages of a run, from number from on.
func (t *tx) addRun(page *framePage, run entryRow, from session.Seq) error {
	id, err := queryOne[rendezvous.MailboxID](t, `
		SELECT id FROM mailboxes WHERE key = ?
		UNION ALL
		SELECT id FROM retired_logs WHERE mailbox = ?`, *run.Mailbox, *run.Mailbox)
	if err != nil {
		return err
	}
	skip := max(0, int64(from-run.Seq))
	seq, after := run.Seq+session.Seq(skip), *run.Position+rendezvous.Position(skip)-1
	wanted := min(run.Count-skip, int64(page.count-len(page.frames)))
	return t.eachMessage(*run.Mailbox, after, int(wanted), func(m rendezvous.Message) bool {
		page.add(rendezvous.Encode(rendezvous.MessageFrame{Message: m}, id, seq))
		seq++
		return !page.full
	})
}

// Backlog returns how many stored frames and bytes the session has not acknowledged. The messages of logs do not count.
func (t *tx) Backlog(k session.Key) (_ rendezvous.Backlog, err error) {
	defer annotate(&err, "loading the backlog of session %s", k)
	row, err := queryOne[numberedRow](t, `SELECT next AS seq, frames, bytes FROM outboxes WHERE session = ?`, digest(k))
	return row.backlog(), err
}

// BeginEpoch stores the epoch of a session that was resumed.
func (t *tx) BeginEpoch(k session.Key, epoch session.Epoch) (err error) {
	defer annotate(&err, "beginning epoch %d of session %s", epoch, k)
	if err = t.changeRow(beginEpoch, epoch, digest(k), epoch); err == nil {
		t.conn.remembered.changeSession(k, func(s *rendezvous.Session) { s.Epoch = epoch })
	}
	return err
}

// Acknowledge deletes the acknowledged frames, in the order of the outboxes. An acknowledgement
// that is late, of an earlier epoch, or of a number that was never given changes nothing.
func (t *tx) Acknowledge(acks ...session.Ack) (err error) {
	defer annotate(&err, "acknowledging the frames of %d sessions", len(acks))
	inOrder := slices.SortedFunc(slices.Values(acks), func(a, b session.Ack) int {
		return bytes.Compare(a.Session[:], b.Session[:])
	})
	if t.needsLocks() {
		return t.acknowledgeBatch(inOrder)
	}
	for _, a := range inOrder {
		if err := t.acknowledge(a.Session, a.Epoch, a.UpTo); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) acknowledge(k session.Key, epoch session.Epoch, upTo session.Seq) error {
	moved, err := t.exec(acknowledge,
		upTo, upTo, upTo, digest(k), epoch, upTo, upTo)
	if err != nil || moved == 0 {
		return err
	}
	t.conn.remembered.changeSession(k, func(s *rendezvous.Session) { s.Kept = upTo })
	// A run that is acknowledged in part stays whole.
	_, err = t.exec(`DELETE FROM outbox_entries WHERE session = ? AND seq < ? AND seq + count <= ?`, digest(k), upTo, upTo)
	return err
}
