package memstore

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// editMailbox returns a mailbox's row to change.
func (t *tx) editMailbox(k rendezvous.MailboxKey) (*mailboxRow, error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	r, found := t.mailboxes.get(k)
	if !found {
		return nil, rendezvous.ErrNotFound
	}
	t.changed = true
	if r.by == t.id {
		return r, nil
	}
	edited := *r
	edited.by = t.id
	t.mailboxes.put(t.id, &edited)
	return &edited, nil
}

// value returns the mailbox. Its sides are the caller's own.
func (r *mailboxRow) value() rendezvous.Mailbox {
	m := r.Mailbox
	m.Sides = slices.Clone(m.Sides)
	return m
}

func (t *tx) byID(app rendezvous.AppID, id rendezvous.MailboxID) *mailboxRow {
	for _, r := range t.mailboxes.rows {
		if r.ID == id && r.App == app {
			return r
		}
	}
	return nil
}

// Mailbox loads a mailbox by its id.
func (t *tx) Mailbox(app rendezvous.AppID, id rendezvous.MailboxID) (rendezvous.Mailbox, error) {
	if r := t.byID(app, id); r != nil {
		return r.value(), nil
	}
	return rendezvous.Mailbox{}, rendezvous.ErrNotFound
}

// MailboxByKey loads a mailbox.
func (t *tx) MailboxByKey(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	r, found := t.mailboxes.get(k)
	if !found {
		return rendezvous.Mailbox{}, rendezvous.ErrNotFound
	}
	return r.value(), nil
}

// IdleMailbox is MailboxByKey, because no other transaction writes.
func (t *tx) IdleMailbox(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	return t.MailboxByKey(k)
}

// CreateMailbox stores a new mailbox.
func (t *tx) CreateMailbox(m rendezvous.Mailbox) (rendezvous.Mailbox, error) {
	if err := t.change(); err != nil {
		return m, err
	}
	if t.byID(m.App, m.ID) != nil {
		return m, t.fail(errExists)
	}
	t.changed = true
	t.lastKey++
	m.Key = t.lastKey
	r := &mailboxRow{made: made{t.id}, Mailbox: m}
	r.Watched, r.CrowdedTold, r.ReceivedTold, r.SocketSeen = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	r.Sides = nil
	r.putSides(m.Sides)
	t.note(Change{Kind: MailboxMade, Mailbox: m.Key, ID: m.ID})
	t.mailboxes.put(t.id, r)
	t.logs.put(t.id, &logRow{made: made{t.id}, key: m.Key, id: m.ID})
	return m, nil
}

// putSides adds and changes sides; it removes none. They are in the order in which they entered.
func (r *mailboxRow) putSides(sides []rendezvous.Opening) {
	r.Sides = slices.Clone(r.Sides)
	for _, o := range sides {
		if i := slices.IndexFunc(r.Sides, func(p rendezvous.Opening) bool { return p.Side == o.Side }); i >= 0 {
			r.Sides[i] = o
			continue
		}
		r.Sides = append(r.Sides, o)
	}
	slices.SortStableFunc(r.Sides, func(a, b rendezvous.Opening) int {
		return cmp.Or(a.Entered.Compare(b.Entered), strings.Compare(string(a.Side), string(b.Side)))
	})
}

// UpdateMailbox stores everything of a mailbox but its messages.
func (t *tx) UpdateMailbox(m rendezvous.Mailbox) error {
	r, err := t.editMailbox(m.Key)
	if err != nil {
		return err
	}
	was := r.Mailbox
	r.Mailbox = m
	r.App, r.ID, r.Created, r.SocketSeen, r.Sides = was.App, was.ID, was.Created, was.SocketSeen, was.Sides
	r.putSides(m.Sides)
	t.note(Change{Kind: MailboxStored, Mailbox: m.Key, Sides: len(r.Sides)})
	return nil
}

// in reports whether a side is in a mailbox.
func (r *mailboxRow) in(app rendezvous.AppID, side rendezvous.Side) bool {
	return r.App == app && r.Has(side)
}

