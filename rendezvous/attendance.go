package rendezvous

import (
	"slices"
	"time"

	"restante/session"
)

// Watch is what a session wants to be told of the other side of a mailbox, beside its messages.
type Watch struct {
	Presence bool // whether the side is there, and that a third side was refused
	Receipts bool // up to which position it has processed the messages
}

func (w Watch) any() bool { return w.Presence || w.Receipts }

// Attendance is what the others are told of a side: [Here], [Silent], or the [session.Reason] for which its session
// ended.
type Attendance string

// The attendances of a side whose session has not ended. [Unknown] is also that of a side that never had a session.
const (
	Unknown Attendance = ""
	Here    Attendance = "here"
	Silent  Attendance = "silent" // its session is detached
)

const (
	// crowdedInterval is the shortest time between two frames which say that a third side was refused.
	crowdedInterval = time.Minute
	// receivedInterval is the shortest time between two looks at how far the sides of a mailbox are.
	receivedInterval = 900 * time.Millisecond
)

// AttendanceOf returns the attendance of a side whose last session is in a state.
func AttendanceOf(state session.State) Attendance {
	switch state := state.(type) {
	case session.Attached:
		return Here
	case session.Detached:
		return Silent
	case session.Closed:
		return Attendance(state.Reason)
	}
	panic("unreachable: State is sealed")
}

// State returns what a client is told: here or away, and why it is away.
func (a Attendance) State() (state, reason string) {
	switch a {
	case Unknown:
		return "", ""
	case Here:
		return "here", ""
	default:
		return "away", string(a)
	}
}

// Watch has the sides of the mailbox watched from now on.
func (m Mailbox) Watch(now time.Time) Mailbox {
	if m.Watched.IsZero() {
		m.Watched = now
	}
	return m
}

// Attend sets the attendance of a side that is in. changed is false if the others know it already.
func (m Mailbox) Attend(s Side, a Attendance) (_ Mailbox, changed bool) {
	i := m.find(s)
	if i < 0 || m.Sides[i].Closed != nil || m.Sides[i].Attendance == a {
		return m, false
	}
	m.Sides = slices.Clone(m.Sides)
	m.Sides[i].Attendance = a
	return m, true
}

// Receive records that a side has processed the messages of the others up to a position. It never goes back: then
// changed is false.
func (m Mailbox) Receive(s Side, upTo Position) (_ Mailbox, changed bool) {
	i := m.find(s)
	if i < 0 || m.Sides[i].Closed != nil || m.Sides[i].Received >= upTo {
		return m, false
	}
	m.Sides = slices.Clone(m.Sides)
	m.Sides[i].Received = upTo
	return m, true
}

// TellCrowded reports whether its sides are to be told that a third one is refused: once, if that happens often.
func (m Mailbox) TellCrowded(now time.Time) (_ Mailbox, tell bool) {
	if m.Watched.IsZero() || now.Sub(m.CrowdedTold) < crowdedInterval {
		return m, false
	}
	m.CrowdedTold = now
	return m, true
}

// Progress is how far a session that subscribes to a mailbox is with it.
type Progress struct {
	Session session.Key
	Side    Side
	Kept    session.Seq // the oldest frame that is not acknowledged
	Next    Position    // of the first message that is not acknowledged; 0 if all that were sent are
}

// received returns up to which position the messages of the others are processed.
func (p Progress) received(last Position) Position {
	if p.Next > 0 {
		return p.Next - 1
	}
	return last
}
