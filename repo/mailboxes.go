package repo

import (
	"cmp"
	"slices"
	"time"

	"restante/rendezvous"
)

// mailboxRow is a mailbox without its sides.
type mailboxRow struct {
	Key          rendezvous.MailboxKey
	App          rendezvous.AppID
	ID           rendezvous.MailboxID
	Created      millis
	Updated      millis
	TTL          span
	StaleAt      millis `db:"stale_at"`
	ForNameplate flag   `db:"for_nameplate"`
	Crowded      flag
	LastPosition rendezvous.Position `db:"last_position"`
	Bytes        int64
	Stored       int64
	Held         millis
	Watched      *millis
	CrowdedTold  *millis `db:"crowded_told"`
	ReceivedTold *millis `db:"received_told"`
}

// sideRow is a side of a mailbox.
type sideRow struct {
	Mailbox rendezvous.MailboxKey
	Side    rendezvous.Side
	Entered millis
	Opened  *millis
	Closed  *millis
	Mood    *rendezvous.Mood

	Attendance rendezvous.Attendance
	Received   rendezvous.Position
}

// mailboxWithSideRow is a mailbox with one of its sides, if it has any.
type mailboxWithSideRow struct {
	mailboxRow
	Side    *rendezvous.Side
	Entered *millis
	Opened  *millis
	Closed  *millis
	Mood    *rendezvous.Mood

	Attendance *rendezvous.Attendance
	Received   *rendezvous.Position
}

const (
	// selectMailboxWithSides selects mailboxes with their sides, a row for each side.
	selectMailboxWithSides = `
	SELECT m.key, m.app, m.id, m.created, m.updated, m.ttl, m.stale_at, m.for_nameplate,
	       m.crowded, m.last_position, m.bytes, m.stored, m.held, m.watched, m.crowded_told, m.received_told,
	       s.side, s.entered, s.opened, s.closed, s.mood, s.attendance, s.received
	FROM mailboxes AS m
	LEFT JOIN mailbox_sides AS s ON s.mailbox = m.key`
	// selectMailbox selects mailboxes; callers add a WHERE clause.
	selectMailbox = `
	SELECT m.key, m.app, m.id, m.created, m.updated, m.ttl, m.stale_at, m.for_nameplate,
	       m.crowded, m.last_position, m.bytes, m.stored, m.held, m.watched, m.crowded_told, m.received_told
	FROM mailboxes AS m`
	// selectSide selects sides of mailboxes; callers add a WHERE clause.
	selectSide = `
	SELECT s.mailbox, s.side, s.entered, s.opened, s.closed, s.mood, s.attendance, s.received
	FROM mailbox_sides AS s`
)

func (r mailboxRow) mailboxKey() rendezvous.MailboxKey { return r.Key }

func (r mailboxRow) mailbox(sides []sideRow) rendezvous.Mailbox {
	m := rendezvous.Mailbox{
		Key: r.Key, App: r.App, ID: r.ID, Created: r.Created.time(), Updated: r.Updated.time(),
		TTL: r.TTL.duration(), StaleAt: r.StaleAt.time(), ForNameplate: bool(r.ForNameplate),
		Crowded: bool(r.Crowded), Last: r.LastPosition, Bytes: r.Bytes, Stored: r.Stored,
		Watched: timeOrZero(r.Watched), CrowdedTold: timeOrZero(r.CrowdedTold), ReceivedTold: timeOrZero(r.ReceivedTold),
	}
	if r.Held > 0 {
		m.SocketSeen = r.Held.time()
	}
	for _, s := range sides {
		if s.Mailbox == r.Key {
			m.Sides = append(m.Sides, s.opening())
		}
	}
	return m
}

func (r sideRow) opening() rendezvous.Opening {
	o := rendezvous.Opening{Side: r.Side, Entered: r.Entered.time(), Opened: timeOrNil(r.Opened), Attendance: r.Attendance, Received: r.Received}
	if r.Closed != nil && r.Mood != nil {
		o.Closed = &rendezvous.Closing{At: r.Closed.time(), Mood: *r.Mood}
	}
	return o
}

