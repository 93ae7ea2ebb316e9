package repo

import (
	"bytes"
	"cmp"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// Subscribe subscribes the session to the mailbox. It reports whether the subscription is new.
func (t *tx) Subscribe(k session.Key, m rendezvous.MailboxKey) (_ bool, err error) {
	defer annotate(&err, "subscribing session %s to mailbox %d", k, m)
	n, err := t.exec(`
		INSERT INTO subscriptions (mailbox, session) VALUES (?, ?)
		ON CONFLICT (mailbox, session) DO NOTHING`, m, digest(k))
	return n > 0, err
}

// Unsubscribe ends a subscription, if there is one.
func (t *tx) Unsubscribe(k session.Key, m rendezvous.MailboxKey) (err error) {
	defer annotate(&err, "unsubscribing session %s from mailbox %d", k, m)
	_, err = t.exec(`DELETE FROM subscriptions WHERE mailbox = ? AND session = ?`, m, digest(k))
	return err
}

// Subscribers returns the sessions that are subscribed to a mailbox, in the order of their keys:
// at most one for each of its sides.
func (t *tx) Subscribers(m rendezvous.MailboxKey) (_ []rendezvous.Subscriber, err error) {
	defer annotate(&err, "listing the subscribers of mailbox %d", m)
	type row struct {
		Key  digest
		Side rendezvous.Side
	}
	rows, err := queryAll[row](t, `
		SELECT s.key, s.side
		FROM subscriptions AS u
		JOIN sessions AS s ON s.key = u.session
		WHERE u.mailbox = ?
		ORDER BY u.session`, m)
	return mapSlice(rows, func(r row) rendezvous.Subscriber {
		return rendezvous.Subscriber{Key: session.Key(r.Key), Side: r.Side}
	}), err
}

// backlogRow counts the frames that are not acknowledged.
type backlogRow struct{ Frames, Bytes int64 }

// Send appends a frame to a live session's outbox and returns the session's backlog. It returns
// ErrNotFound for a session that does not exist or has ended.
func (t *tx) Send(k session.Key, encode func(session.Seq) []byte) (_ rendezvous.Backlog, err error) {
	defer annotate(&err, "sending a frame to session %s", k)
	// The number is taken first: the transaction that has locked the outbox's row is the only one
	// that numbers frames. The frame contains its number once, in as many bytes as it has digits.
	b, err := queryReturning[struct {
		Seq session.Seq
		backlogRow
	}](t, `
		UPDATE outboxes SET next = next + 1, bytes = bytes + ? + LENGTH(CAST(next AS TEXT))
		WHERE session = ?
		RETURNING next - 1 AS seq, next - kept AS frames, bytes`, len(encode(0))-len("0"), digest(k))
	if err != nil {
		return rendezvous.Backlog{}, err
	}
	// The session may have ended while this transaction waited for the outbox: only a statement that
	// begins afterwards sees that.
	n, err := t.exec(`
		INSERT INTO frames (session, seq, payload)
		SELECT key, ?, ? FROM sessions WHERE key = ? AND ended IS NULL`, b.Seq, nonNil(encode(b.Seq)), digest(k))
	if err != nil {
		return rendezvous.Backlog{}, err
	}
	if n == 0 {
		return rendezvous.Backlog{}, cmp.Or(t.emptyOutbox(k), rendezvous.ErrNotFound)
	}
	return rendezvous.Backlog(b.backlogRow), nil
}

// emptyOutbox counts every frame of a session as acknowledged.
func (t *tx) emptyOutbox(k session.Key) error {
	_, err := t.exec(`UPDATE outboxes SET kept = next, bytes = 0 WHERE session = ?`, digest(k))
	return err
}

// Frames returns the frames from number from on: at most count, and at most size bytes but at least one.
func (t *tx) Frames(k session.Key, from session.Seq, count int, size int64) (_ [][]byte, err error) {
	defer annotate(&err, "loading the frames of session %s from %d on", k, from)
	var frames [][]byte
	err = queryEach(t, func(payload []byte) bool {
		size -= int64(len(payload))
		if size < 0 && len(frames) > 0 {
			return false
		}
		frames = append(frames, payload)
		return size > 0
	}, `SELECT payload FROM frames WHERE session = ? AND seq >= ? ORDER BY seq LIMIT ?`, digest(k), from, count)
	return frames, err
}

// Backlog returns how many frames and bytes the session has not acknowledged.
func (t *tx) Backlog(k session.Key) (_ rendezvous.Backlog, err error) {
	defer annotate(&err, "loading the backlog of session %s", k)
	b, err := queryOne[backlogRow](t, `SELECT next - kept AS frames, bytes FROM outboxes WHERE session = ?`, digest(k))
	return rendezvous.Backlog(b), err
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
	moved, err := t.exec(`
		UPDATE outboxes
		SET kept = ?,
		    bytes = bytes - (
			SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM frames
			WHERE frames.session = outboxes.session AND seq < ?)
		WHERE session = ? AND kept < ? AND next >= ?
			AND EXISTS (SELECT 1 FROM sessions WHERE key = outboxes.session AND epoch = ?)`,
		upTo, upTo, digest(k), upTo, upTo, epoch)
	if err != nil || moved == 0 {
		return err
	}
	_, err = t.exec(`DELETE FROM frames WHERE session = ? AND seq < ?`, digest(k), upTo)
	return err
}
