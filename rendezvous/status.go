package rendezvous

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"
)

const (
	// countMaxAge is how old a count may be. Counting is expensive, and monitoring may ask often.
	countMaxAge   = 500 * time.Millisecond
	countInterval = time.Minute // how often the sessions are counted, for their limit
	countRest     = 20          // the times that a count took before the next one
	maxCountWait  = time.Hour   // after counts that failed
)

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
	Recorded  time.Time    // when what changes lazily was last stored without a failure; zero before
	Retired   map[Kind]int // by all runs since the start
	Failures  []PruneFailure
	Overdue   time.Duration // for how long the oldest thing that is stale has been stale; 0 if nothing is
	Ended     UsageTotals   // what ended in this process since it started
	AllEnded  UsageTotals   // what ended since the storage was made
	Servers   []Server      // that use the storage, or did within a day, the one that was seen last first
	Webhooks  DispatchCounts
	ClockSkew time.Duration // by how much the storage's clock is ahead of this machine's
}

// countCache is the counts as they were last known.
type countCache struct {
	mu       sync.Mutex
	at       time.Time // in the storage's time
	next     time.Time // when to count again, at the earliest, in local time
	failed   int       // so many counts have failed since the last that did not
	counts   Counts
	storage  StorageSize
	updated  time.Time
	oldest   time.Time // since when the oldest stale thing is stale; zero if nothing is
	ended    UsageTotals
	servers  []Server
	webhooks DispatchCounts
	counting bool
	pending  int64 // places of sessions whose transactions run now
	begun    int64 // sessions that were stored here and are in no count
	freed    int64 // sessions that ended here and are in the last count, or began since
	period   int64 // the number of the current one: each start and each end of a count begins another
}

// place is that of one session among all that there may be, while its transaction runs. countCache guards it.
type place struct {
	taken bool
	left  bool // the caller did not wait for the end of the transaction
}

// take takes a place for a session. It returns false if there are as many sessions as there may be: those of the last
// count, those that began here since, and those that begin now, less those that ended here since. A transaction that
// runs again keeps its place.
func (c *countCache) take(p *place, most int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.taken {
		return true
	}
	if c.counts.Sessions+c.begun+c.pending-c.freed >= most {
		return false
	}
	if !p.left {
		p.taken = true
		c.pending++
	}
	return true
}

// store counts the session in: its transaction is committed.
func (c *countCache) store(p *place) {
	c.leave(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
}

// leave gives the place back.
func (c *countCache) leave(p *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.taken {
		c.pending--
	}
	*p = place{left: true}
}

// now returns the number of the current period, for [countCache.end].
func (c *countCache) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.period
}

// end counts a session out: a transaction ended it in that period, and is committed. In a later period, a count may have
// left the session out already, so only the next count leaves it out for sure.
func (c *countCache) end(period int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.period == period {
		c.freed++
	}
}

// due reports whether the caller is to count now. Only one caller at a time is.
func (c *countCache) due(local time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counting || local.Before(c.next) {
		return false
	}
	c.counting = true
	return true
}

// rested reports whether the last count is long enough ago.
func (c *countCache) rested(local time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !local.Before(c.next)
}

// counted records that a count took so long. Counting takes at most a twentieth of the time; after a
// failure, which has taken as long as a statement may, ever less.
func (c *countCache) counted(local time.Time, took time.Duration, err error) {
	c.counting = false
	c.next = local.Add(max(countMaxAge, countRest*took))
	if c.failed++; err == nil {
		c.failed = 0
	} else if c.failed > 1 {
		c.next = local.Add(min(countInterval<<min(c.failed-1, 10), maxCountWait))
	}
}

// attachedCache is how many clients were attached at the last count of them, which costs in proportion to all clients.
type attachedCache struct {
	mu   sync.Mutex // also held while they are counted, so that the others wait for that
	n    int64
	next time.Time // when to count again, at the earliest, in local time
}

// count returns the last count, or has f count. Counting takes at most a twentieth of the time.
func (c *attachedCache) count(local func() time.Time, f func() int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began := local(); !began.Before(c.next) {
		c.n = f()
		ended := local()
		c.next = ended.Add(countRest * ended.Sub(began))
	}
	return c.n
}

