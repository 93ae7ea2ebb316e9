package repo

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"restante/rendezvous"
	"restante/session"
)

// Transactions that write at the same time take their locks in this order, so that no two deadlock:
// first the names of sessions and of a side in a handshake; then the session that acts; then the
// mailboxes that it touches, in the order of their keys; then outboxes, in the order of theirs. A
// mailbox's row guards its sides, its messages, its subscriptions and the nameplate that points to it,
// which have no locks of their own. An outbox's row guards its entries. The name of a nameplate that
// does not exist is locked after the session and before any mailbox.

// lockedNameplateRow locks the mailbox behind a nameplate and loads the nameplate. If there is none,
// it reserves the nameplate's name until the transaction ends: a transaction that creates the same
// nameplate has ended by then, or comes after this one.
func (t *tx) lockedNameplateRow(app rendezvous.AppID, id rendezvous.NameplateID) (nameplateRow, error) {
	reserved := false
	var unlocked rendezvous.MailboxKey // a nameplate's mailbox that could not be locked
	for {
		var keys []rendezvous.MailboxKey
		if err := t.lockMailboxOfNameplate(&keys, app, id); err != nil {
			return nameplateRow{}, err
		}
		const selectByName = selectNameplate + ` WHERE n.app = ? AND n.id = ?`
		row, err := queryOne[nameplateRow](t, selectByName, app, id)
		var locked rendezvous.MailboxKey
		if len(keys) > 0 {
			locked = keys[0]
		}
		if t.failed == nil && locked == 0 && !reserved {
			if err := t.reserveNameplate(app, id); err != nil {
				return nameplateRow{}, err
			}
			reserved = true
			row, err = queryOne[nameplateRow](t, selectByName, app, id)
		}
		switch {
		case errors.Is(err, rendezvous.ErrNotFound) && !reserved:
			continue // it was retired while this transaction waited for the lock
		case err != nil || row.Mailbox == locked:
			return row, err
		case locked == 0 && row.Mailbox == unlocked:
			return row, nil // its mailbox does not exist
		case locked == 0:
			unlocked = row.Mailbox // it was created between the two statements, unless this happens again
		}
	}
}

// reserveNameplate locks the name of a nameplate that does not exist.
func (t *tx) reserveNameplate(app rendezvous.AppID, id rendezvous.NameplateID) error {
	return t.lockNames(fmt.Sprintf("nameplate %d %s %s", len(app), app, id))
}

// lockNames locks things by their names until the transaction ends, whether they exist or not, in
// the order of the names.
func (t *tx) lockNames(names ...string) error {
	slices.Sort(names)
	return t.lock(`
		SELECT COUNT(pg_advisory_xact_lock(hashtextextended(names.name, 0)))
		FROM unnest(?::text[]) AS names (name)`, pq.StringArray(names))
}

// lock runs a SELECT that locks, at the latest together with the next statement.
func (t *tx) lock(query string, args ...any) error {
	return t.execute(func() error { return t.conn.queryLater(nil, query, args...) })
}

// lockSessions locks sessions and their outboxes. It does nothing if no locks are needed.
func (t *tx) lockSessions(keys []session.Key) error {
	if !t.needsLocks() {
		return nil
	}
	list := byteaArray(keys)
	if err := t.lock(`SELECT 1 FROM sessions WHERE key = ANY (?::bytea[]) ORDER BY key FOR NO KEY UPDATE`, list); err != nil {
		return err
	}
	return t.lock(`SELECT 1 FROM outboxes WHERE session = ANY (?::bytea[]) ORDER BY session FOR NO KEY UPDATE`, list)
}

// lockMailboxOfNameplate locks the mailbox behind a nameplate, and has keys filled with its key by the time of the next
// statement; with none if there is no such nameplate.
func (t *tx) lockMailboxOfNameplate(keys *[]rendezvous.MailboxKey, app rendezvous.AppID, id rendezvous.NameplateID) error {
	return queryLater(t, keys, `
		SELECT m.key FROM mailboxes AS m
		JOIN nameplates AS n ON n.mailbox = m.key
		WHERE n.app = ? AND n.id = ?
		FOR NO KEY UPDATE OF m`, app, id)
}

