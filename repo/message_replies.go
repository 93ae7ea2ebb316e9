package repo

import (
	"errors"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// On SQLite, the reply to a command that added a message is stored in the message's row: a page of the log is written
// anyway, and a row of its own would be another page, for each session another one. A session has a chain of such
// messages, from the latest reply back. Before a log may be deleted, the replies in it get rows of their own.

// messageRef is where a message is.
type messageRef struct {
	Mailbox  *rendezvous.MailboxKey
	Position *rendezvous.Position
}

// chainedReply is a reply in a message's row, with the link to the one before it.
type chainedReply struct {
	Command     session.Seq
	Fingerprint digest
	Outcome     []byte
	messageRef
}

func (r chainedReply) reply() rendezvous.Reply {
	return rendezvous.Reply{Fingerprint: r.Fingerprint, Outcome: r.Outcome}
}

const (
	insertMessageWithReply = `
		INSERT INTO messages (mailbox, position, side, phase, body, id, received, command, fingerprint, outcome, earlier_mailbox, earlier_position)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
			(SELECT replied_mailbox FROM sessions WHERE key = ?),
			(SELECT replied_position FROM sessions WHERE key = ?))`
	insertMessageAfterReply = `
		INSERT INTO messages (mailbox, position, side, phase, body, id, received, command, fingerprint, outcome, earlier_mailbox, earlier_position)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	countCommandsInMessages = `
		UPDATE sessions SET wanted = ?, used = 1, replied_mailbox = ?, replied_position = ?
		WHERE key = ? AND wanted = ? AND ended IS NULL`
	forgetChain = `UPDATE sessions SET replied_mailbox = NULL, replied_position = NULL WHERE key = ? AND replied_mailbox IS NOT NULL`
)

// replyInMessage stores the messages that the transaction has added, with the last one the reply to command n, and counts
// the command as done. It returns how many sessions it counted it for.
func (t *tx) replyInMessage(k session.Key, n session.Seq, r rendezvous.Reply) (int64, error) {
	last := len(t.unwritten) - 1
	m := t.unwritten[last]
	t.unwritten = t.unwritten[:last]
	t.forgetUnsubscribed(m.in) // a session acts in it
	query, earlier := insertMessageWithReply, []any{digest(k), digest(k)}
	if at, known := t.conn.remembered.repliedLast(k); known {
		query, earlier = insertMessageAfterReply, []any{at.Mailbox, at.Position}
	}
	if _, err := t.exec(query, slices.Concat([]any{
		m.in, m.Position, m.Side, m.Phase, nonNil(m.Body), m.ID, toMillis(m.Received),
		n, digest(r.Fingerprint), nonNil(r.Outcome),
	}, earlier)...); err != nil {
		return 0, err
	}
	at := messageRef{&m.in, &m.Position}
	if t.conn.remembered.noteCounted(k, n, at) {
		return 1, nil
	}
	counted := countedSession{first: n, wanted: n + 1, replied: at}
	return t.exec(countCommandsInMessages, counted.args(k)...)
}

// chainedReply returns the reply to command n of a session that is in a message's row, or ErrNotFound.
func (t *tx) chainedReply(k session.Key, n session.Seq) (rendezvous.Reply, error) {
	latest, err := queryOne[messageRef](t, `
		SELECT replied_mailbox AS mailbox, replied_position AS position FROM sessions
		WHERE key = ? AND wanted <= ?`, digest(k), n+session.Window)
	if err != nil {
		return rendezvous.Reply{}, err
	}
	var found *chainedReply
	err = t.eachChained(latest, n, func(r chainedReply) error {
		if r.Command == n {
			found = &r
		}
		return nil
	})
	if err == nil && found == nil {
		err = rendezvous.ErrNotFound
	}
	if err != nil {
		return rendezvous.Reply{}, err
	}
	return found.reply(), nil
}

// eachChained calls f with the replies of a chain to commands from number from on, the latest first. The chain may go
// on to replies that are too old, and from there to messages that are deleted.
func (t *tx) eachChained(at messageRef, from session.Seq, f func(chainedReply) error) error {
	for at.Mailbox != nil && at.Position != nil {
		r, err := queryOne[chainedReply](t, `
			SELECT command, fingerprint, outcome, earlier_mailbox AS mailbox, earlier_position AS position FROM messages
			WHERE mailbox = ? AND position = ? AND command >= ?`, *at.Mailbox, *at.Position, from)
		if errors.Is(err, rendezvous.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
		at = r.messageRef
	}
	return nil
}

// detachReplies gives rows of their own to the replies that are in a mailbox's log, because that will be deleted: all
// of the chains of the sessions that are in the mailbox, so that each reply moves once at most.
func (t *tx) detachReplies(m rendezvous.MailboxKey) error {
	type row struct {
		Key    digest
		Wanted session.Seq
		messageRef
	}
	chains, err := queryAll[row](t, `
		SELECT s.key, s.wanted, s.replied_mailbox AS mailbox, s.replied_position AS position FROM mailbox_sides AS c
		JOIN sessions AS s ON s.app = c.app AND s.side = c.side
		WHERE c.mailbox = ? AND s.ended IS NULL AND s.replied_mailbox IS NOT NULL`, m)
	if err != nil {
		return err
	}
	for _, c := range chains {
		if err := t.eachChained(c.messageRef, c.Wanted-session.Window, func(r chainedReply) error {
			return t.insertReply(c.Key, r.Command, r.reply())
		}); err != nil {
			return err
		}
		if err := t.forgetChain(c.Key); err != nil {
			return err
		}
	}
	return nil
}

// forgetChain forgets the replies of a session that are in messages' rows.
func (t *tx) forgetChain(k digest) error {
	_, err := t.exec(forgetChain, k)
	return err
}
