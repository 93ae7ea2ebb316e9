package rendezvous

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"
)

// censusAge is how old a count may be: counting is not free, and monitoring may ask often.
const countMaxAge = 500 * time.Millisecond

// Status is what monitoring asks for. It is answered also when the storage is
// away, with what was last known.
type Status struct {
	Now       time.Time
	Updated   time.Time // the last committed modification, at most a second late
	Counts    Counts
	CountsAt  time.Time // when these were true; zero if they never could be counted
	StorageOK bool
	Ready     bool
	Attached  int64        // sessions whose clients this process sees
	Prune     Pruned       // the last run
	Retired   map[Kind]int // by all runs since the start
	Failures  []PruneFailure
}

// census is the counts as they were last known.
type countCache struct {
	mu       sync.Mutex
	at       time.Time
	counts   Counts
	updated  time.Time
	counting bool
}

// sessions is how many there were, at the last count.
func (c *countCache) sessions() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts.Sessions
}

// due tells whether to count now; only one caller at a time is told so.
func (c *countCache) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counting || now.Sub(c.at) < countMaxAge {
		return false
	}
	c.counting = true
	return true
}

// Status never fails: what cannot be learned is told as it was last known.
func (s *Service) Status(ctx context.Context) Status {
	ready := s.Ready(ctx) == nil
	if s.countCache.due(s.now()) {
		s.logErrors("count", func() error { return s.count(ctx) })
	}
	s.pruner.mu.Lock()
	last, retired := s.pruner.last, maps.Clone(s.pruner.retired)
	s.pruner.mu.Unlock()
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	return Status{
		Now: s.now(), Updated: s.countCache.updated, Counts: s.countCache.counts, CountsAt: s.countCache.at,
		StorageOK: !s.health.down(), Ready: ready,
		Attached: s.presence.CountAttached(s.now(), s.timing().Silence()),
		Prune:    last, Retired: retired, Failures: s.PruneFailures(),
	}
}

// count takes the census.
func (s *Service) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var counts Counts
	var updated, at time.Time
	err := s.read(ctx, func(t *txn) (err error) {
		at = t.now
		if counts, err = t.Counts(); err != nil {
			return err
		}
		updated, err = t.Updated()
		return err
	})
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	s.countCache.counting = false
	if err == nil {
		s.countCache.at, s.countCache.counts, s.countCache.updated = at, counts, updated
	}
	return err
}

// digest names something in a log without saying what it is called.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
