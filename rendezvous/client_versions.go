package rendezvous

import (
	"context"
	"sync"
)

// clientVersions are the clients that came and are not recorded yet. They are statistics: a crash may
// lose the last of them.
type clientVersions struct {
	mu      sync.Mutex
	pending []ClientVersion
	notify  chan struct{} // told when pending gets an entry
}

// maxClientVersions bounds how many are kept while the storage is unavailable.
const maxClientVersions = 10_000

// RecordClient records a client for the usage statistics. version is its implementation and version,
// empty if the client did not say.
func (s *Service) RecordClient(app AppID, version [2]string) {
	s.observing().Client(app, version)
	at := Usage{Started: s.now()}.Blurred(s.Config.Blur).Started
	a := &s.clientVersions
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) < maxClientVersions {
		a.pending = append(a.pending, ClientVersion{app, at, version[0], version[1]})
	}
	select {
	case a.notify <- struct{}{}:
	default:
	}
}

// recordClientVersions stores them.
func (s *Service) recordClientVersions(ctx context.Context) error {
	s.clientVersions.mu.Lock()
	pending := s.clientVersions.pending
	s.clientVersions.pending = nil
	s.clientVersions.mu.Unlock()
	_, err := storeAll(ctx, s, pending, Tx.RecordClients)
	return err
}
