// Package rendezvous is the domain: nameplates, mailboxes, messages and moods, and what a session can
// do with them.
//
// Two sides of an app agree on a short nameplate. Allocating or claiming it enters a side in the
// mailbox behind it. Opening the mailbox subscribes the session to it. From then on each message that
// is added, each side that opens or closes, and the mailbox's end are frames in the session's outbox.
// The transaction that makes a frame numbers it. Receiving reads the outbox, and waits if there is
// nothing to read. A mailbox is retired when every side that entered has closed, or when its ttl has
// passed without a sign of life. A [Usage] record of it remains.
//
// The rules are pure functions of small values ([Nameplate], [Mailbox], [SummarizeMailbox], and
// [session.Decide] in the neighbouring package). A use case is a method of [Service]. It loads such
// values, applies a rule and saves the result, all in one transaction of a [Store], and wakes the
// waiting readers once that is committed. Processes that share a storage tell each other what they
// woke for ([Service.Announce], [Service.Wake]). What must be kept is a value; an error undoes
// everything.
//
// The package must not know of HTTP, JSON requests or SQL.
package rendezvous
