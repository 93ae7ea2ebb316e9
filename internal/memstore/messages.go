package memstore

import (
	"math"

	"restante/rendezvous"
)

// logPage is how many messages are deleted in one transaction, at most.
const logPage = 100

// message returns the message at a position.
func (r *logRow) message(p rendezvous.Position) (m rendezvous.Message, found bool) {
	if len(r.messages) == 0 {
		return m, false
	}
	i := int(p - r.messages[0].Position)
	if i < 0 || i >= len(r.messages) {
		return m, false
	}
	return r.messages[i], true
}

// editLog returns a log's row to change.
func (t *tx) editLog(k rendezvous.MailboxKey) (*logRow, error) {
	r, found := t.logs.get(k)
	if !found {
		return nil, rendezvous.ErrNotFound
	}
	if r.by == t.id {
		return r, nil
	}
	edited := *r
	edited.by = t.id
	t.logs.put(t.id, &edited)
	return &edited, nil
}

// Append stores messages and the changed mailbox.
func (t *tx) Append(m rendezvous.Mailbox, messages ...rendezvous.Message) error {
	r, err := t.editMailbox(m.Key)
	if err != nil {
		return err
	}
	if messages[0].Position != r.Last+1 {
		return errNotNext
	}
	log, err := t.editLog(m.Key)
	if err != nil {
		return err
	}
	r.Updated, r.StaleAt, r.Last, r.Bytes, r.Stored = m.Updated, m.StaleAt, messages[len(messages)-1].Position, m.Bytes, m.Stored
	log.messages = append(log.messages, messages...)
	t.note(Change{Kind: MessagesAdded, Mailbox: m.Key, Messages: messages})
	return nil
}

// Messages returns messages after a position.
func (t *tx) Messages(k rendezvous.MailboxKey, after rendezvous.Position, count int, size int64) ([]rendezvous.Message, error) {
	messages, _ := t.page(k, after, math.MaxInt64, count, size, func(rendezvous.Message) bool { return true })
	return messages, nil
}

// MessagesOfOthers returns messages after a position that a side did not add, and up to where these are all.
func (t *tx) MessagesOfOthers(k rendezvous.MailboxKey, than rendezvous.Side, after, upTo rendezvous.Position, count int, size int64) ([]rendezvous.Message, rendezvous.Position, error) {
	messages, seen := t.page(k, after, upTo, count, size, func(m rendezvous.Message) bool { return m.Side != than })
	return messages, seen, nil
}

// page returns the first messages that are wanted of those between two positions, and up to where these are all.
func (t *tx) page(k rendezvous.MailboxKey, after, upTo rendezvous.Position, count int, size int64, wanted func(rendezvous.Message) bool) (messages []rendezvous.Message, seen rendezvous.Position) {
	log, found := t.logs.get(k)
	if !found {
		return nil, upTo
	}
	for _, m := range log.messages {
		if m.Position <= after || m.Position > upTo || !wanted(m) {
			continue
		}
		if size -= int64(len(m.Body)); size >= 0 || len(messages) == 0 {
			messages = append(messages, m)
		}
		if size <= 0 || len(messages) == count {
			return messages, messages[len(messages)-1].Position
		}
	}
	return messages, upTo
}

// refersTo reports whether an outbox or a dispatch refers to a log.
func (t *tx) refersTo(k rendezvous.MailboxKey) bool {
	if _, found := t.dispatches.get(k); found {
		return true
	}
	for _, r := range t.sessions.rows {
		for _, e := range r.outbox {
			if e.mailbox == k {
				return true
			}
		}
	}
	return false
}

// forgetLog removes the row of a log that is neither kept nor counted.
func (t *tx) forgetLog(log *logRow) {
	if _, lives := t.mailboxes.get(log.key); !lives && !log.retired && len(log.stored) == 0 {
		t.logs.remove(t.id, log.key)
	}
}

// RetiredLogs lists the logs of retired mailboxes that nothing refers to.
func (t *tx) RetiredLogs(after rendezvous.MailboxKey, limit int) (keys []rendezvous.MailboxKey, _ error) {
	for _, r := range t.logs.rows {
		if r.retired && r.key > after && len(keys) < limit && !t.refersTo(r.key) {
			keys = append(keys, r.key)
		}
	}
	return keys, nil
}

// DeleteRetiredLog deletes a page of a log, unless something refers to it.
func (t *tx) DeleteRetiredLog(k rendezvous.MailboxKey) (gone bool, _ error) {
	if err := t.change(); err != nil {
		return false, err
	}
	if r, found := t.logs.get(k); !found || !r.retired || t.refersTo(k) {
		return true, nil
	}
	r, err := t.editLog(k)
	if err != nil {
		return false, err
	}
	t.changed = true
	if len(r.messages) >= logPage {
		r.messages = r.messages[logPage:]
		return false, nil
	}
	r.messages, r.retired = nil, false
	t.forgetLog(r)
	return true, nil
}
