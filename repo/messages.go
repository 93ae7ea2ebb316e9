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
	b.Last = last
	err = t.extendMailbox(b, first)
	if errors.Is(err, rendezvous.ErrNotFound) {
		err = errors.New("the position is not the next one")
	}
	if err != nil {
		return err
	}
	for _, m := range messages {
		t.unwritten = append(t.unwritten, loggedMessage{b.Key, m})
	}
	if t.conn.dialect.repliesInMessages {
		return nil // not before the reply is known, or another statement runs
	}
	return t.writeMessages()
}

// loggedMessage is a message of a mailbox.
type loggedMessage struct {
	in rendezvous.MailboxKey
	rendezvous.Message
}

// writeMessages stores the messages that were added and are not stored yet.
func (t *tx) writeMessages() error {
	messages := t.unwritten
	t.unwritten = nil
	for _, m := range messages {
		if err := t.change(insertMessage,
			m.in, m.Position, m.Side, m.Phase, nonNil(m.Body), m.ID, toMillis(m.Received)); err != nil {
			return err
		}
	}
	return nil
}

const (
	insertMessage = `
		INSERT INTO messages (mailbox, position, side, phase, body, id, received)
		VALUES (?, ?, ?, ?, ?, ?, ?)`
	extendMailbox = `
		UPDATE mailboxes SET updated = ?, last_position = ?, bytes = ?, stored = ?
		WHERE key = ? AND last_position + 1 = ?`
	extendAndKeepMailbox = `
		UPDATE mailboxes SET updated = ?, last_position = ?, bytes = ?, stored = ?, stale_at = ?
		WHERE key = ? AND last_position + 1 = ?`
)

// extendMailbox stores a mailbox with more messages.
func (t *tx) extendMailbox(b rendezvous.Mailbox, first rendezvous.Position) error {
	if err := t.writeExtended(b, first); err != nil {
		return err
	}
	t.conn.remembered.changeMailbox(b.Key, func(m *rendezvous.Mailbox) {
		m.Updated, m.StaleAt = toMillis(b.Updated).time(), toMillis(b.StaleAt).time()
		m.Last, m.Bytes, m.Stored = b.Last, b.Bytes, b.Stored
	})
	return nil
}

func (t *tx) writeExtended(b rendezvous.Mailbox, first rendezvous.Position) error {
	if t.failed == nil && t.conn.remembered.noteExtended(b, first) {
		t.changed = true
		return nil
	}
	before, known := t.storedMailboxes[b.Key]
	query, args := extensionOf(b, first, !known || !before.StaleAt.Equal(b.StaleAt))
	return t.changeRow(query, args...)
}

// extensionOf returns the statement that stores a mailbox with more messages, from position first on. stale_at, which is
// indexed, is written only if the mailbox is kept for longer.
func extensionOf(b rendezvous.Mailbox, first rendezvous.Position, kept bool) (query string, args []any) {
	query, args = extendMailbox, []any{toMillis(b.Updated), b.Last, b.Bytes, b.Stored}
	if kept {
		query, args = extendAndKeepMailbox, append(args, toMillis(b.StaleAt))
	}
	return query, append(args, b.Key, first)
}

// messageRow is a message of a log.
type messageRow struct {
	Position rendezvous.Position
	Side     rendezvous.Side
	Phase    string
	Body     []byte
	ID       *string
	Received millis
}

func (r messageRow) message() rendezvous.Message {
	return rendezvous.Message{
		Position: r.Position, Side: r.Side, Received: r.Received.time(),
		Draft: rendezvous.Draft{Phase: r.Phase, Body: string(r.Body), ID: r.ID},
	}
}

// Messages returns messages after a position, oldest first: at most count, and at most size bytes but at least one.
func (t *tx) Messages(k rendezvous.MailboxKey, after rendezvous.Position, count int, size int64) (messages []rendezvous.Message, err error) {
	defer annotate(&err, "loading the messages of mailbox %d after %d", k, after)
	p := messagePage{count: count, size: size}
	err = t.eachMessage(k, after, count, p.add)
	return p.messages, err
}

