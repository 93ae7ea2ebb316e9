// Package rendezvous is where two parties meet: nameplates, mailboxes, messages
// and moods, and the use cases of a session over them.
//
// Two sides of an app agree on a short nameplate. Allocating or claiming it
// enters a side in the mailbox behind it; opening the mailbox subscribes the
// session to it, and from then on each message that is added, each side that
// opens or closes, and the mailbox's end are a frame in the session's outbox, numbered in
// the transaction that makes it. Receiving reads the outbox, and waits where there is nothing to
// read. A mailbox is retired when every side that entered has closed, or when
// nothing was heard of it for its ttl; what is remembered is a [Usage].
//
// The rules are pure functions of small values ([Nameplate], [Mailbox],
// [SummarizeMailbox], and [session.Decide] next door). A use case is a method of
// [Service]: it loads such a value, applies the rule, saves what comes out, all
// in one transaction of a [Store], and wakes whoever waits once that is committed.
// Processes that share a storage tell each other what they woke for ([Service.Announce], [Service.Wake]).
// What must be kept is a value; an error undoes everything.
//
// The package must not know of HTTP, JSON requests or SQL.
package rendezvous
