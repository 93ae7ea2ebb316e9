package rendezvous

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// openMailboxes counts the sockets that have a mailbox open. Each is a standing sign of life of its
// side.
type openMailboxes struct {
	mu       sync.Mutex
	count    map[MailboxKey]int
	released map[MailboxKey]bool // closed since, and not recorded yet
	departed []departure         // sessions that ended, likewise
	notify   chan<- struct{}     // told when released or departed gets an entry
}

// departure is a session that ended without closing its mailboxes.
type departure struct {
	app  AppID
	side Side
	seen time.Time
}

// changed tells the record loop; mu is held.
func (h *openMailboxes) changed() {
	select {
	case h.notify <- struct{}{}:
	default:
	}
}

// depart records that a session ended and when its client was seen last.
func (h *openMailboxes) depart(d departure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.departed = append(h.departed, d)
	h.changed()
}

// takeDeparted returns the sessions that ended since the last call.
func (h *openMailboxes) takeDeparted() []departure {
	h.mu.Lock()
	defer h.mu.Unlock()
	departed := h.departed
	h.departed = nil
	return departed
}

// takeReleased returns the mailboxes that were closed since the last call, sorted.
func (h *openMailboxes) takeReleased() []MailboxKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := slices.Sorted(maps.Keys(h.released))
	h.released = nil
	return keys
}

// retake has sessions that ended and mailboxes that were closed taken again.
func (h *openMailboxes) retake(departed []departure, released []MailboxKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.departed = append(h.departed, departed...)
	for _, k := range released {
		h.releasedLocked(k)
	}
}

// releasedLocked records that a mailbox was closed; mu is held.
func (h *openMailboxes) releasedLocked(k MailboxKey) {
	if h.released == nil {
		h.released = map[MailboxKey]bool{}
	}
	h.released[k] = true
}

// KeepAlive keeps a mailbox alive, and its log in memory, until release is called. Calling release
// again does nothing.
func (s *Service) KeepAlive(k MailboxKey) (release func()) {
	h := &s.openMailboxes
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = map[MailboxKey]int{}
	}
	h.count[k]++
	forgetLog := s.logs.Retain(k)
	return sync.OnceFunc(func() {
		forgetLog()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.count[k]--; h.count[k] > 0 {
			return
		}
		delete(h.count, k)
		h.releasedLocked(k)
		h.changed()
	})
}

func (h *openMailboxes) has(k MailboxKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[k] > 0
}

// keys returns the mailboxes that are open, sorted.
func (h *openMailboxes) keys() []MailboxKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make([]MailboxKey, 0, len(h.count))
	for k := range h.count {
		keys = append(keys, k)
	}
	slices.Sort(keys) // all transactions touch mailboxes in the same order
	return keys
}

// recordOpenMailboxes stores that sockets of this process have their mailboxes open.
func (s *Service) recordOpenMailboxes(ctx context.Context) error {
	_, err := s.recordSocketsSeen(ctx, s.openMailboxes.keys())
	return err
}

// recordLeft stores the last signs of life of sockets and sessions that are gone: what they had open
// is kept for its whole ttl from then on.
func (s *Service) recordLeft(ctx context.Context) (err error) {
	for _, d := range s.openMailboxes.takeDeparted() {
		if !storageFailed(err) { // else it would fail, too
			failure := s.transact(ctx, func(t *txn) error { return t.keepMailboxes(d.app, d.side, d.seen) })
			if failure == nil {
				continue
			}
			err = failure
		}
		s.unrecorded.departed = append(s.unrecorded.departed, d)
	}
	failed, failure := s.recordSocketsSeen(ctx, s.openMailboxes.takeReleased())
	s.unrecorded.released = append(s.unrecorded.released, failed...)
	if err == nil {
		err = failure
	}
	return err
}

// keepMailboxes lets the mailboxes that a side is in live for their ttl from the last sign of life of
// its session, which ends.
func (t *txn) keepMailboxes(app AppID, side Side, seen time.Time) error {
	mailboxes, err := t.MailboxesOf(app, side)
	if err != nil {
		return err
	}
	for _, m := range mailboxes {
		if !seen.After(m.Updated) {
			continue
		}
		m.Updated, m.StaleAt = seen, latest(m.StaleAt, m.Stale(seen))
		if err := t.UpdateMailbox(m); err != nil {
			return err
		}
	}
	return nil
}

// keepMailboxesLater is keepMailboxes for a session whose outbox is locked: mailboxes are locked before outboxes, so they
// are kept in a transaction of their own.
func (t *txn) keepMailboxesLater(of Session) {
	left := departure{of.App, of.Side, latest(t.s.lastSeen(of, t.Now()), t.Now())}
	t.AfterCommit(func() { t.s.openMailboxes.depart(left) })
}

func (s *Service) recordSocketsSeen(ctx context.Context, keys []MailboxKey) (failed []MailboxKey, err error) {
	return storeAll(ctx, s, keys, func(tx Tx, batch []MailboxKey) error { return tx.SocketsSeen(batch, tx.Now()) })
}