// MailboxesOf returns the mailboxes that a side is in.
func (t *tx) MailboxesOf(app rendezvous.AppID, side rendezvous.Side) (list []rendezvous.Mailbox, _ error) {
	for _, r := range t.mailboxes.rows {
		if r.in(app, side) {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// CountMailboxesOf counts those mailboxes.
func (t *tx) CountMailboxesOf(app rendezvous.AppID, side rendezvous.Side) (n int, _ error) {
	for _, r := range t.mailboxes.rows {
		if r.in(app, side) {
			n++
		}
	}
	return n, nil
}

var errPointedTo = errors.New("a nameplate points to it")

// RetireMailbox removes a mailbox. Its log stays while something refers to it.
func (t *tx) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) error {
	r, err := t.editMailbox(m.Key)
	if err != nil {
		return err
	}
	if to, _ := t.NameplatesTo(m.Key); len(to) > 0 {
		return t.fail(errPointedTo)
	}
	log, err := t.editLog(m.Key)
	if err != nil {
		return err
	}
	log.stored = r.stored
	t.note(Change{Kind: MailboxRetired, Mailbox: m.Key})
	t.mailboxes.remove(t.id, m.Key)
	log.retired = len(log.messages) > 0 && (len(log.messages) > logPage || t.refersTo(m.Key))
	if !log.retired {
		log.messages = nil
	}
	t.forgetLog(log)
	t.records = append(t.records, record{Usage: u, kind: rendezvous.KindMailbox})
	return nil
}

// StaleMailboxes lists mailboxes that are due for pruning.
func (t *tx) StaleMailboxes(now time.Time, after rendezvous.MailboxCursor, limit int) (due []rendezvous.MailboxCursor, _ error) {
	order := func(a, b rendezvous.MailboxCursor) int {
		return cmp.Or(a.StaleAt.Compare(b.StaleAt), cmp.Compare(a.Key, b.Key))
	}
	for _, r := range t.mailboxes.rows {
		if c := (rendezvous.MailboxCursor{StaleAt: r.StaleAt, Key: r.Key}); !c.StaleAt.After(now) && order(c, after) > 0 {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, order)
	return due[:min(len(due), limit)], nil
}

// Holders returns the live sessions whose side is in the mailbox.
func (t *tx) Holders(k rendezvous.MailboxKey) (list []rendezvous.Session, _ error) {
	m, found := t.mailboxes.get(k)
	if !found {
		return nil, nil
	}
	for _, r := range t.sessions.rows {
		if r.Ended == nil && m.in(r.App, r.Side) {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// SocketsSeen moves the signs of life of sockets forward.
func (t *tx) SocketsSeen(keys []rendezvous.MailboxKey, at time.Time) error {
	if err := t.change(); err != nil {
		return err
	}
	for _, k := range keys {
		if r, found := t.mailboxes.get(k); !found || !r.SocketSeen.Before(at) {
			continue
		}
		r, err := t.editMailbox(k)
		if err != nil {
			return err
		}
		r.SocketSeen = at
	}
	return nil
}

// CountBytes counts more bytes of a mailbox for an address.
func (t *tx) CountBytes(k rendezvous.MailboxKey, more rendezvous.AddressBytes) error {
	r, err := t.editMailbox(k)
	if err != nil {
		return err
	}
	r.stored = slices.Clone(r.stored)
	for i := range r.stored {
		if r.stored[i].Address == more.Address {
			r.stored[i].Bytes += more.Bytes
			return nil
		}
	}
	r.stored = append(r.stored, more)
	return nil
}

// ReleaseBytes forgets what counts for a mailbox, unless its log is kept.
func (t *tx) ReleaseBytes(k rendezvous.MailboxKey) ([]rendezvous.AddressBytes, error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	log, found := t.logs.get(k)
	if !found || log.retired {
		return nil, nil
	}
	if r, err := t.editMailbox(k); err == nil {
		released := r.stored
		r.stored = nil
		return slices.Clone(released), nil
	}
	t.changed = true
	t.logs.remove(t.id, k)
	return slices.Clone(log.stored), nil
}

// StoredBytes sums up what counts for each address.
func (t *tx) StoredBytes() (sums []rendezvous.AddressBytes, _ error) {
	add := func(more rendezvous.AddressBytes) {
		for i := range sums {
			if sums[i].Address == more.Address {
				sums[i].Bytes += more.Bytes
				return
			}
		}
		sums = append(sums, more)
	}
	for _, m := range t.mailboxes.rows {
		for _, s := range m.stored {
			add(s)
		}
	}
	for _, l := range t.logs.rows {
		for _, s := range l.stored {
			add(s)
		}
	}
	for _, r := range t.replies.rows {
		if r.counts.Bytes > 0 {
			add(r.counts)
		}
	}
	return sums, nil
}

// WatchedMailboxes lists the keys of the mailboxes that are watched.
func (t *tx) WatchedMailboxes(after rendezvous.MailboxKey, limit int) (keys []rendezvous.MailboxKey, _ error) {
	for _, r := range t.mailboxes.rows {
		if !r.Watched.IsZero() && r.Key > after && len(keys) < limit {
			keys = append(keys, r.Key)
		}
	}
	return keys, nil
}

// WatchedIn lists the mailboxes from first to last that are watched.
func (t *tx) WatchedIn(first, last rendezvous.MailboxKey) (list []rendezvous.Mailbox, _ error) {
	for _, r := range t.watched(first, last) {
		list = append(list, r.value())
	}
	return list, nil
}

// watched returns the rows of the mailboxes from first to last that are watched.
func (t *tx) watched(first, last rendezvous.MailboxKey) (list []*mailboxRow) {
	for _, r := range t.mailboxes.rows {
		if !r.Watched.IsZero() && first <= r.Key && r.Key <= last {
			list = append(list, r)
		}
	}
	return list
}

// OwnersIn returns the sessions that had the sides last which are in watched mailboxes.
func (t *tx) OwnersIn(first, last rendezvous.MailboxKey) (list []rendezvous.Session, _ error) {
	watched := t.watched(first, last)
	if len(watched) == 0 {
		return nil, nil
	}
	for _, r := range t.sessions.rows {
		if slices.ContainsFunc(watched, func(m *mailboxRow) bool { return m.in(r.App, r.Side) }) && t.owner(r.App, r.Side) == r {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// MailboxesToExamine lists the watched mailboxes with acknowledgements that were not looked at.
func (t *tx) MailboxesToExamine(first, last rendezvous.MailboxKey) (keys []rendezvous.MailboxKey, _ error) {
	for _, m := range t.watched(first, last) {
		if slices.ContainsFunc(m.subscribers, func(s subscriber) bool {
			r, err := t.session(s.key)
			return err == nil && r.Kept > s.examined
		}) {
			keys = append(keys, m.Key)
		}
	}
	return keys, nil
}

// Progress returns how far the sessions that subscribe to a mailbox are.
func (t *tx) Progress(k rendezvous.MailboxKey) (list []rendezvous.Progress, _ error) {
	m, found := t.mailboxes.get(k)
	if !found {
		return nil, nil
	}
	for _, s := range m.subscribers {
		r, err := t.session(s.key)
		if err != nil {
			return nil, err
		}
		next, err := t.Unacknowledged(k, s.key, r.Kept)
		if err != nil {
			return nil, err
		}
		list = append(list, rendezvous.Progress{Session: s.key, Side: r.Side, Kept: r.Kept, Next: next})
	}
	return list, nil
}

// Unacknowledged returns the first message of a mailbox among the frames of a session, from one on.
func (t *tx) Unacknowledged(k rendezvous.MailboxKey, of session.Key, from session.Seq) (first rendezvous.Position, _ error) {
	r, err := t.session(of)
	if err != nil {
		return 0, err
	}
	for _, e := range r.outbox {
		if e.mailbox == k && e.end() > from {
			next := e.first + rendezvous.Position(max(0, from-e.seq))
			if first == 0 || next < first {
				first = next
			}
		}
	}
	return first, nil
}

// Examined records up to where the acknowledgements of a session were looked at.
func (t *tx) Examined(key rendezvous.MailboxKey, k session.Key, kept session.Seq) error {
	m, err := t.editMailbox(key)
	if err != nil {
		return err
	}
	m.subscribers = slices.Clone(m.subscribers)
	if i, found := slices.BinarySearchFunc(m.subscribers, k, func(s subscriber, k session.Key) int { return bytes.Compare(s.key[:], k[:]) }); found {
		m.subscribers[i].examined = max(m.subscribers[i].examined, kept)
	}
	return nil
}
