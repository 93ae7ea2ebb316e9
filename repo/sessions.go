package repo

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// sessionRow is a session with its outbox's counters.
type sessionRow struct {
	Key     digest
	App     rendezvous.AppID
	Side    rendezvous.Side
	Address string
	Began   millis
	Epoch   session.Epoch
	Wanted  session.Seq
	Kept    session.Seq
	Next    session.Seq
	Seen    millis
	Grace   span
	Used    flag
	Ended   *millis
	Reason  *session.Reason
	Text    *string `db:"ended_text"`
	Expires *millis `db:"token_expires"`
	AskAt   *millis `db:"token_ask_at"`
}

// selectSession selects sessions with their outbox's counters; callers add a WHERE clause.
const selectSession = `
	SELECT s.key, s.app, s.side, s.address, s.began, o.epoch, s.wanted, o.kept, o.next,
	       s.seen, s.grace, s.used, s.ended, s.reason, s.ended_text, s.token_expires, s.token_ask_at
	FROM sessions AS s
	JOIN outboxes AS o ON o.session = s.key`

func (r sessionRow) session() rendezvous.Session {
	s := rendezvous.Session{
		Key: session.Key(r.Key), App: r.App, Side: r.Side, Address: r.Address, Began: r.Began.time(),
		Record: session.Record{
			Ledger: session.Ledger{Wanted: r.Wanted, Kept: r.Kept, Next: r.Next},
			Epoch:  r.Epoch, Seen: r.Seen.time(), Grace: r.Grace.duration(), Used: bool(r.Used),
		},
	}
	s.Token = r.token()
	if r.Ended != nil && r.Reason != nil {
		s.Ended = &session.Ending{At: r.Ended.time(), Reason: *r.Reason}
		if r.Text != nil {
			s.Ended.Reason, s.Ended.Text = session.Removed, *r.Text
		}
		if *r.Reason == session.Expired && r.Expires != nil {
			s.Ended.Reason = session.TokenExpired
		}
	}
	return s
}

// token returns what the columns of a token say; NULL is the zero time.
func (r sessionRow) token() (t session.Token) {
	if r.Expires != nil {
		t.Expires = r.Expires.time()
	}
	if r.AskAt != nil {
		t.AskAt = r.AskAt.time()
	}
	return t
}

// tokenColumns returns the columns of a session's token, which are NULL where there is none.
func tokenColumns(t session.Token) (expires, askAt *millis) {
	if !t.Expires.IsZero() {
		expires = millisOrNil(&t.Expires)
	}
	if !t.AskAt.IsZero() {
		askAt = millisOrNil(&t.AskAt)
	}
	return expires, askAt
}

// endingColumns returns the columns of a session's end: at and why are both NULL or neither is, and text is NULL unless
// the operator ended it. Servers of earlier versions know neither that reason nor that a token has expired, so these
// are stored as reasons that they know; only an end for a token keeps the token.
func endingColumns(e *session.Ending) (at *millis, why *session.Reason, text *string) {
	if e == nil {
		return nil, nil, nil
	}
	if e.Reason == session.Removed {
		return millisOrNil(&e.At), new(session.Deleted), &e.Text
	}
	if e.Reason == session.TokenExpired {
		return millisOrNil(&e.At), new(session.Expired), nil
	}
	return millisOrNil(&e.At), &e.Reason, nil
}

// Session loads a session, or returns ErrNotFound.
func (t *tx) Session(k session.Key) (_ rendezvous.Session, err error) {
	defer annotate(&err, "loading session %s", k)
	if s, known := t.conn.remembered.session(k); known {
		return s, t.failed
	}
	row, err := queryOne[sessionRow](t, selectSession+` WHERE s.key = ?`+t.forUpdate("s"), digest(k))
	s := row.session()
	if err == nil {
		t.conn.remembered.putSession(s)
	}
	return s, err
}

