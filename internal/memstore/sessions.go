package memstore

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// session returns a session's row to read.
func (t *tx) session(k session.Key) (*sessionRow, error) {
	r, found := t.sessions.get(k)
	if !found {
		return nil, rendezvous.ErrNotFound
	}
	return r, nil
}

// editSession returns a session's row to change.
func (t *tx) editSession(k session.Key) (*sessionRow, error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	r, found := t.sessions.get(k)
	if !found {
		return nil, rendezvous.ErrNotFound
	}
	t.changed = true
	if r.by == t.id {
		return r, nil
	}
	edited := *r
	edited.by = t.id
	t.sessions.put(t.id, &edited)
	return &edited, nil
}

// value returns the session. What it points to is the caller's own.
func (r *sessionRow) value() rendezvous.Session {
	s := r.Session
	if s.Ended != nil {
		s.Ended = new(*s.Ended)
	}
	return s
}

// stored returns a session as the tables of the real stores keep it.
func stored(s rendezvous.Session) rendezvous.Session {
	if s.Ended == nil {
		return s
	}
	s.Ended = new(*s.Ended)
	if s.Ended.Reason != session.Removed {
		s.Ended.Text = ""
	}
	return s
}

// Session loads a session.
func (t *tx) Session(k session.Key) (rendezvous.Session, error) {
	r, err := t.session(k)
	if err != nil {
		return rendezvous.Session{}, err
	}
	return r.value(), nil
}

// IdleSession is Session, because no other transaction writes.
func (t *tx) IdleSession(k session.Key) (rendezvous.Session, error) { return t.Session(k) }

