package repo

import "restante/rendezvous"

// maxUnsubscribed is how many mailboxes are remembered to have had no subscriber.
const maxUnsubscribed = 10_000

// unsubscribed are mailboxes that were made on a connection and have had no subscriber since, nor a message with a
// reply: those of wormhole clients never have either. It is kept by the one connection that writes a SQLite file, so
// nothing else can have added a subscriber. What a transaction did to it stays when that is rolled back: a mailbox that
// was not made is never asked about, and the next one with its key is put in again; a mailbox to which nothing has
// subscribed after all is asked for in the database.
type unsubscribed map[rendezvous.MailboxKey]struct{}

// rememberUnsubscribed notes that a mailbox was made.
func (t *tx) rememberUnsubscribed(k rendezvous.MailboxKey) {
	if t.conn.dialect.concurrentWriters {
		return
	}
	if t.conn.unsubscribed == nil || len(t.conn.unsubscribed) >= maxUnsubscribed {
		t.conn.unsubscribed = unsubscribed{}
	}
	t.conn.unsubscribed[k] = struct{}{}
}

// forgetUnsubscribed notes that a mailbox gets a subscriber, or is gone.
func (t *tx) forgetUnsubscribed(k rendezvous.MailboxKey) { delete(t.conn.unsubscribed, k) }

// isUnsubscribed reports whether a mailbox is known to have no subscriber.
func (t *tx) isUnsubscribed(k rendezvous.MailboxKey) bool {
	_, is := t.conn.unsubscribed[k]
	return is
}