// countAttached returns how many sessions have clients that this process sees.
func (s *Service) countAttached() int64 {
	return s.attachedCache.count(s.local, func() int64 { return s.presence.CountAttached(s.now(), s.timing().Silence()) })
}

// Status never fails. What cannot be read now is reported as it was last known.
func (s *Service) Status(ctx context.Context) Status {
	ready := s.Ready(ctx) == nil
	s.countIfDue(ctx)
	attached := s.countAttached()
	s.pruner.mu.Lock()
	last, lastGood, next, retired := s.pruner.last, s.pruner.lastGood, s.pruner.next, maps.Clone(s.pruner.retired)
	s.pruner.mu.Unlock()
	var recorded time.Time
	if at := s.recorded.Load(); at != nil {
		recorded = *at
	}
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	var overdue time.Duration
	if !s.countCache.oldest.IsZero() {
		overdue = max(s.now().Sub(s.countCache.oldest), 0)
	}
	return Status{
		Now: s.now(), Updated: s.countCache.updated, Counts: s.countCache.counts, Storage: s.countCache.storage, CountsAt: s.countCache.at,
		StorageOK: !s.health.down(), Ready: ready,
		Attached: attached, Prune: last, LastGood: lastGood, NextPrune: next, Recorded: recorded, Retired: retired, Failures: s.PruneFailures(), Overdue: overdue,
		Ended: s.endedHere.copied(), AllEnded: s.countCache.ended, Servers: s.countCache.servers,
		Webhooks:  s.countCache.webhooks,
		ClockSkew: s.clock.skew(s.local()),
	}
}

// countLoop counts now and then, for the limit of sessions. It is a loop of its own, because counting
// may take long.
func (s *Service) countLoop(ctx context.Context) {
	tick := time.NewTicker(countInterval)
	defer tick.Stop()
	for {
		if s.countCache.rested(s.local()) { // it counts for itself: Status does not wait for it
			s.logErrors("count", func() error { return s.count(ctx) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) countIfDue(ctx context.Context) {
	if s.countCache.due(s.local()) {
		s.logErrors("count", func() error { return s.count(ctx) })
	}
}

// count counts everything in the storage. A count that takes too long says nothing of whether the
// storage can be used.
func (s *Service) count(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	began := s.local()
	defer func() {
		s.countCache.mu.Lock()
		defer s.countCache.mu.Unlock()
		s.countCache.counted(s.local(), s.local().Sub(began), err)
	}()
	if err := s.health.unreadable(); err != nil {
		return err
	}
	s.countCache.mu.Lock()
	begun := s.countCache.begun
	s.countCache.period++
	s.countCache.mu.Unlock()
	var counts Counts
	var storage StorageSize
	var webhooks DispatchCounts
	var updated, at time.Time
	var ended UsageTotals
	var servers []Server
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		t := s.newTxn(tx, began)
		at = t.Now()
		if counts, err = t.Counts(); err != nil {
			return err
		}
		if storage, err = t.StorageSize(); err != nil {
			return err
		}
		if ended, err = t.UsageTotals(); err != nil {
			return err
		}
		if servers, err = t.Servers(maxServers); err != nil {
			return err
		}
		if s.HasWebhooks() {
			if webhooks, err = t.DispatchCounts(); err != nil {
				return err
			}
		}
		updated, err = t.Updated()
		return err
	})
	if err != nil {
		return err
	}
	oldest, known := s.oldestStale(ctx)
	s.countCache.mu.Lock()
	defer s.countCache.mu.Unlock()
	if known {
		s.countCache.oldest = oldest
	}
	s.stored.setDisk(storage.Used)
	s.countCache.begun -= begun // the others began while this counted
	s.countCache.freed = 0      // those that ended while this counted may be in it, until the next count
	s.countCache.period++
	s.countCache.webhooks = webhooks
	s.countCache.at, s.countCache.counts, s.countCache.storage, s.countCache.updated = at, counts, storage, updated
	s.countCache.ended, s.countCache.servers = ended, servers
	return nil
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
