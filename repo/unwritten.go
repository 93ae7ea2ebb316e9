package repo

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// unwritten are changes of rows that are remembered (see [remembered]) and that the file does not have yet: an add changes
// its mailbox, its session, and the outbox and the last run of each subscriber, and the adds of a batch mostly change the
// same ones. Each row is written once, before anything could miss it:
//
//   - before any statement but those that need none of these rows (see [besideUnwritten]), COMMIT and savepoints included;
//   - so the end of a member that has a savepoint writes its own changes, and its failure is its own;
//   - what is rolled back is never written.
//
// A row is written only if it still is what it was when its first change was noted. So what is remembered wrongly fails
// the transaction and overwrites nothing.
type unwritten struct {
	mailboxes map[rendezvous.MailboxKey]*extendedMailbox
	sessions  map[session.Key]*countedSession
	outboxes  map[session.Key]*numberedOutbox
}

// besideUnwritten are the statements that neither read nor change what may be unwritten.
var besideUnwritten = map[string]bool{
	insertMessage: true, insertMessageWithReply: true, insertMessageAfterReply: true, countBytes: true, deleteOldReplies: true,
}

// mustWriteBefore reports whether something is unwritten that a statement could miss, or that ends with it.
func (r *remembered) mustWriteBefore(query string) bool {
	return r != nil && !r.unwritten.isEmpty() && !besideUnwritten[query] && !undoes.MatchString(query)
}

func (u unwritten) isEmpty() bool {
	return len(u.mailboxes) == 0 && len(u.sessions) == 0 && len(u.outboxes) == 0
}

// extendedMailbox is a mailbox to whose log messages were added.
type extendedMailbox struct {
	rendezvous.Mailbox
	first rendezvous.Position // of these messages
	kept  bool                // for longer: its stale_at has changed
}

// countedSession is a session whose commands added messages, with the last one's reply in its row.
type countedSession struct {
	first, wanted session.Seq
	replied       messageRef
}

// numberedOutbox is an outbox to which messages of logs were sent.
type numberedOutbox struct {
	first, next session.Seq
	runs        []messageRun
}

// messageRun is messages of a log that follow each other, in the log and in an outbox.
type messageRun struct {
	mailbox  rendezvous.MailboxKey
	position rendezvous.Position // of the first
	seq      session.Seq         // likewise
	count    int64
}

// extends reports whether a run goes on where another one ends.
func (r messageRun) extends(last messageRun) bool {
	return r.mailbox == last.mailbox && int64(r.position) == int64(last.position)+last.count && int64(r.seq) == int64(last.seq)+last.count
}

// noteExtended notes that a mailbox has more messages, from position first on, and reports whether it could: the mailbox
// must be remembered, and its next message be that one.
func (r *remembered) noteExtended(b rendezvous.Mailbox, first rendezvous.Position) bool {
	m, known := r.mailbox(b.Key)
	if !known || m.Last+1 != first {
		return false
	}
	u := r.unwritten.mailboxes[b.Key]
	if u == nil {
		u = &extendedMailbox{first: first}
		put(&r.unwritten.mailboxes, b.Key, u)
	}
	u.Mailbox, u.kept = b, u.kept || !m.StaleAt.Equal(toMillis(b.StaleAt).time())
	return true
}

// noteCounted notes that command n of a session is done, and its reply in a message's row. It reports whether it could:
// the session must be remembered, and want that command.
func (r *remembered) noteCounted(k session.Key, n session.Seq, at messageRef) bool {
	s, known := r.session(k)
	if !known || s.Wanted != n || s.Ended != nil {
		return false
	}
	u := r.unwritten.sessions[k]
	if u == nil {
		u = &countedSession{first: n}
		put(&r.unwritten.sessions, k, u)
	}
	u.wanted, u.replied = n+1, at
	return true
}

// repliedLast returns where a session's last reply is, if that is not written yet.
func (r *remembered) repliedLast(k session.Key) (at messageRef, known bool) {
	if r == nil {
		return at, false
	}
	u, known := r.unwritten.sessions[k]
	if !known {
		return at, false
	}
	return u.replied, true
}

// noteSent notes that messages of a log were sent to a session, and returns the number of the first. It reports whether
// it could: the session must be remembered, and be known to be live.
func (r *remembered) noteSent(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (session.Seq, bool) {
	s, known := r.session(k)
	if !known || !r.live[k] {
		return 0, false
	}
	u := r.unwritten.outboxes[k]
	if u == nil {
		u = &numberedOutbox{first: s.Next}
		put(&r.unwritten.outboxes, k, u)
	}
	run := messageRun{m, first, s.Next, count}
	u.next = s.Next + session.Seq(count)
	if last := len(u.runs) - 1; last >= 0 && run.extends(u.runs[last]) {
		u.runs[last].count += count
	} else {
		u.runs = append(u.runs, run)
	}
	return run.seq, true
}

func put[K comparable, V any](in *map[K]V, k K, v V) {
	if *in == nil {
		*in = map[K]V{}
	}
	(*in)[k] = v
}

// writeUnwritten writes what is unwritten, of each kind in the order of the keys.
func (c *conn) writeUnwritten() error {
	if c.remembered == nil || c.remembered.unwritten.isEmpty() {
		return nil
	}
	u := c.remembered.unwritten
	c.remembered.unwritten = unwritten{}
	for _, k := range slices.Sorted(maps.Keys(u.mailboxes)) {
		m := u.mailboxes[k]
		if err := c.mustChange(extensionOf(m.Mailbox, m.first, m.kept)); err != nil {
			return fmt.Errorf("writing mailbox %d: %w", k, err)
		}
	}
	for _, k := range inOrder(u.sessions) {
		s := u.sessions[k]
		if err := c.mustChange(countCommandsInMessages, s.args(k)); err != nil {
			return fmt.Errorf("writing session %s: %w", k, err)
		}
	}
	for _, k := range inOrder(u.outboxes) {
		if err := c.writeNumbered(digest(k), u.outboxes[k]); err != nil {
			return fmt.Errorf("writing the outbox of session %s: %w", k, err)
		}
	}
	return nil
}

// args returns the arguments of countCommandsInMessages.
func (s *countedSession) args(k session.Key) []any {
	return []any{s.wanted, s.replied.Mailbox, s.replied.Position, digest(k), s.first}
}

// writeNumbered writes the counter of an outbox and the runs that were sent.
func (c *conn) writeNumbered(k digest, o *numberedOutbox) error {
	if err := c.mustChange(numberMessagesFrom, []any{o.next, k, o.first}); err != nil {
		return err
	}
	for i, run := range o.runs {
		if i == 0 { // the others do not go on where another one ends
			extended, err := c.exec(extendRun, run.count, k, k, run.mailbox, run.position, run.seq, run.seq)
			if err != nil {
				return err
			}
			if extended > 0 {
				continue
			}
		}
		if _, err := c.exec(insertRun, k, run.seq, run.count, run.mailbox, run.position); err != nil {
			return err
		}
	}
	return nil
}

// errRememberedWrongly fails a transaction that was to write a row that is not as it is remembered.
var errRememberedWrongly = errors.New("the row is not as it is remembered")

// mustChange runs a statement that changes a row.
func (c *conn) mustChange(query string, args []any) error {
	n, err := c.exec(query, args...)
	if err == nil && n == 0 {
		err = errRememberedWrongly
	}
	return err
}

// inOrder returns the keys of sessions in their order.
func inOrder[V any](of map[session.Key]V) []session.Key {
	return slices.SortedFunc(maps.Keys(of), func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) })
}
