package session

import "fmt"

// Hello is what a client claims in its handshake. The code that parses it ensures that its numbers are
// not negative.
type Hello struct {
	Key  Key
	App  string
	Side string // empty: the stored one, or a new one
	// NextExpected is the first frame it has not processed.
	NextExpected Seq
	// NextSent is the first command it would send again.
	NextSent Seq
	// Epoch is that of the last handshake that the client knows was accepted; 0 if it knows of none. It
	// distinguishes a session that was forgotten from one that never was, where both counters are 0, and tells that
	// the store has forgotten a handshake.
	Epoch Epoch
	// Replaces names the session that this one replaces, if any.
	Replaces *Key
}

// Stored is what is stored under a session's key: [Nothing], [Live] or [Tombstone].
//
//sumtype:decl
type Stored interface{ stored() }

// Nothing is stored.
type Nothing struct{}

// Live is a session that can be resumed.
type Live struct {
	App, Side string
	Ledger    Ledger
	Epoch     Epoch
}

// Tombstone is a session that ended.
type Tombstone struct {
	App, Side string
	Closed    Closed
}

func (Nothing) stored()   {}
func (Live) stored()      {}
func (Tombstone) stored() {}

// Facts is everything in the store that the handshake's decision depends on.
type Facts struct {
	Stored   Stored // under the client's own key
	Replaced Stored // under the key it says it replaces; Nothing if it names none
	Owner    *Key   // the session of this app that had the client's side last; nil if none had
}

// Decision is the outcome of a handshake: [Start], [Resume], [Replace] or [Reject].
//
//sumtype:decl
type Decision interface{ decision() }

// Start begins a new session. TakesOver reports that it inherits its side from a session that ended,
// so that its own end must be remembered.
type Start struct{ TakesOver bool }

// Resume is a transparent reconnect: frames below From are acknowledged, and the frames from there on
// are sent again.
type Resume struct{ From Seq }

// Replace is a hard reconnect: Old ends and the new session begins at once. Like a [Start] that takes
// over, the new session must be remembered when it ends.
type Replace struct{ Old Key }

// Reject refuses the handshake. After [StateMismatch] the client may try again with a new session.
// Every other code is fatal.
type Reject struct {
	Code   Code
	Detail string
	Ended  *Closed // set when the session is known to have ended
}

func (Start) decision()   {}
func (Resume) decision()  {}
func (Replace) decision() {}
func (Reject) decision()  {}

// Code names why a handshake is refused.
type Code string

// The codes of a [Reject].
const (
	Malformed        Code = "MALFORMED_HANDSHAKE"
	IdentityMismatch Code = "SESSION_IDENTITY_MISMATCH"
	StateMismatch    Code = "SESSION_STATE_MISMATCH"
	SideTaken        Code = "SIDE_TAKEN"
)

// Decide is the whole handshake: the first row of the table in docs/protocol.md that fits. It reads no
// clock and no store, and it decides before anything is deleted.
func Decide(h Hello, f Facts) Decision {
	if h.Replaces != nil && *h.Replaces == h.Key {
		return Reject{Code: Malformed, Detail: "a session cannot replace itself"}
	}
	switch stored := f.Stored.(type) {
	case Live:
		if !same(h, stored.App, stored.Side) {
			return otherIdentity
		}
		return resume(h, stored)
	case Tombstone:
		if !same(h, stored.App, stored.Side) {
			return otherIdentity
		}
		return Reject{
			Code:   StateMismatch,
			Detail: fmt.Sprintf("this session ended (%s); commands below %d had been received", stored.Closed.Reason, stored.Closed.Ledger.Wanted),
			Ended:  &stored.Closed,
		}
	case Nothing:
		return begin(h, f)
	}
	panic("unreachable: Stored is sealed")
}

var otherIdentity = Reject{Code: IdentityMismatch, Detail: "this session id belongs to another app or side"}

// same reports whether the client is the one that is stored. An absent side fits.
func same(h Hello, app, side string) bool {
	return h.App == app && (h.Side == "" || h.Side == side)
}

// resume decides about a live session: both directions must join up.
func resume(h Hello, stored Live) Decision {
	l := stored.Ledger
	switch {
	case h.Epoch > stored.Epoch:
		return mismatch("the client is in the future: it knows epoch %d, and the latest one here is %d", h.Epoch, stored.Epoch)
	case h.NextSent > l.Wanted:
		return mismatch("the client is in the future: it would send command %d next, and %d is wanted", h.NextSent, l.Wanted)
	case h.NextExpected < l.Kept:
		return mismatch("the server is in the future: the client expects frame %d, and the oldest one held is %d", h.NextExpected, l.Kept)
	case h.NextExpected > l.Next:
		return mismatch("the client expects what was never sent: frame %d, and the next one is %d", h.NextExpected, l.Next)
	}
	return Resume{From: h.NextExpected}
}

// begin decides about a key that nothing is stored under.
func begin(h Hello, f Facts) Decision {
	if h.NextExpected > 0 || h.NextSent > 0 || h.Epoch > 0 {
		return mismatch("this session is not known here, and the client knows it (counters %d and %d, epoch %d)", h.NextExpected, h.NextSent, h.Epoch)
	}
	if f.Owner != nil && (h.Replaces == nil || *h.Replaces != *f.Owner) {
		return Reject{Code: SideTaken, Detail: "another session has this side; a session that takes its place must name it in 'replaces'"}
	}
	if old, live := f.Replaced.(Live); live && old.App == h.App {
		return Replace{Old: *h.Replaces}
	}
	return Start{TakesOver: f.Owner != nil}
}

func mismatch(format string, args ...any) Reject {
	return Reject{Code: StateMismatch, Detail: fmt.Sprintf(format, args...)}
}
