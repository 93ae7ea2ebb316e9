package repo

import (
	"errors"

	"restante/rendezvous"
)

// Append stores messages and the changed mailbox. Positions are dense: Append fails unless the
// first message has the next position.
func (t *tx) Append(b rendezvous.Mailbox, messages ...rendezvous.Message) (err error) {
	first, last := messages[0].Position, messages[len(messages)-1].Position
	defer annotate(&err, "adding messages %d to %d to mailbox %d", first, last, b.Key)
	n, err := t.extendMailbox(b, first, last)
	if err == nil && n == 0 {
		err = errors.New("the position is not the next one")
	}
	if err != nil {
		return err
	}
	for _, m := range messages {
		if _, err = t.exec(`
			INSERT INTO messages (mailbox, position, side, phase, body, id, received)
			VALUES (?, ?, ?, ?, ?, ?, ?)`,
			b.Key, m.Position, m.Side, m.Phase, nonNil(m.Body), m.ID, toMillis(m.Received)); err != nil {
			return err
		}
	}
	return nil
}

// extendMailbox stores a mailbox with more messages. stale_at, which is indexed, is written only if it changed.
func (t *tx) extendMailbox(b rendezvous.Mailbox, first, last rendezvous.Position) (int64, error) {
	if before, known := t.storedMailboxes[b.Key]; known && before.StaleAt.Equal(b.StaleAt) {
		return t.exec(`
			UPDATE mailboxes SET updated = ?, last_position = ?, bytes = ?
			WHERE key = ? AND last_position + 1 = ?`,
			toMillis(b.Updated), last, b.Bytes, b.Key, first)
	}
	return t.exec(`
		UPDATE mailboxes SET updated = ?, stale_at = ?, last_position = ?, bytes = ?
		WHERE key = ? AND last_position + 1 = ?`,
		toMillis(b.Updated), toMillis(b.StaleAt), last, b.Bytes, b.Key, first)
}

// Messages returns messages after a position, oldest first: at most count, and at most size bytes but at least one.
func (t *tx) Messages(k rendezvous.MailboxKey, after rendezvous.Position, count int, size int64) (_ []rendezvous.Message, err error) {
	defer annotate(&err, "loading the messages of mailbox %d after %d", k, after)
	type row struct {
		Position rendezvous.Position
		Side     rendezvous.Side
		Phase    string
		Body     []byte
		ID       *string
		Received millis
	}
	var messages []rendezvous.Message
	err = queryEach(t, func(r row) bool {
		size -= int64(len(r.Body))
		if size < 0 && len(messages) > 0 {
			return false
		}
		messages = append(messages, rendezvous.Message{
			Position: r.Position, Side: r.Side, Received: r.Received.time(),
			Draft: rendezvous.Draft{Phase: r.Phase, Body: string(r.Body), ID: r.ID},
		})
		return size > 0
	}, `
		SELECT position, side, phase, body, id, received FROM messages
		WHERE mailbox = ? AND position > ?
		ORDER BY position
		LIMIT ?`, k, after, count)
	return messages, err
}