// listLocked returns the rows of a query on what a side holds. If locks are needed, it first locks the
// mailboxes that the rows belong to, and repeats that if rows were added meanwhile.
func listLocked[R any](t *tx, app rendezvous.AppID, side rendezvous.Side, mailbox func(R) rendezvous.MailboxKey, query string, args ...any) ([]R, error) {
	for {
		locked, err := t.lockMailboxesOfSide(app, side)
		if err != nil {
			return nil, err
		}
		rows, err := queryAll[R](t, query, args...)
		if err != nil || !t.needsLocks() || !slices.ContainsFunc(rows, func(r R) bool { return !slices.Contains(locked, mailbox(r)) }) {
			return rows, err
		}
	}
}

// lockMailboxesOfSide locks the mailboxes that a side is in and those behind the nameplates that it
// holds, and returns their keys. It does nothing if no locks are needed.
func (t *tx) lockMailboxesOfSide(app rendezvous.AppID, side rendezvous.Side) ([]rendezvous.MailboxKey, error) {
	if !t.needsLocks() {
		return nil, nil
	}
	return queryAll[rendezvous.MailboxKey](t, `
		SELECT m.key FROM mailboxes AS m
		WHERE m.key IN (
			SELECT mailbox FROM mailbox_sides WHERE app = ? AND side = ? AND closed IS NULL
			UNION
			SELECT n.mailbox FROM claims AS c
			JOIN nameplates AS n ON n.app = c.app AND n.id = c.nameplate
			WHERE c.app = ? AND c.side = ? AND c.released IS NULL)
		ORDER BY m.key
		FOR NO KEY UPDATE OF m`, app, side, app, side)
}

// lockOutbox locks the outbox of a session that will be deleted. Otherwise a transaction that has
// locked the outbox would wait for the session while this one waits for the outbox.
func (t *tx) lockOutbox(k session.Key) error {
	if !t.needsLocks() {
		return nil
	}
	return t.lock(`SELECT 1 FROM outboxes WHERE session = ? FOR UPDATE`, digest(k))
}

// A mailbox is locked before its sides are read: another transaction may have changed them while
// this one waited, and a statement that waits does not see such changes in other tables.

// lockedMailbox loads and locks a mailbox by its id.
func (t *tx) lockedMailbox(app rendezvous.AppID, id rendezvous.MailboxID) (rendezvous.Mailbox, error) {
	var found []mailboxRow
	if err := queryLater(t, &found, selectMailbox+` WHERE m.app = ? AND m.id = ? FOR NO KEY UPDATE OF m`, app, id); err != nil {
		return rendezvous.Mailbox{}, err
	}
	sides, err := queryAll[sideRow](t, selectSide+`
		JOIN mailboxes AS m ON m.key = s.mailbox
		WHERE m.app = ? AND m.id = ?
		ORDER BY s.entered, s.side`, app, id)
	return t.loaded(found, sides, err)
}

// lockedMailboxByKey loads and locks a mailbox by its key.
func (t *tx) lockedMailboxByKey(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	var found []mailboxRow
	if err := queryLater(t, &found, selectMailbox+` WHERE m.key = ? FOR NO KEY UPDATE OF m`, k); err != nil {
		return rendezvous.Mailbox{}, err
	}
	return t.withSides(&found, k)
}

// lockedIdleMailbox loads and locks a mailbox by its key, unless another transaction has locked it.
func (t *tx) lockedIdleMailbox(k rendezvous.MailboxKey) (_ rendezvous.Mailbox, err error) {
	defer annotate(&err, "loading mailbox %d if it is idle", k)
	var found []mailboxRow
	if err := queryLater(t, &found, selectMailbox+` WHERE m.key = ? FOR NO KEY UPDATE OF m SKIP LOCKED`, k); err != nil {
		return rendezvous.Mailbox{}, err
	}
	return t.withSides(&found, k)
}

// withSides loads the sides of a mailbox, oldest first, which is found by then.
func (t *tx) withSides(found *[]mailboxRow, k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	sides, err := queryAll[sideRow](t, selectSide+` WHERE s.mailbox = ? ORDER BY s.entered, s.side`, k)
	return t.loaded(*found, sides, err)
}

// loaded returns a mailbox that was loaded with its sides, or ErrNotFound.
func (t *tx) loaded(found []mailboxRow, sides []sideRow, err error) (rendezvous.Mailbox, error) {
	if err == nil && len(found) == 0 {
		err = rendezvous.ErrNotFound
	}
	if err != nil {
		return rendezvous.Mailbox{}, err
	}
	m := found[0].mailbox(sides)
	t.rememberStored(m)
	return m, nil
}
