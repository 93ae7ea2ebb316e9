package rendezvous

import (
	"context"
	"slices"
	"sync"
)

// openMailboxes counts the sockets that have a mailbox open. Each is a standing sign of life of its
// side.
type openMailboxes struct {
	mu    sync.Mutex
	count map[MailboxKey]int
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
		if h.count[k]--; h.count[k] == 0 {
			delete(h.count, k)
		}
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
	keys := s.openMailboxes.keys()
	for len(keys) > 0 {
		batch := keys[:min(recordBatch, len(keys))]
		keys = keys[len(batch):]
		err := s.Store.Update(ctx, func(tx Tx) error { return tx.SocketsSeen(batch, tx.Now()) })
		if err != nil {
			return s.clientError(err)
		}
	}
	return nil
}
