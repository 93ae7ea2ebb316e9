package session

// Seq numbers a command or a frame. Both directions start at 0 and are dense.
type Seq int64

// Epoch counts the accepted handshakes of one session, from 1. A receiver of a
// lower epoch has been superseded.
type Epoch int64

// MaxSeq is the largest number either direction reaches: 2^53−1, which every
// JSON reader holds exactly.
const MaxSeq Seq = 1<<53 - 1

// Window is how many commands may be unanswered, and so how many replies are
// remembered.
const Window = 64

// Ledger is the bookkeeping of both directions. It holds that
// 0 ≤ Kept ≤ Next and 0 ≤ Wanted.
type Ledger struct {
	Wanted Seq // the next command we want: what we tell the client as our ack
	Kept   Seq // the oldest frame we still hold: what the client has acknowledged up to
	Next   Seq // the number of the next frame
}

// Unacknowledged is how many frames are numbered and not yet acknowledged.
func (l Ledger) Unacknowledged() int64 { return int64(l.Next - l.Kept) }

// Receipt is what becomes of a numbered command: [Accepted], [Repeated] or [Missing].
//
//sumtype:decl
type Receipt interface{ receipt() }

// Accepted is a command that came in turn. Attached is the session after it.
type Accepted struct{ Attached Attached }

// Repeated is a command that was done before; its recorded reply is due again.
type Repeated struct{}

// Missing is a command that came too early: those from Expected on are missing.
type Missing struct{ Expected Seq }

func (Accepted) receipt() {}
func (Repeated) receipt() {}
func (Missing) receipt()  {}