// Sessions loads the sessions that exist.
func (t *tx) Sessions(keys []session.Key) ([]rendezvous.Session, error) {
	var list []rendezvous.Session
	for _, k := range keys {
		if r, found := t.sessions.get(k); found {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// LockHandshake locks nothing, because no other transaction writes.
func (t *tx) LockHandshake([]session.Key, rendezvous.AppID, rendezvous.Side) error { return nil }

// HandshakeSessions loads the sessions that exist.
func (t *tx) HandshakeSessions(keys []session.Key) ([]rendezvous.Session, error) {
	return t.Sessions(keys)
}

// SideOf returns a session's app and side.
func (t *tx) SideOf(k session.Key) (rendezvous.AppID, rendezvous.Side, error) {
	r, err := t.session(k)
	if err != nil {
		return "", "", err
	}
	return r.App, r.Side, nil
}

// owner returns the session that began last with a side, or nil.
func (t *tx) owner(app rendezvous.AppID, side rendezvous.Side) (last *sessionRow) {
	for _, r := range t.sessions.rows {
		if r.Side == side && r.App == app && (last == nil || r.turn > last.turn) {
			last = r
		}
	}
	return last
}

// SideOwner loads the session that began last with a side.
func (t *tx) SideOwner(app rendezvous.AppID, side rendezvous.Side) (rendezvous.Session, error) {
	if last := t.owner(app, side); last != nil {
		return last.value(), nil
	}
	return rendezvous.Session{}, rendezvous.ErrNotFound
}

// LiveSession loads the session of a side that has not ended.
func (t *tx) LiveSession(app rendezvous.AppID, side rendezvous.Side) (rendezvous.Session, error) {
	for _, r := range t.sessions.rows {
		if r.Side == side && r.App == app && r.Ended == nil {
			return r.value(), nil
		}
	}
	return rendezvous.Session{}, rendezvous.ErrNotFound
}

var (
	errExists = errors.New("there is one already")
	errNoSuch = errors.New("there is nothing that it could belong to")
	errSide   = errors.New("the side has a live session")
)

// CreateSession stores a new session.
func (t *tx) CreateSession(s rendezvous.Session, sweepAt time.Time) error {
	if err := t.change(); err != nil {
		return err
	}
	if _, found := t.sessions.get(s.Key); found {
		return t.fail(errExists)
	}
	if _, err := t.LiveSession(s.App, s.Side); err == nil && s.Ended == nil {
		return t.fail(errSide)
	}
	t.changed = true
	t.lastTurn++
	s = stored(s)
	s.Kept = s.Next
	t.note(Change{Kind: SessionBegun, Session: s.Key})
	t.note(Change{Kind: SessionSeen, Session: s.Key, Seen: s.Seen})
	t.sessions.put(t.id, &sessionRow{made: made{t.id}, Session: s, sweepAt: sweepAt, turn: t.lastTurn, live: true})
	return nil
}

// UpdateSession stores a session's record, except what its outbox keeps.
func (t *tx) UpdateSession(s rendezvous.Session, sweepAt time.Time) error {
	r, err := t.editSession(s.Key)
	if err != nil {
		return err
	}
	s = stored(s)
	s.Epoch, s.Kept, s.Next = r.Epoch, r.Kept, r.Next
	if s.Ended != nil && r.Ended == nil {
		t.note(Change{Kind: SessionEnded, Session: s.Key, Reason: s.Ended.Reason})
	}
	if s.Ended == nil {
		t.note(Change{Kind: SessionSeen, Session: s.Key, Seen: s.Seen})
	}
	r.Record, r.sweepAt = s.Record, sweepAt
	return nil
}

// EmptySession removes what only a live session has.
func (t *tx) EmptySession(k session.Key) error {
	r, err := t.editSession(k)
	if errors.Is(err, rendezvous.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.live, r.Kept, r.backlog, r.outbox, r.replies = false, r.Next, rendezvous.Backlog{}, nil, nil
	return t.unsubscribeAll(k)
}

func (t *tx) unsubscribeAll(k session.Key) error {
	for _, m := range t.mailboxes.rows {
		if err := t.Unsubscribe(k, m.Key); err != nil {
			return err
		}
	}
	return nil
}

// DeleteSession removes a session.
func (t *tx) DeleteSession(k session.Key) error {
	if err := t.change(); err != nil {
		return err
	}
	r, found := t.sessions.get(k)
	if !found {
		return nil
	}
	if r.Ended == nil {
		t.note(Change{Kind: SessionEnded, Session: k})
	}
	t.sessions.remove(t.id, k)
	t.changed = true
	return t.unsubscribeAll(k)
}

// standsFor reports whether an address is another one, or in the network that the other one stands for.
func standsFor(wide, address string) bool { return address >= wide && address < wide+"." }

// CountSessions counts the sessions of an address.
func (t *tx) CountSessions(address string, ended bool, atMost int) (n int, _ error) {
	for _, r := range t.sessions.rows {
		if (r.Ended != nil) == ended && (r.Address == address || !ended && standsFor(address, r.Address)) {
			n++
		}
	}
	return min(n, atMost), nil
}

// CountTombstones counts the ended sessions.
func (t *tx) CountTombstones(atMost int) (n int, _ error) {
	for _, r := range t.sessions.rows {
		if r.Ended != nil {
			n++
		}
	}
	return min(n, atMost), nil
}

// OldestTombstone returns the session that ended first.
func (t *tx) OldestTombstone(address string) (session.Key, error) {
	var oldest *sessionRow
	for _, r := range t.sessions.rows {
		if r.Ended != nil && (address == "" || r.Address == address) && (oldest == nil || r.Ended.At.Before(oldest.Ended.At)) {
			oldest = r
		}
	}
	if oldest == nil {
		return session.Key{}, rendezvous.ErrNotFound
	}
	return oldest.Key, nil
}

// SessionsToSweep lists sessions that are due, after a cursor.
func (t *tx) SessionsToSweep(now time.Time, after rendezvous.SweepCursor, limit int) (due []rendezvous.SweepCursor, _ error) {
	order := func(a, b rendezvous.SweepCursor) int {
		return cmp.Or(a.SweepAt.Compare(b.SweepAt), bytes.Compare(a.Key[:], b.Key[:]))
	}
	for _, r := range t.sessions.rows {
		if c := (rendezvous.SweepCursor{SweepAt: r.sweepAt, Key: r.Key}); !c.SweepAt.After(now) && order(c, after) > 0 {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, order)
	return due[:min(len(due), limit)], nil
}

// SessionsToAsk lists sessions whose clients are to be asked for a newer token.
func (t *tx) SessionsToAsk(now time.Time, limit int) ([]session.Key, error) {
	var due []*sessionRow
	for _, r := range t.sessions.rows {
		if r.Ended == nil && !r.Token.AskAt.IsZero() && !r.Token.AskAt.After(now) {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *sessionRow) int { return a.Token.AskAt.Compare(b.Token.AskAt) })
	var keys []session.Key
	for _, r := range due[:min(len(due), limit)] {
		keys = append(keys, r.Key)
	}
	return keys, nil
}

// UpdateLastSeen moves signs of life forward.
func (t *tx) UpdateLastSeen(seen []session.Sighting) error {
	if err := t.change(); err != nil {
		return err
	}
	for _, s := range seen {
		if r, err := t.session(s.Key); err != nil || r.Ended != nil || !r.Seen.Before(s.Seen) {
			continue
		}
		r, err := t.editSession(s.Key)
		if err != nil {
			return err
		}
		r.Seen, r.sweepAt = s.Seen, s.SweepAt
		t.note(Change{Kind: SessionSeen, Session: s.Key, Seen: s.Seen})
	}
	return nil
}

// MarkUsed records that the session did something.
func (t *tx) MarkUsed(k session.Key) error {
	r, err := t.editSession(k)
	if err == nil {
		r.Used = true
	}
	if errors.Is(err, rendezvous.ErrNotFound) {
		return nil
	}
	return err
}

// Reply returns the recorded reply to command n.
func (t *tx) Reply(k session.Key, n session.Seq) (rendezvous.Reply, error) {
	r, err := t.session(k)
	if err != nil {
		return rendezvous.Reply{}, err
	}
	for _, reply := range r.replies {
		if reply.seq == n && n >= r.Wanted-session.Window {
			return reply.Reply, nil
		}
	}
	return rendezvous.Reply{}, rendezvous.ErrNotFound
}

var errNotNext = errors.New("it is not the next one")

// Complete records that command n is done.
func (t *tx) Complete(k session.Key, n session.Seq, reply rendezvous.Reply) error {
	r, err := t.editSession(k)
	if err != nil {
		return err
	}
	if r.Ended != nil || r.Wanted != n {
		return errNotNext
	}
	r.Wanted, r.Used = n+1, true
	t.note(Change{Kind: CommandDone, Session: k, Seq: n})
	r.replies = append(r.replies, numberedReply{n, reply})
	if over := len(r.replies) - session.Window; over > 0 {
		r.replies = r.replies[over:]
	}
	return nil
}