// MessagesOfOthers returns messages after a position that a side did not add, oldest first: at most count, and at most
// size bytes but at least one. These are all up to the position that it returns, which is upTo at most.
func (t *tx) MessagesOfOthers(k rendezvous.MailboxKey, than rendezvous.Side, after, upTo rendezvous.Position, count int, size int64) (_ []rendezvous.Message, seen rendezvous.Position, err error) {
	defer annotate(&err, "loading the messages of other sides in mailbox %d after %d", k, after)
	p := messagePage{count: count, size: size}
	err = queryEach(t, func(r messageRow) bool { return p.add(r.message()) }, `
		SELECT position, side, phase, body, id, received FROM messages
		WHERE mailbox = ? AND position > ? AND position <= ? AND side <> ?
		ORDER BY position
		LIMIT ?`, k, after, upTo, than, count)
	if p.full {
		upTo = p.messages[len(p.messages)-1].Position
	}
	return p.messages, upTo, err
}

// messagePage is messages that are loaded, until they are so many, or have so many bytes.
type messagePage struct {
	messages []rendezvous.Message
	count    int
	size     int64 // what is left of it
	full     bool  // there may be more
}

// add adds a message, the first one in any case, if there is room for it. It reports whether there is more.
func (p *messagePage) add(m rendezvous.Message) bool {
	p.size -= int64(len(m.Body))
	if p.size >= 0 || len(p.messages) == 0 {
		p.messages = append(p.messages, m)
	}
	p.full = p.size <= 0 || len(p.messages) == p.count
	return !p.full
}

// eachMessage calls f for the messages after a position, oldest first, until f returns false: at most count.
func (t *tx) eachMessage(k rendezvous.MailboxKey, after rendezvous.Position, count int, f func(rendezvous.Message) bool) error {
	return queryEach(t, func(r messageRow) bool { return f(r.message()) }, `
		SELECT position, side, phase, body, id, received FROM messages
		WHERE mailbox = ? AND position > ?
		ORDER BY position
		LIMIT ?`, k, after, count)
}

// retireLog takes the log from a mailbox that is being retired. A short log that no outbox and no dispatch refers to is
// deleted at once. Otherwise it is kept until [tx.DeleteRetiredLog] has deleted it, page by page.
func (t *tx) retireLog(m rendezvous.Mailbox) error {
	if m.Last == 0 {
		return nil
	}
	if m.Last <= logPage {
		referred, err := queryOne[int](t, `
			SELECT COUNT(*) FROM (
				SELECT 1 FROM outbox_entries WHERE mailbox = ?
				UNION ALL
				SELECT 1 FROM dispatches WHERE mailbox = ?
				LIMIT 1
			) AS few`, m.Key, m.Key)
		if err != nil {
			return err
		}
		if referred == 0 {
			return t.change(`DELETE FROM messages WHERE mailbox = ?`, m.Key)
		}
	}
	return t.change(`INSERT INTO retired_logs (mailbox, id, retired) VALUES (?, ?, ?)`, m.Key, m.ID, toMillis(t.Now()))
}

// logPage is how many messages are deleted in one transaction, at most.
const logPage = 100

// RetiredLogs returns up to limit logs of retired mailboxes that no outbox and no dispatch refers to, with keys above after.
func (t *tx) RetiredLogs(after rendezvous.MailboxKey, limit int) (_ []rendezvous.MailboxKey, err error) {
	defer annotate(&err, "listing the logs of retired mailboxes")
	return queryAll[rendezvous.MailboxKey](t, `
		SELECT r.mailbox FROM retired_logs AS r
		WHERE r.mailbox > ? AND NOT EXISTS (SELECT 1 FROM outbox_entries AS e WHERE e.mailbox = r.mailbox)
			AND NOT EXISTS (SELECT 1 FROM dispatches AS d WHERE d.mailbox = r.mailbox)
		ORDER BY r.mailbox
		LIMIT ?`, after, limit)
}

// DeleteRetiredLog deletes a page of a retired mailbox's log, oldest first, and reports whether it is
// all gone. A log that an outbox or a dispatch refers to stays as it is.
func (t *tx) DeleteRetiredLog(k rendezvous.MailboxKey) (gone bool, err error) {
	defer annotate(&err, "deleting the log of the retired mailbox %d", k)
	deleted, err := t.exec(`
		DELETE FROM messages
		WHERE mailbox = ? AND position < (SELECT MIN(position) FROM messages WHERE mailbox = ?) + ?
			AND NOT EXISTS (SELECT 1 FROM outbox_entries AS e WHERE e.mailbox = ?)
			AND NOT EXISTS (SELECT 1 FROM dispatches AS d WHERE d.mailbox = ?)`, k, k, logPage, k, k)
	if err != nil || deleted == logPage {
		return false, err
	}
	err = t.change(`
		DELETE FROM retired_logs
		WHERE mailbox = ? AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.mailbox = retired_logs.mailbox)`, k)
	return true, err
}
