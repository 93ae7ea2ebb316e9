package rendezvous

import (
	"context"
	"sync"
)

// arrivals are the clients that came and are not recorded yet. They are
// statistics: a crash may lose the last of them.
type arrivals struct {
	mu   sync.Mutex
	some []ClientVersion
	kick chan struct{} // see clients
}

// maxArrivals bounds what is remembered while the storage is away.
const maxArrivals = 10_000

// RecordClient notes a client that came, for the usage records. version is its
// implementation and version, empty where it did not say.
func (s *Service) RecordClient(p SideRef, version [2]string) {
	at := Usage{Started: s.now()}.Blurred(s.Config.Blur).Started
	a := &s.arrived
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.some) < maxArrivals {
		a.some = append(a.some, ClientVersion{p.App, p.Side, at, version[0], version[1]})
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// recordArrivals writes them down.
func (s *Service) recordArrivals(ctx context.Context) error {
	s.arrived.mu.Lock()
	some := s.arrived.some
	s.arrived.some = nil
	s.arrived.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	return s.told(s.Store.Update(ctx, func(tx Tx) error { return tx.RecordClients(some) }))
}
