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
	// TTL is how long it lives after its last change and its holders' last sign of life.
	TTL time.Duration
	// StaleAt is when pruning looks at it again. It is never later than it should be
	// by more than TTL, and is put off while somebody who holds the mailbox is alive.
	StaleAt time.Time
	// SocketSeen is the last sign of life of a socket that had it open, as it is stored: at most
	// a minute late. It is zero if none had.
	SocketSeen time.Time
	// ForNameplate tells that it was made for one.
	ForNameplate bool
	// Crowded tells that a third side was refused.
	Crowded bool
	// Last is the position of the newest message, 0 if there is none.
	Last Position
	// Bytes is the size of all bodies together.
	Bytes int64
	Sides []Opening // at most two, oldest first
}

// Opening is one side's presence in a mailbox.
type Opening struct {
	Side    Side
	Entered time.Time
	Opened  *time.Time // nil while it has only entered, by a nameplate
	Closed  *Closing   // nil while it is in
}

// Equal tells whether two openings say the same.
func (o Opening) Equal(other Opening) bool {
	return o.Side == other.Side && o.Entered.Equal(other.Entered) &&
		(o.Opened == nil) == (other.Opened == nil) && (o.Opened == nil || o.Opened.Equal(*other.Opened)) &&
		(o.Closed == nil) == (other.Closed == nil) && (o.Closed == nil || o.Closed.At.Equal(other.Closed.At) && o.Closed.Mood == other.Closed.Mood)
}

// Closing is a side's leaving: a mood cannot exist without one.
type Closing struct {
	At   time.Time
	Mood Mood
}

// NewMailbox is an empty mailbox that nobody is in yet.
func NewMailbox(app AppID, id MailboxID, ttl time.Duration, now time.Time) Mailbox {
	return Mailbox{App: app, ID: id, Created: now, Updated: now, TTL: ttl, StaleAt: now.Add(ttl)}
}

// Enter lets a side in, or finds it there; one that has closed is let in again.
// A third side is not admitted: Crowded is then to be kept, and nothing else changes.
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

// Open enters a side, if it must, and marks it as having opened.
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

// Close lets a side out. A side that is not in changes nothing.
func (m Mailbox) Close(s Side, mood Mood, now time.Time) (_ Mailbox, left bool) {
	i := m.find(s)
	if i < 0 || m.Sides[i].Closed != nil {
		return m, false
	}
	m.Sides = slices.Clone(m.Sides)
	m.Sides[i].Closed = &Closing{now, mood}
	return m.touch(now), true
}

// Has tells whether the side is in: entered and not closed.
func (m Mailbox) Has(s Side) bool {
	i := m.find(s)
	return i >= 0 && m.Sides[i].Closed == nil
}

// HasOpen tells whether the side has opened it and not closed.
func (m Mailbox) HasOpen(s Side) bool { return m.Has(s) && m.Sides[m.find(s)].Opened != nil }

// Empty tells that no side is in any more: it is to be retired.
func (m Mailbox) Empty() bool {
	return !slices.ContainsFunc(m.Sides, func(o Opening) bool { return o.Closed == nil })
}

// Extend gives it a longer life, if ttl is longer than the one it has.
func (m Mailbox) Extend(ttl time.Duration) Mailbox {
	if ttl > m.TTL {
		m.TTL = ttl
		m.StaleAt = latest(m.StaleAt, m.Updated.Add(ttl)) // it may be put off already
	}
	return m
}

// Appended is the mailbox after one more message. StaleAt, by which mailboxes are sorted, stays as it
// is while it is far enough away: pruning that looks too early finds that out.
func (m Mailbox) Appended(body string, now time.Time) Mailbox {
	m.Last++
	m.Bytes += int64(len(body))
	if m.StaleAt.Before(now.Add(m.TTL / 2)) {
		return m.touch(now)
	}
	m.Updated = now
	return m
}

// Stale is when its life ends, given the last sign of life of whoever holds it.
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
