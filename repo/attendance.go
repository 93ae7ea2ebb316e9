package repo

import (
	"restante/rendezvous"
	"restante/session"
)

// WatchedMailboxes returns the keys of up to limit mailboxes that are watched, above after.
func (t *tx) WatchedMailboxes(after rendezvous.MailboxKey, limit int) (_ []rendezvous.MailboxKey, err error) {
	defer annotate(&err, "listing watched mailboxes")
	return queryAll[rendezvous.MailboxKey](t, `
		SELECT m.key FROM mailboxes AS m
		WHERE m.watched IS NOT NULL AND m.key > ?
		ORDER BY m.key
		LIMIT ?`, after, limit)
}

// WatchedIn returns the mailboxes from first to last that are watched.
func (t *tx) WatchedIn(first, last rendezvous.MailboxKey) (_ []rendezvous.Mailbox, err error) {
	defer annotate(&err, "loading watched mailboxes")
	rows, err := queryAll[mailboxRow](t, selectMailbox+`
		WHERE m.watched IS NOT NULL AND m.key >= ? AND m.key <= ?
		ORDER BY m.key`, first, last)
	if err != nil {
		return nil, err
	}
	sides, err := queryAll[sideRow](t, selectSide+`
		JOIN mailboxes AS m ON m.key = s.mailbox
		WHERE m.watched IS NOT NULL AND m.key >= ? AND m.key <= ?
		ORDER BY s.mailbox, s.entered, s.side`, first, last)
	return mapSlice(rows, func(r mailboxRow) rendezvous.Mailbox {
		var own []sideRow
		for len(sides) > 0 && sides[0].Mailbox <= r.Key { // both are in the order of the mailboxes
			own, sides = append(own, sides[0]), sides[1:]
		}
		return r.mailbox(own)
	}), err
}

// OwnersIn returns the sessions that had the sides last which are in watched mailboxes.
func (t *tx) OwnersIn(first, last rendezvous.MailboxKey) (_ []rendezvous.Session, err error) {
	defer annotate(&err, "listing the sessions of watched sides")
	rows, err := queryAll[sessionRow](t, selectSession+`
		WHERE (s.app, s.side) IN (
			SELECT c.app, c.side FROM mailboxes AS m
			JOIN mailbox_sides AS c ON c.mailbox = m.key
			WHERE m.watched IS NOT NULL AND m.key >= ? AND m.key <= ? AND c.closed IS NULL)
		AND s.turn = (SELECT MAX(o.turn) FROM sessions AS o WHERE o.app = s.app AND o.side = s.side)
		ORDER BY s.key`, first, last)
	return mapSlice(rows, sessionRow.session), err
}

// MailboxesToExamine returns the watched mailboxes in which a session has acknowledged more than was examined.
func (t *tx) MailboxesToExamine(first, last rendezvous.MailboxKey) (_ []rendezvous.MailboxKey, err error) {
	defer annotate(&err, "listing the watched mailboxes with new acknowledgements")
	return queryAll[rendezvous.MailboxKey](t, `
		SELECT DISTINCT m.key FROM mailboxes AS m
		JOIN subscriptions AS u ON u.mailbox = m.key
		JOIN outboxes AS o ON o.session = u.session
		WHERE m.watched IS NOT NULL AND m.key >= ? AND m.key <= ? AND o.kept > u.examined
		ORDER BY m.key`, first, last)
}

// progressRow is how far a session is with a mailbox.
type progressRow struct {
	Session digest
	Side    rendezvous.Side
	Kept    session.Seq
	Next    rendezvous.Position
}

// Progress returns how far the sessions that subscribe to a mailbox are.
func (t *tx) Progress(m rendezvous.MailboxKey) (_ []rendezvous.Progress, err error) {
	defer annotate(&err, "loading how far the sessions are with mailbox %d", m)
	// A run that is acknowledged in part begins before the oldest frame that is kept.
	rows, err := queryAll[progressRow](t, `
		SELECT u.session, s.side, o.kept, COALESCE((
			SELECT MIN(e.position + CASE WHEN o.kept > e.seq THEN o.kept - e.seq ELSE 0 END)
			FROM outbox_entries AS e
			WHERE e.session = u.session AND e.mailbox = u.mailbox AND e.seq + e.count > o.kept), 0) AS next
		FROM subscriptions AS u
		JOIN sessions AS s ON s.key = u.session
		JOIN outboxes AS o ON o.session = u.session
		WHERE u.mailbox = ?
		ORDER BY u.session`, m)
	return mapSlice(rows, func(r progressRow) rendezvous.Progress {
		return rendezvous.Progress{Session: session.Key(r.Session), Side: r.Side, Kept: r.Kept, Next: r.Next}
	}), err
}

// Unacknowledged returns the first message of a mailbox among the frames of a session, from one on.
func (t *tx) Unacknowledged(m rendezvous.MailboxKey, k session.Key, from session.Seq) (_ rendezvous.Position, err error) {
	defer annotate(&err, "loading how far session %s is with mailbox %d", k, m)
	return queryOne[rendezvous.Position](t, `
		SELECT COALESCE(MIN(position + CASE WHEN seq < ? THEN ? - seq ELSE 0 END), 0)
		FROM outbox_entries
		WHERE session = ? AND mailbox = ? AND seq + count > ?`, from, from, digest(k), m, from)
}

const updateExamined = `UPDATE subscriptions SET examined = ? WHERE mailbox = ? AND session = ? AND examined < ?`

// Examined records up to where the acknowledgements of a session were looked at for a mailbox.
func (t *tx) Examined(m rendezvous.MailboxKey, k session.Key, kept session.Seq) (err error) {
	defer annotate(&err, "recording how far session %s is with mailbox %d", k, m)
	return t.change(updateExamined, kept, m, digest(k), kept)
}