// Sessions loads the sessions with the given keys, without those that do not exist.
func (t *tx) Sessions(keys []session.Key) (_ []rendezvous.Session, err error) {
	if t.conn.dialect.concurrentWriters {
		return t.sessionsBatch(keys)
	}
	var found []rendezvous.Session
	for _, k := range keys {
		s, err := t.Session(k)
		if errors.Is(err, rendezvous.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}

// LockHandshake locks the keys and the side. On PostgreSQL these are advisory locks: they can be
// taken of what does not exist yet.
func (t *tx) LockHandshake(keys []session.Key, app rendezvous.AppID, side rendezvous.Side) (err error) {
	defer annotate(&err, "locking %d sessions and a side", len(keys))
	if !t.needsLocks() {
		return nil
	}
	names := make([]string, 0, len(keys)+1)
	for _, k := range keys {
		names = append(names, fmt.Sprintf("session %x", k[:]))
	}
	if side != "" {
		names = append(names, fmt.Sprintf("side %d %s %s", len(app), app, side))
	}
	return t.lockNames(names...)
}

// HandshakeSessions loads sessions and locks them with their outboxes: first all sessions, then all
// outboxes, each in the order of their keys.
func (t *tx) HandshakeSessions(keys []session.Key) (_ []rendezvous.Session, err error) {
	defer annotate(&err, "loading %d sessions for a handshake", len(keys))
	if err := t.lockSessions(keys); err != nil {
		return nil, err
	}
	return t.Sessions(keys)
}

// SideOf returns a session's app and side, which never change. It locks nothing.
func (t *tx) SideOf(k session.Key) (_ rendezvous.AppID, _ rendezvous.Side, err error) {
	defer annotate(&err, "loading the side of session %s", k)
	row, err := queryOne[struct {
		App  rendezvous.AppID
		Side rendezvous.Side
	}](t, `SELECT app, side FROM sessions WHERE key = ?`, digest(k))
	return row.App, row.Side, err
}

// IdleSession loads a session, or returns ErrNotFound if another transaction has locked it.
func (t *tx) IdleSession(k session.Key) (_ rendezvous.Session, err error) {
	defer annotate(&err, "loading session %s if it is idle", k)
	row, err := queryOne[sessionRow](t, selectSession+` WHERE s.key = ?`+t.forUpdateSkipLocked("s"), digest(k))
	return row.session(), err
}

// SideOwner loads the session that began last with this side, live or ended.
func (t *tx) SideOwner(app rendezvous.AppID, side rendezvous.Side) (_ rendezvous.Session, err error) {
	defer annotate(&err, "loading a side's owner")
	row, err := queryOne[sessionRow](t, selectSession+`
		WHERE s.app = ? AND s.side = ?
		ORDER BY s.turn DESC
		LIMIT 1`, app, side)
	return row.session(), err
}

// LiveSession loads the session of this side that has not ended; there is at most one.
func (t *tx) LiveSession(app rendezvous.AppID, side rendezvous.Side) (_ rendezvous.Session, err error) {
	defer annotate(&err, "loading a side's live session")
	row, err := queryOne[sessionRow](t, selectSession+`
		WHERE s.app = ? AND s.side = ? AND s.ended IS NULL`+t.forUpdate("s"), app, side)
	return row.session(), err
}

const (
	insertSession = `
		INSERT INTO sessions (key, app, side, address, began, turn, wanted, seen, grace, used, ended, reason, ended_text, token_expires, token_ask_at, sweep_at)
		VALUES (?, ?, ?, ?, ?,
			-- The new session owns the side.
			(SELECT COALESCE(MAX(turn), 0) + 1 FROM sessions WHERE app = ? AND side = ?),
			?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertOutbox  = `INSERT INTO outboxes (session, epoch, kept, next, frames, bytes) VALUES (?, ?, ?, ?, 0, 0)`
	updateSession = `
		UPDATE sessions
		SET wanted = ?, seen = ?, grace = ?, used = ?, ended = ?, reason = ?, ended_text = ?, token_expires = ?, token_ask_at = ?, sweep_at = ?
		WHERE key = ?`
	deleteSubscriptionsOf = `DELETE FROM subscriptions WHERE session = ?`
	emptyOutbox           = `UPDATE outboxes SET live = 0, kept = next, frames = 0, bytes = 0 WHERE session = ?`
	deleteSession         = `DELETE FROM sessions WHERE key = ?`
	updateSeen            = `
			UPDATE sessions SET seen = ?, sweep_at = ?
			WHERE key = ? AND seen < ? AND ended IS NULL`
	markUsed     = `UPDATE sessions SET used = 1 WHERE key = ? AND used = 0`
	countCommand = `
			UPDATE sessions SET wanted = wanted + 1, used = 1
			WHERE key = ? AND wanted = ? AND ended IS NULL`
)

// CreateSession stores a new session with an empty outbox.
func (t *tx) CreateSession(s rendezvous.Session, sweepAt time.Time) (err error) {
	defer annotate(&err, "creating session %s", s.Key)
	ended, reason, text := endingColumns(s.Ended)
	expires, askAt := tokenColumns(s.Token)
	err = t.change(insertSession,
		digest(s.Key), s.App, s.Side, s.Address, toMillis(s.Began), s.App, s.Side,
		s.Wanted, toMillis(s.Seen), toSpan(s.Grace), flag(s.Used), ended, reason, text, expires, askAt, toMillis(sweepAt))
	if err != nil {
		return err
	}
	return t.change(insertOutbox, digest(s.Key), s.Epoch, s.Next, s.Next)
}

// UpdateSession stores a session's record, except the frames' counters.
func (t *tx) UpdateSession(s rendezvous.Session, sweepAt time.Time) (err error) {
	defer annotate(&err, "updating session %s", s.Key)
	ended, reason, text := endingColumns(s.Ended)
	expires, askAt := tokenColumns(s.Token)
	t.conn.remembered.forgetSession(s.Key)
	return t.changeRow(updateSession,
		s.Wanted, toMillis(s.Seen), toSpan(s.Grace), flag(s.Used), ended, reason, text, expires, askAt, toMillis(sweepAt), digest(s.Key))
}

// EmptySession deletes what only a live session has: its subscriptions, replies and frames.
func (t *tx) EmptySession(k session.Key) (err error) {
	defer annotate(&err, "emptying session %s", k)
	t.conn.remembered.forgetSession(k)
	t.conn.remembered.forgetSubscriptions(k)
	for _, query := range []string{
		deleteSubscriptionsOf,
		`DELETE FROM replies WHERE session = ?`,
		emptyOutbox,
		`DELETE FROM outbox_entries WHERE session = ?`, // after the outbox, whose lock guards them
	} {
		if err = t.change(query, digest(k)); err != nil {
			return err
		}
	}
	if t.conn.dialect.repliesInMessages {
		return t.forgetChain(digest(k))
	}
	return nil
}

// DeleteSession deletes a session and everything that refers to it.
func (t *tx) DeleteSession(k session.Key) (err error) {
	defer annotate(&err, "deleting session %s", k)
	if err = t.lockOutbox(k); err != nil {
		return err
	}
	t.conn.remembered.forgetSession(k)
	t.conn.remembered.forgetSubscriptions(k)
	return t.change(deleteSession, digest(k))
}

// CountSessions counts the live sessions of an address, or of the network that it stands for, or the tombstones of an
// address, up to atMost.
func (t *tx) CountSessions(address string, ended bool, atMost int) (_ int, err error) {
	defer annotate(&err, "counting the sessions of an address")
	if ended {
		return queryOne[int](t, `
			SELECT COUNT(*)
			FROM (SELECT 1 FROM sessions WHERE address = ? AND ended IS NOT NULL LIMIT ?) AS few`, address, atMost)
	}
	low, high := addressRange(address)
	return queryOne[int](t, `
		SELECT COUNT(*)
		FROM (SELECT 1 FROM sessions WHERE address >= ? AND address < ? AND ended IS NULL LIMIT ?) AS few`, low, high, atMost)
}

// CountTombstones counts the ended sessions, up to atMost.
func (t *tx) CountTombstones(atMost int) (_ int, err error) {
	defer annotate(&err, "counting tombstones")
	return queryOne[int](t, `
		SELECT COUNT(*)
		FROM (SELECT 1 FROM sessions WHERE ended IS NOT NULL LIMIT ?) AS few`, atMost)
}

// OldestTombstone returns the session that ended first, of an address or of all if address is empty.
func (t *tx) OldestTombstone(address string) (_ session.Key, err error) {
	defer annotate(&err, "loading the oldest tombstone")
	var k digest
	if address == "" {
		k, err = queryOne[digest](t, `
			SELECT key FROM sessions
			WHERE ended IS NOT NULL
			ORDER BY ended, key
			LIMIT 1`)
	} else {
		k, err = queryOne[digest](t, `
			SELECT key FROM sessions
			WHERE address = ? AND ended IS NOT NULL
			ORDER BY ended, key
			LIMIT 1`, address)
	}
	return session.Key(k), err
}

// SessionsToSweep returns up to limit sessions that are due for the sweep, after a cursor.
func (t *tx) SessionsToSweep(now time.Time, after rendezvous.SweepCursor, limit int) (_ []rendezvous.SweepCursor, err error) {
	defer annotate(&err, "listing the sessions to sweep")
	type row struct {
		SweepAt millis `db:"sweep_at"`
		Key     digest
	}
	rows, err := queryAll[row](t, `
		SELECT sweep_at, key FROM sessions
		WHERE sweep_at <= ? AND (sweep_at, key) > (?, ?)
		ORDER BY sweep_at, key
		LIMIT ?`, toMillis(now), toMillis(after.SweepAt), digest(after.Key), limit)
	return mapSlice(rows, func(r row) rendezvous.SweepCursor {
		return rendezvous.SweepCursor{SweepAt: r.SweepAt.time(), Key: session.Key(r.Key)}
	}), err
}

// SessionsToAsk returns up to limit sessions whose clients are to be asked for a newer token.
func (t *tx) SessionsToAsk(now time.Time, limit int) (_ []session.Key, err error) {
	defer annotate(&err, "listing the sessions whose tokens expire soon")
	keys, err := queryAll[digest](t, `
		SELECT key FROM sessions
		WHERE token_ask_at <= ? AND ended IS NULL
		ORDER BY token_ask_at, key
		LIMIT ?`, toMillis(now), limit)
	return mapSlice(keys, func(d digest) session.Key { return session.Key(d) }), err
}

// UpdateLastSeen moves the stored signs of life forward, never back. It goes in the order of the keys,
// so that two such transactions never deadlock.
func (t *tx) UpdateLastSeen(seen []session.Sighting) (err error) {
	defer annotate(&err, "recording %d signs of life", len(seen))
	inOrder := slices.SortedFunc(slices.Values(seen), func(a, b session.Sighting) int {
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	if t.needsLocks() {
		return t.updateLastSeenBatch(inOrder)
	}
	for _, s := range inOrder {
		t.conn.remembered.forgetSession(s.Key)
		if err = t.change(updateSeen,
			toMillis(s.Seen), toMillis(s.SweepAt), digest(s.Key), toMillis(s.Seen)); err != nil {
			return err
		}
	}
	return nil
}

// MarkUsed records that the session did something.
func (t *tx) MarkUsed(k session.Key) (err error) {
	defer annotate(&err, "marking session %s as used", k)
	if err = t.change(markUsed, digest(k)); err == nil {
		t.conn.remembered.changeSession(k, func(s *rendezvous.Session) { s.Used = true })
	}
	return err
}

// Reply returns the recorded reply to command n, or ErrNotFound.
func (t *tx) Reply(k session.Key, n session.Seq) (_ rendezvous.Reply, err error) {
	defer annotate(&err, "loading reply %d of session %s", n, k)
	type row struct {
		Fingerprint digest
		Outcome     []byte
	}
	r, err := queryOne[row](t, `
		SELECT r.fingerprint, r.outcome
		FROM replies AS r
		JOIN sessions AS s ON s.key = r.session
		WHERE r.session = ? AND r.seq = ? AND r.seq >= s.wanted - ?`, digest(k), n, session.Window)
	if errors.Is(err, rendezvous.ErrNotFound) && t.conn.dialect.repliesInMessages {
		return t.chainedReply(k, n)
	}
	return rendezvous.Reply{Fingerprint: r.Fingerprint, Outcome: r.Outcome}, err
}

// Complete counts command n as done and records its reply. It fails if n is not the next command.
func (t *tx) Complete(k session.Key, n session.Seq, r rendezvous.Reply) (err error) {
	defer annotate(&err, "completing command %d of session %s", n, k)
	inMessage := len(t.unwritten) > 0
	if inMessage {
		err = requireRow(t.replyInMessage(k, n, r))
	} else {
		err = t.changeRow(countCommand, digest(k), n)
	}
	if errors.Is(err, rendezvous.ErrNotFound) {
		err = errors.New("it is not the next command")
	}
	if err == nil {
		t.conn.remembered.changeSession(k, func(s *rendezvous.Session) { s.Wanted, s.Used = n+1, true })
	}
	if err == nil && !inMessage {
		err = t.insertReply(digest(k), n, r)
	}
	if err != nil || n%replyCleanupInterval != 0 {
		return err
	}
	return t.change(deleteOldReplies, digest(k), n-session.Window)
}

const deleteOldReplies = `DELETE FROM replies WHERE session = ? AND seq <= ?`

// insertReply stores a reply in a row of its own.
func (t *tx) insertReply(k digest, n session.Seq, r rendezvous.Reply) error {
	return t.change(`
		INSERT INTO replies (session, seq, fingerprint, outcome) VALUES (?, ?, ?, ?)`,
		k, n, digest(r.Fingerprint), nonNil(r.Outcome))
}

// replyCleanupInterval is the number of commands between deletions of replies that are too old.
// Reply does not return such a reply before it is deleted, either.
const replyCleanupInterval = 16