// Mailbox loads a mailbox by its id, or returns ErrNotFound.
func (t *tx) Mailbox(app rendezvous.AppID, id rendezvous.MailboxID) (_ rendezvous.Mailbox, err error) {
	defer annotate(&err, "loading a mailbox by its id")
	if t.needsLocks() {
		return t.lockedMailbox(app, id)
	}
	if m, known := t.conn.remembered.mailboxNamed(app, id); known {
		t.rememberStored(m)
		return m, t.failed
	}
	return t.mailboxWithSides(selectMailboxWithSides+` WHERE m.app = ? AND m.id = ? ORDER BY s.entered, s.side`, app, id)
}

// MailboxByKey loads a mailbox by its key, or returns ErrNotFound.
func (t *tx) MailboxByKey(k rendezvous.MailboxKey) (_ rendezvous.Mailbox, err error) {
	defer annotate(&err, "loading mailbox %d", k)
	if t.needsLocks() {
		return t.lockedMailboxByKey(k)
	}
	if m, known := t.conn.remembered.mailbox(k); known {
		t.rememberStored(m)
		return m, t.failed
	}
	return t.mailboxWithSides(selectMailboxWithSides+` WHERE m.key = ? ORDER BY s.entered, s.side`, k)
}

// IdleMailbox loads a mailbox by its key, or returns ErrNotFound if another transaction has locked it.
func (t *tx) IdleMailbox(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	if t.needsLocks() {
		return t.lockedIdleMailbox(k)
	}
	return t.MailboxByKey(k)
}

// mailboxWithSides loads a mailbox by a query on selectMailboxWithSides.
func (t *tx) mailboxWithSides(query string, args ...any) (rendezvous.Mailbox, error) {
	rows, err := queryAll[mailboxWithSideRow](t, query, args...)
	if err == nil && len(rows) == 0 {
		err = rendezvous.ErrNotFound
	}
	if err != nil {
		return rendezvous.Mailbox{}, err
	}
	m := rows[0].mailbox(nil)
	for _, r := range rows {
		if r.Side != nil {
			m.Sides = append(m.Sides, sideRow{m.Key, *r.Side, *r.Entered, r.Opened, r.Closed, r.Mood, *r.Attendance, *r.Received}.opening())
		}
	}
	t.rememberStored(m)
	t.conn.remembered.putMailbox(m)
	return m, nil
}

// rememberStored remembers a mailbox as it is stored, so that only its changes are written.
func (t *tx) rememberStored(m rendezvous.Mailbox) {
	if t.storedMailboxes == nil {
		t.storedMailboxes = map[rendezvous.MailboxKey]rendezvous.Mailbox{}
	}
	t.storedMailboxes[m.Key] = m
}

const (
	insertMailbox = `
		INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes, stored)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		RETURNING key`
	updateMailbox = `
		UPDATE mailboxes
		SET updated = ?, ttl = ?, stale_at = ?, for_nameplate = ?, crowded = ?, last_position = ?, bytes = ?, stored = ?,
		    watched = ?, crowded_told = ?, received_told = ?
		WHERE key = ?`
	putSide = `
			INSERT INTO mailbox_sides (mailbox, app, side, entered, opened, closed, mood, attendance, received)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (mailbox, side) DO UPDATE
			SET entered = excluded.entered, opened = excluded.opened, closed = excluded.closed, mood = excluded.mood,
			    attendance = excluded.attendance, received = excluded.received`
	deleteMailbox = `DELETE FROM mailboxes WHERE key = ?`
	updateHeld    = `UPDATE mailboxes SET held = ? WHERE key = ? AND held < ?`
)

// CreateMailbox stores a new mailbox with its sides and returns it with its key.
func (t *tx) CreateMailbox(m rendezvous.Mailbox) (_ rendezvous.Mailbox, err error) {
	defer annotate(&err, "creating a mailbox")
	m.Key, err = queryReturning[rendezvous.MailboxKey](t, insertMailbox,
		m.App, m.ID, toMillis(m.Created), toMillis(m.Updated), toSpan(m.TTL), toMillis(m.StaleAt),
		flag(m.ForNameplate), flag(m.Crowded), m.Last, m.Bytes, m.Stored)
	if err != nil {
		return m, err
	}
	t.rememberUnsubscribed(m.Key)
	if err = t.putSides(m); err == nil {
		t.conn.remembered.putMailbox(asStored(m))
	}
	return m, err
}

