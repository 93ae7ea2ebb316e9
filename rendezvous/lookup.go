package rendezvous

import (
	"context"
	"sync"
	"time"

	"restante/session"
)

// glances gathers looks at sessions. Where many clients wait and little happens nearly all
// looks find nothing, and each would be a transaction: the first is made at once, and those
// that come within the [Config.GlanceSpan] after it are made together.
type glances struct {
	mu      sync.Mutex
	waiting map[session.Key][]chan<- glanced // made on first use
	running bool                             // somebody will look
}

// glanced is a session as it was seen.
type glanced struct {
	session Session
	at      time.Time
	err     error
}

// glance looks at a session. It refuses with SESSION_UNKNOWN.
func (s *Service) glance(ctx context.Context, k session.Key) (glanced, error) {
	seen := make(chan glanced, 1)
	g := &s.glances
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = map[session.Key][]chan<- glanced{}
	}
	g.waiting[k] = append(g.waiting[k], seen)
	if !g.running {
		g.running = true
		go s.glanceForAll() //nolint:contextcheck // it is for many, of whom none may end it
	}
	g.mu.Unlock()
	select {
	case one := <-seen:
		return one, one.err
	case <-ctx.Done():
		return glanced{}, ctx.Err()
	}
}

// glanceForAll looks for all who wait, and again after the span, until nobody does.
func (s *Service) glanceForAll() {
	waiting := s.glances.take()
	if waiting == nil {
		return
	}
	found := make(map[session.Key]glanced, len(waiting))
	err := recoverPanic(func() error { return s.glanceAt(waiting, found) })
	for k, all := range waiting {
		one, is := found[k]
		switch {
		case err != nil:
			one.err = s.clientError(err)
		case !is:
			one.err = unknownSession()
		}
		for _, seen := range all {
			seen <- one
		}
	}
	time.AfterFunc(s.Config.LookupBatchWindow, s.glanceForAll)
}

// take takes all who wait; nil if nobody does, and then nobody looks any more.
func (g *glances) take() map[session.Key][]chan<- glanced {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := g.waiting
	g.waiting, g.running = nil, waiting != nil
	return waiting
}

func (s *Service) glanceAt(waiting map[session.Key][]chan<- glanced, found map[session.Key]glanced) error {
	keys := make([]session.Key, 0, len(waiting))
	for k := range waiting {
		keys = append(keys, k)
	}
	return s.read(context.Background(), func(t *txn) error {
		sessions, err := t.Sessions(keys)
		for _, one := range sessions {
			found[one.Key] = glanced{session: one, at: t.now}
		}
		return err
	})
}
