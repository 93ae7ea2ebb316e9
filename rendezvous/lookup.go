package rendezvous

import (
	"context"
	"sync"
	"time"

	"restante/session"
)

// lookupBatches batches lookups of sessions. Where many clients wait and little happens, nearly all
// lookups find nothing new, and each would be a transaction. The first lookup is made at once. Those
// that come within [Config.LookupBatchWindow] after it are made together.
type lookupBatches struct {
	mu      sync.Mutex                            // guards the following fields
	waiting map[session.Key][]chan<- lookupResult // made on first use
	running bool                                  // a batch is to be made
}

// lookupResult is a session as it was at a moment.
type lookupResult struct {
	session Session
	at      time.Time
	err     error
}

// lookup looks a session up. It refuses with SESSION_UNKNOWN.
func (s *Service) lookup(ctx context.Context, k session.Key) (lookupResult, error) {
	result := make(chan lookupResult, 1)
	b := &s.lookups
	b.mu.Lock()
	if b.waiting == nil {
		b.waiting = map[session.Key][]chan<- lookupResult{}
	}
	b.waiting[k] = append(b.waiting[k], result)
	if !b.running {
		b.running = true
		go s.lookupBatch() //nolint:contextcheck // it serves many callers, none of which may end it
	}
	b.mu.Unlock()
	select {
	case found := <-result:
		return found, found.err
	case <-ctx.Done():
		return lookupResult{}, ctx.Err()
	}
}

// lookupBatch serves all waiting lookups, and runs again after the window until there are none.
func (s *Service) lookupBatch() {
	waiting := s.lookups.take()
	if waiting == nil {
		return
	}
	results := make(map[session.Key]lookupResult, len(waiting))
	err := recoverPanic(func() error { return s.lookupAll(waiting, results) })
	for k, callers := range waiting {
		result, found := results[k]
		switch {
		case err != nil:
			result.err = s.clientError(err)
		case !found:
			result.err = unknownSession()
		}
		for _, caller := range callers {
			caller <- result
		}
	}
	time.AfterFunc(s.Config.LookupBatchWindow, s.lookupBatch)
}

// take takes all waiting lookups. It returns nil if there are none; then no batch is to be made.
func (b *lookupBatches) take() map[session.Key][]chan<- lookupResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.waiting
	b.waiting, b.running = nil, waiting != nil
	return waiting
}

// lookupAll looks up all sessions in one snapshot.
func (s *Service) lookupAll(waiting map[session.Key][]chan<- lookupResult, results map[session.Key]lookupResult) error {
	keys := make([]session.Key, 0, len(waiting))
	for k := range waiting {
		keys = append(keys, k)
	}
	return s.read(context.Background(), func(t *txn) error {
		sessions, err := t.Sessions(keys)
		for _, found := range sessions {
			results[found.Key] = lookupResult{session: found, at: t.Now()}
		}
		return err
	})
}
