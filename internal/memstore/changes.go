package memstore

import (
	"time"

	"restante/rendezvous"
	"restante/session"
)

// Change is one thing that a transaction did, for an observer. Only the fields of its kind are set.
type Change struct {
	Kind      ChangeKind
	Session   session.Key
	Seq       session.Seq
	Reason    session.Reason // empty if the session left no tombstone
	Mailbox   rendezvous.MailboxKey
	ID        rendezvous.MailboxID
	Nameplate rendezvous.NameplateID
	Messages  []rendezvous.Message
	Sides     int
	Seen      time.Time
}

// ChangeKind says what a transaction did.
type ChangeKind int

// The kinds of changes.
const (
	CommandDone      ChangeKind = iota // Session, Seq
	SessionBegun                       // Session
	SessionSeen                        // Session, Seen: the sign of life that is stored now
	SessionEnded                       // Session, Reason
	MailboxMade                        // Mailbox, ID
	MailboxStored                      // Mailbox, Sides
	MailboxRetired                     // Mailbox
	NameplateMade                      // Nameplate
	NameplateStored                    // Nameplate, Sides: how many have claimed it
	NameplateRetired                   // Nameplate
	MessagesAdded                      // Mailbox, Messages
)

// note notes a change for the observer, if there is one.
func (t *tx) note(c Change) {
	if t.observed {
		t.changes = append(t.changes, c)
	}
}
