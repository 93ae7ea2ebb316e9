package rendezvous

import (
	"slices"
	"time"
)

// Mailbox is a log of messages that at most two sides share.
type Mailbox struct {
	Key     MailboxKey // 0 until it is first stored
	App     AppID
	ID      MailboxID
	Created time.Time
	// Updated is when it last changed: a side entered, opened or closed, or a message was added.
	Updated time.Time
	// TTL is how long it lives after its last change and the last sign of life of the clients that have
	// it open.
	TTL time.Duration
	// StaleAt is when pruning looks at it again. It is at most TTL later than the end of the mailbox's
	// life, and is postponed while a client that has the mailbox open is alive.
	StaleAt time.Time
	// SocketSeen is the last stored sign of life of a socket that had the mailbox open, at most a
	// minute late. It is zero if there was none.
	SocketSeen time.Time
	// ForNameplate reports that the mailbox was made for a nameplate.
	ForNameplate bool
	// Crowded reports that a third side was refused.
	Crowded bool
	// Watched is since when its sides are told of each other. It is zero if none has asked for that.
	Watched time.Time
	// CrowdedTold and ReceivedTold are when its sides were last told that a third one was refused, and how far a side
	// has processed the messages.
	CrowdedTold, ReceivedTold time.Time
	// Last is the position of the newest message, 0 if there is none.
	Last Position
	// Bytes is the size of all bodies together.
	Bytes int64
	// Stored is about how many bytes the mailbox takes with its messages, and what belongs to them.
	Stored int64
	Sides  []Opening // at most two, oldest first
}

// Opening is one side's presence in a mailbox.
type Opening struct {
	Side    Side
	Entered time.Time
	Opened  *time.Time // nil while it has only entered, by a nameplate
	Closed  *Closing   // nil while it is in
	// Attendance is what the others were last told of it, and Received up to which position it has processed the
	// messages of the others. They are known only if the mailbox is watched.
	Attendance Attendance
	Received   Position
}

// Equal reports whether two openings are the same.
func (o Opening) Equal(other Opening) bool {
	return o.Side == other.Side && o.Attendance == other.Attendance && o.Received == other.Received && o.Entered.Equal(other.Entered) &&
		(o.Opened == nil) == (other.Opened == nil) && (o.Opened == nil || o.Opened.Equal(*other.Opened)) &&
		(o.Closed == nil) == (other.Closed == nil) && (o.Closed == nil || o.Closed.At.Equal(other.Closed.At) && o.Closed.Mood == other.Closed.Mood)
}

// Closing is when a side left, and in which mood.
type Closing struct {
	At   time.Time
	Mood Mood
}

// NewMailbox returns an empty mailbox without sides.
func NewMailbox(app AppID, id MailboxID, ttl time.Duration, now time.Time) Mailbox {
	return Mailbox{App: app, ID: id, Created: now, Updated: now, TTL: ttl, StaleAt: now.Add(ttl), Stored: mailboxOverhead}
}

// Enter lets a side in. A side that is in already stays in, and one that has closed is let in again. A
// third side is not admitted: the returned mailbox has Crowded set, which is to be stored, and nothing
// else changes.
func (m Mailbox) Enter(s Side, now time.Time) (_ Mailbox, admitted bool) {
	i := m.find(s)
	switch {
	case i >= 0 && m.Sides[i].Closed == nil:
		return m, true
	case i >= 0:
		m.Sides = slices.Clone(m.Sides)
		m.Sides[i].Opened, m.Sides[i].Closed = nil, nil
	case len(m.Sides) == 2:
		m.Crowded = true
		return m, false
	default:
		m.Sides = append(slices.Clone(m.Sides), Opening{Side: s, Entered: now})
	}
	return m.touch(now), true
}

// Open enters a side, if it is not in, and marks it as having opened.
func (m Mailbox) Open(s Side, now time.Time) (_ Mailbox, admitted bool) {
	m, admitted = m.Enter(s, now)
	if !admitted {
		return m, false
	}
	if i := m.find(s); m.Sides[i].Opened == nil {
		m.Sides = slices.Clone(m.Sides)
		m.Sides[i].Opened = &now
		m = m.touch(now)
	}
	return m, true
}

// Close lets a side out. left is false if the side was not in; then nothing changes.
func (m Mailbox) Close(s Side, mood Mood, now time.Time) (_ Mailbox, left bool) {
	i := m.find(s)
	if i < 0 || m.Sides[i].Closed != nil {
		return m, false
	}
	m.Sides = slices.Clone(m.Sides)
	m.Sides[i].Closed = &Closing{now, mood}
	return m.touch(now), true
}

// Has reports whether the side is in: entered and not closed.
func (m Mailbox) Has(s Side) bool {
	i := m.find(s)
	return i >= 0 && m.Sides[i].Closed == nil
}

// HasOpen reports whether the side has opened the mailbox and not closed it.
func (m Mailbox) HasOpen(s Side) bool { return m.Has(s) && m.Sides[m.find(s)].Opened != nil }

// Empty reports that no side is in any more, so that the mailbox is to be retired.
func (m Mailbox) Empty() bool {
	return !slices.ContainsFunc(m.Sides, func(o Opening) bool { return o.Closed == nil })
}

// Extend returns the mailbox with a longer life, if ttl is longer than the present one.
func (m Mailbox) Extend(ttl time.Duration) Mailbox {
	if ttl > m.TTL {
		m.TTL = ttl
		m.StaleAt = latest(m.StaleAt, m.Updated.Add(ttl)) // it may be put off already
	}
	return m
}

// Stale returns when the mailbox's life ends, given the last sign of life of the clients that have it
// open.
func (m Mailbox) Stale(lastSeen time.Time) time.Time {
	if lastSeen.Before(m.Updated) {
		lastSeen = m.Updated
	}
	return lastSeen.Add(m.TTL)
}

func (m Mailbox) find(s Side) int {
	return slices.IndexFunc(m.Sides, func(o Opening) bool { return o.Side == s })
}

func (m Mailbox) touch(now time.Time) Mailbox {
	m.Updated = now
	m.StaleAt = now.Add(m.TTL)
	return m
}