// UpdateMailbox stores everything of a mailbox but its messages.
func (t *tx) UpdateMailbox(m rendezvous.Mailbox) (err error) {
	defer annotate(&err, "updating mailbox %d", m.Key)
	if err = t.changeRow(updateMailbox,
		toMillis(m.Updated), toSpan(m.TTL), toMillis(m.StaleAt), flag(m.ForNameplate), flag(m.Crowded),
		m.Last, m.Bytes, m.Stored, millisOrNull(m.Watched), millisOrNull(m.CrowdedTold), millisOrNull(m.ReceivedTold), m.Key); err != nil {
		return err
	}
	t.conn.remembered.changeMailbox(m.Key, func(stored *rendezvous.Mailbox) { *stored = updated(*stored, m) })
	return t.putSides(m)
}

// updated is what is stored after a mailbox was updated: what an update does not write, sides included, is as it was.
func updated(was, m rendezvous.Mailbox) rendezvous.Mailbox {
	m.App, m.ID, m.Created, m.SocketSeen = was.App, was.ID, was.Created, was.SocketSeen
	for _, o := range was.Sides {
		if !slices.ContainsFunc(m.Sides, func(other rendezvous.Opening) bool { return other.Side == o.Side }) {
			m.Sides = append(slices.Clip(m.Sides), o)
		}
	}
	return asStored(m)
}

// asStored is a mailbox as it is read after it was written: times are of whole milliseconds, and sides in order.
func asStored(m rendezvous.Mailbox) rendezvous.Mailbox {
	m.Created, m.Updated, m.StaleAt = toMillis(m.Created).time(), toMillis(m.Updated).time(), toMillis(m.StaleAt).time()
	for _, t := range []*time.Time{&m.Watched, &m.CrowdedTold, &m.ReceivedTold} {
		*t = timeOrZero(millisOrNull(*t))
	}
	m.TTL = toSpan(m.TTL).duration()
	var sides []rendezvous.Opening // nil if there are none, as it is read
	for _, o := range m.Sides {
		o.Entered, o.Opened = toMillis(o.Entered).time(), timeOrNil(millisOrNil(o.Opened))
		if o.Closed != nil {
			o.Closed = &rendezvous.Closing{At: toMillis(o.Closed.At).time(), Mood: o.Closed.Mood}
		}
		sides = append(sides, o)
	}
	slices.SortFunc(sides, func(a, b rendezvous.Opening) int {
		return cmp.Or(a.Entered.Compare(b.Entered), cmp.Compare(a.Side, b.Side))
	})
	m.Sides = sides
	return m
}

// putSides adds and changes sides; it removes none.
func (t *tx) putSides(m rendezvous.Mailbox) error {
	for _, o := range m.Sides {
		if slices.ContainsFunc(t.storedMailboxes[m.Key].Sides, o.Equal) {
			continue
		}
		var closed *millis
		var mood *rendezvous.Mood
		if o.Closed != nil {
			closed, mood = millisOrNil(&o.Closed.At), &o.Closed.Mood
		}
		if err := t.change(putSide,
			m.Key, m.App, o.Side, toMillis(o.Entered), millisOrNil(o.Opened), closed, mood, o.Attendance, o.Received); err != nil {
			return err
		}
	}
	t.rememberStored(m)
	return nil
}

