package session

// Seq is the number of a command or a frame. Both directions start at 0 and have no gaps.
type Seq int64

// Epoch counts the accepted handshakes of one session, from 1. A receiver of a lower epoch is
// superseded.
type Epoch int64

// Window is how many commands may be unanswered at a time. It is also how many replies are remembered.
const Window = 64

// Ledger counts both directions. Always 0 ≤ Kept ≤ Next and 0 ≤ Wanted.
type Ledger struct {
	Wanted Seq // the next command wanted: the server's ack to the client
	Kept   Seq // the oldest frame still kept: the client has acknowledged those below it
	Next   Seq // the number of the next frame
}

// Unacknowledged returns how many frames are numbered and not acknowledged yet.
func (l Ledger) Unacknowledged() int64 { return int64(l.Next - l.Kept) }

// Receipt is what becomes of a numbered command: [Accepted], [Repeated] or [Missing].
//
//sumtype:decl
type Receipt interface{ receipt() }

// Accepted is the command that was wanted. Attached is the session after it.
type Accepted struct{ Attached Attached }

// Repeated is a command that was executed before. The client gets its recorded reply again.
type Repeated struct{}

// Missing is a command that came too early: those from Expected on are missing.
type Missing struct{ Expected Seq }

func (Accepted) receipt() {}
func (Repeated) receipt() {}
func (Missing) receipt()  {}
