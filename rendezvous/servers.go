package rendezvous

import (
	"context"
	"crypto/rand"
	"time"
)

const (
	serverInterval = time.Minute    // between two signs of life of a server
	serverKept     = 24 * time.Hour // how long a server that is gone is remembered
	maxServers     = 100            // how many servers are reported
)

// Server is a server that uses the storage, or did. It stores a sign of life once a minute; so the time of the last
// modification is never older than that while a server runs and can write.
type Server struct {
	ID      string // random, for one run of the server
	Version string
	Started time.Time
	Seen    time.Time
	Skew    time.Duration // by how much the storage's clock was ahead of its machine's
	Pruned  time.Time     // when it last finished a run of pruning in which nothing failed; zero before
}

// serverLoop stores signs of life of this server. A service without a version is no server.
func (s *Service) serverLoop(ctx context.Context) {
	if s.Version == "" {
		return
	}
	me := Server{ID: rand.Text(), Version: s.Version, Started: s.now()}
	tick := time.NewTicker(serverInterval)
	defer tick.Stop()
	for {
		s.logErrors("record that this server is alive", func() error { return s.recordServer(ctx, me) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// recordServer stores a sign of life.
func (s *Service) recordServer(ctx context.Context, me Server) error {
	s.pruner.mu.Lock()
	me.Pruned = s.pruner.lastGood
	s.pruner.mu.Unlock()
	me.Skew = s.clock.skew(s.local())
	return s.transact(ctx, func(t *txn) error {
		now := me
		now.Seen = t.Now()
		return t.RecordServer(now, t.Now().Add(-serverKept))
	})
}