// MailboxesOf returns the mailboxes that a side is in; its quota bounds their number.
func (t *tx) MailboxesOf(app rendezvous.AppID, side rendezvous.Side) (_ []rendezvous.Mailbox, err error) {
	defer annotate(&err, "listing a side's mailboxes")
	rows, err := listLocked(t, app, side, mailboxRow.mailboxKey, selectMailbox+`
		JOIN mailbox_sides AS mine ON mine.mailbox = m.key
		WHERE mine.app = ? AND mine.side = ? AND mine.closed IS NULL
		ORDER BY m.key`, app, side)
	if err != nil {
		return nil, err
	}
	sides, err := queryAll[sideRow](t, selectSide+`
		JOIN mailbox_sides AS mine ON mine.mailbox = s.mailbox
		WHERE mine.app = ? AND mine.side = ? AND mine.closed IS NULL
		ORDER BY s.mailbox, s.entered, s.side`, app, side)
	return mapSlice(rows, func(r mailboxRow) rendezvous.Mailbox { return r.mailbox(sides) }), err
}

// CountMailboxesOf returns how many mailboxes a side is in.
func (t *tx) CountMailboxesOf(app rendezvous.AppID, side rendezvous.Side) (_ int, err error) {
	defer annotate(&err, "counting a side's mailboxes")
	return queryOne[int](t, `SELECT COUNT(*) FROM mailbox_sides WHERE app = ? AND side = ? AND closed IS NULL`, app, side)
}

// RetireMailbox deletes a mailbox and records its usage. Its sides and subscriptions are deleted
// with it (ON DELETE CASCADE); its log stays as long as outboxes refer to it.
func (t *tx) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) (err error) {
	defer annotate(&err, "retiring mailbox %d", m.Key)
	if t.conn.dialect.repliesInMessages && m.Last > 0 && !t.isUnsubscribed(m.Key) {
		if err = t.detachReplies(m.Key); err != nil {
			return err
		}
	}
	t.forgetUnsubscribed(m.Key)
	t.conn.remembered.forgetMailbox(m.Key)
	if err = t.changeRow(deleteMailbox, m.Key); err != nil {
		return err
	}
	if err = t.retireLog(m); err != nil {
		return err
	}
	return t.recordMailbox(u, m.ForNameplate)
}

// StaleMailboxes returns up to limit mailboxes that are due for pruning, after a cursor.
func (t *tx) StaleMailboxes(now time.Time, after rendezvous.MailboxCursor, limit int) (_ []rendezvous.MailboxCursor, err error) {
	defer annotate(&err, "listing stale mailboxes")
	type row struct {
		StaleAt millis `db:"stale_at"`
		Key     rendezvous.MailboxKey
	}
	rows, err := queryAll[row](t, `
		SELECT stale_at, key FROM mailboxes
		WHERE stale_at <= ? AND (stale_at, key) > (?, ?)
		ORDER BY stale_at, key
		LIMIT ?`, toMillis(now), toMillis(after.StaleAt), after.Key, limit)
	return mapSlice(rows, func(r row) rendezvous.MailboxCursor {
		return rendezvous.MailboxCursor{StaleAt: r.StaleAt.time(), Key: r.Key}
	}), err
}

// Holders returns the live sessions whose side is in the mailbox: at most two.
func (t *tx) Holders(k rendezvous.MailboxKey) (_ []rendezvous.Session, err error) {
	defer annotate(&err, "listing the sessions that hold mailbox %d", k)
	rows, err := queryAll[sessionRow](t, selectSession+`
		JOIN mailbox_sides AS m ON m.app = s.app AND m.side = s.side
		WHERE m.mailbox = ? AND m.closed IS NULL AND s.ended IS NULL
		ORDER BY s.key`, k)
	return mapSlice(rows, sessionRow.session), err
}

// SocketsSeen records the last sign of life of the sockets that hold mailboxes. The stored
// time never goes back.
func (t *tx) SocketsSeen(keys []rendezvous.MailboxKey, at time.Time) (err error) {
	defer annotate(&err, "recording that %d mailboxes are held", len(keys))
	if t.needsLocks() {
		return t.socketsSeenBatch(keys, at)
	}
	for _, k := range keys {
		if err := t.change(updateHeld, toMillis(at), k, toMillis(at)); err != nil {
			return err
		}
		t.conn.remembered.changeMailbox(k, func(m *rendezvous.Mailbox) {
			if seen := toMillis(at).time(); m.SocketSeen.Before(seen) {
				m.SocketSeen = seen
			}
		})
	}
	return nil
}
