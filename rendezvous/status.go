package rendezvous

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"
)

// countMaxAge is how old a count may be. Counting is expensive, and monitoring may ask often.
const countMaxAge = 500 * time.Millisecond

// Status is what monitoring asks for. While the storage is unavailable, it has what was last known.
type Status struct {
	Now       time.Time
	Updated   time.Time // the last committed modification, at most a second late
	Counts    Counts
	Storage   StorageSize
	CountsAt  time.Time // when these were true; zero if they never could be counted
	StorageOK bool
	Ready     bool
	Attached  int64        // sessions whose clients this process sees
	Prune     Pruned       // the last run
	LastGood  time.Time    // when a run last finished in which nothing failed; zero before
	NextPrune time.Time    // when the next run is due; zero if none is
	Retired   map[Kind]int // by all runs since the start
	Failures  []PruneFailure
}

// countCache is the counts as they were last known.
type countCache struct {
	mu       sync.Mutex
	at       time.Time
	counts   Counts
	storage  StorageSize
	updated  time.Time
	counting bool
}

// sessions returns how many sessions there were at the last count.
func (c *countCache) sessions() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts.Sessions
}

// due reports whether the caller is to count now. Only one caller at a time is.
func (c *countCache) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counting || now.Sub(c.at) < countMaxAge {
		return false
	}
	c.counting = true
	return true
}

// Status never fails. What cannot be read now is reported as it was last known.
func (s *Service) Status(ctx context.Context) Status {
	ready := s.Ready(ctx) == nil
	if s.countCache.due(s.now()) {
		s.logErrors("count", func() error { return s.count(ctx) })
	}
	s.pruner.mu.Lock()
	last, lastGood, next, retired := s.pruner.last, s.pruner.lastGood, s.pruner.next, maps.Clone(s.pruner.retired)
	s.pruner.mu.Unlock()
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	return Status{
		Now: s.now(), Updated: s.countCache.updated, Counts: s.countCache.counts, Storage: s.countCache.storage, CountsAt: s.countCache.at,
		StorageOK: !s.health.down(), Ready: ready,
		Attached: s.presence.CountAttached(s.now(), s.timing().Silence()),
		Prune:    last, LastGood: lastGood, NextPrune: next, Retired: retired, Failures: s.PruneFailures(),
	}
}

// count counts everything in the storage.
func (s *Service) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var counts Counts
	var storage StorageSize
	var updated, at time.Time
	err := s.read(ctx, func(t *txn) (err error) {
		at = t.now
		if counts, err = t.Counts(); err != nil {
			return err
		}
		if storage, err = t.StorageSize(); err != nil {
			return err
		}
		updated, err = t.Updated()
		return err
	})
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	s.countCache.counting = false
	if err == nil {
		s.countCache.at, s.countCache.counts, s.countCache.storage, s.countCache.updated = at, counts, storage, updated
	}
	return err
}

// digest identifies something in a log without revealing its name.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
