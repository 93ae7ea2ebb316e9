package rendezvous

import (
	"context"
	"sync"
)

// arrivals are the clients that came and are not recorded yet. They are
// statistics: a crash may lose the last of them.
type clientVersions struct {
	mu      sync.Mutex
	pending []ClientVersion
	kick    chan struct{} // see clients
}

// maxArrivals bounds what is remembered while the storage is away.
const maxClientVersions = 10_000

// RecordClient notes a client that came, for the usage records. version is its
// implementation and version, empty where it did not say.
func (s *Service) RecordClient(p SideRef, version [2]string) {
	at := Usage{Started: s.now()}.Blurred(s.Config.Blur).Started
	a := &s.clientVersions
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) < maxClientVersions {
		a.pending = append(a.pending, ClientVersion{p.App, p.Side, at, version[0], version[1]})
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// recordArrivals writes them down.
func (s *Service) recordClientVersions(ctx context.Context) error {
	s.clientVersions.mu.Lock()
	pending := s.clientVersions.pending
	s.clientVersions.pending = nil
	s.clientVersions.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	return s.clientError(s.Store.Update(ctx, func(tx Tx) error { return tx.RecordClients(pending) }))
}
