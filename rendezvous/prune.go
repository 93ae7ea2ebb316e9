package rendezvous

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"restante/internal/presence"
	"restante/session"
)

const (
	pruneBatch = 500 // stale things listed at a time
	// logPruneInterval is how often the logs of retired mailboxes are looked through. They hold what their
	// clients believe to be gone, so they do not wait for a run of pruning.
	logPruneInterval = 10 * time.Second
	maxPruneWait     = time.Hour // the longest until something that could not be pruned is tried again
)

// Kind is what is pruned.
type Kind string

// The kinds of things that are pruned. [KindList] stands for listing them.
const (
	KindSession   Kind = "session"
	KindMailbox   Kind = "mailbox"
	KindNameplate Kind = "nameplate"
	KindTombstone Kind = "tombstone"
	KindLog       Kind = "log" // of a retired mailbox
	KindList      Kind = "list"
	KindRested    Kind = "rested number"
	KindReply     Kind = "recorded reply"
	KindDispatch  Kind = "dispatch"
	KindStatistic Kind = "statistic"
	KindSpace     Kind = "space"
	KindClient    Kind = "client version"
)

// StatisticKinds are the kinds of which statistics are kept: usage records of nameplates and of mailboxes, and client
// versions.
var StatisticKinds = []Kind{KindNameplate, KindMailbox, KindClient}

// Pruned is what one run of pruning did.
type Pruned struct {
	Started, Finished time.Time
	Retired           map[Kind]int
	Failed            int // things that could not be pruned in this run
	Skipped           bool
}

// PruneFailure is something that could not be pruned. It is not tried again before NextTry.
type PruneFailure struct {
	Kind     Kind
	Key      string // names it in the log without revealing anything of a client
	App      AppID  // that it belongs to, if that could be read
	Attempts int
	Last     time.Time
	NextTry  time.Time
	Err      error
}

// pruner keeps the results of pruning and what could not be pruned.
type pruner struct {
	mu       sync.Mutex
	last     Pruned
	lastGood time.Time               // when a run finished in which nothing failed
	next     time.Time               // when the next run is due
	retired  map[Kind]int            // since the start
	failures map[string]PruneFailure // by kind and key
}

// Prune retires what is stale: mailboxes, then nameplates, then sessions, each in a transaction of its
// own. If one fails or panics, the failure is logged and counted and pruning goes on. That thing is
// tried again, after longer and longer times. In the boot grace nothing is pruned.
func (s *Service) Prune(ctx context.Context) Pruned {
	until := s.timing().BootGraceUntil // which begins it, if nothing ran before
	run := Pruned{Started: s.now(), Retired: map[Kind]int{}}
	if run.Started.Before(until) {
		run.Skipped = true
	} else {
		s.countUsage(ctx, &run) // of the runs before
		s.pruneMailboxes(ctx, &run)
		s.pruneNameplates(ctx, &run)
		s.pruneSessions(ctx, &run)
		s.pruneTombstones(ctx, &run)
		s.pruneLogs(ctx, &run)
		s.pruneRested(ctx, &run)
		s.pruneStatistics(ctx, &run)
		s.freeSpace(ctx, &run)
	}
	run.Finished = s.now()
	s.stats.PruneRuns.Add(1)
	s.pruner.mu.Lock()
	defer s.pruner.mu.Unlock()
	if s.pruner.retired == nil {
		s.pruner.retired = map[Kind]int{}
	}
	for kind, n := range run.Retired {
		s.pruner.retired[kind] += n
	}
	s.pruner.last = run
	if run.Good() {
		s.stats.PruneGood.Add(1)
		s.pruner.lastGood = run.Finished
	}
	return run
}

// pruneLoop prunes every interval, whatever happens.
func (s *Service) pruneLoop(ctx context.Context) {
	tick := time.NewTicker(s.Config.PruneInterval)
	defer tick.Stop()
	logTick := time.NewTicker(logPruneInterval)
	defer logTick.Stop()
	s.pruner.schedule(s.now().Add(s.Config.PruneInterval))
	for {
		select {
		case <-ctx.Done():
			return
		case <-logTick.C:
			s.pruneLogsOnce(ctx)
			continue
		case <-tick.C:
		}
		s.pruner.schedule(s.now().Add(s.Config.PruneInterval)) // before the run: one that hangs is late for the next
		s.logErrors("prune", func() error {
			run := s.Prune(ctx)
			s.Log.Info("pruned", "retired", run.Retired, "failed", run.Failed, "skipped", run.Skipped, "took", run.Finished.Sub(run.Started).Round(time.Millisecond))
			return nil
		})
	}
}

// pruneLogsOnce looks once through the logs of retired mailboxes.
func (s *Service) pruneLogsOnce(ctx context.Context) {
	s.logErrors("prune the logs of retired mailboxes", func() error {
		run := &Pruned{Started: s.now(), Retired: map[Kind]int{}}
		s.pruneLogs(ctx, run)
		s.freeSpace(ctx, run)
		return nil
	})
}

// sweep prunes the stale things of one kind, page by page, so that one that cannot be pruned does not
// block those after it. What failed before and is not stale any more, or is gone, was retired another
// way: its failures are forgotten.
func sweep[C any](ctx context.Context, s *Service, run *Pruned, kind Kind, page func(tx Tx, after C) ([]C, error), name func(C) string, prune func(*txn, C) (bool, error)) {
	var after C
	failed := s.pruner.failedOf(kind)
	for {
		var found []C
		if !s.attempt(run, KindList, string(kind), func() error {
			if err := s.health.unwritable(); err != nil { // or each of them would fail
				return err
			}
			return s.read(ctx, func(t *txn) (err error) {
				found, err = page(t.Tx, after)
				return err
			})
		}) {
			return
		}
		for _, one := range found {
			if ctx.Err() != nil {
				return
			}
			retired := false
			delete(failed, failureName(kind, name(one)))
			done := s.attempt(run, kind, name(one), func() error {
				return s.transact(ctx, func(t *txn) (err error) {
					retired, err = prune(t, one)
					return err
				})
			})
			if done && retired {
				run.Retired[kind]++
			}
			if !done {
				s.recordApp(ctx, kind, name(one), one)
			}
		}
		if len(found) < pruneBatch {
			s.pruner.forget(failed)
			return
		}
		after = found[len(found)-1]
	}
}

// attempt runs one step of pruning, unless it failed recently.
func (s *Service) attempt(run *Pruned, kind Kind, key string, step func() error) bool {
	name := failureName(kind, key)
	s.pruner.mu.Lock()
	failure, failed := s.pruner.failures[name]
	s.pruner.mu.Unlock()
	if failed && s.now().Before(failure.NextTry) {
		run.Failed++
		return false
	}
	err := recoverPanic(step)
	s.pruner.mu.Lock()
	defer s.pruner.mu.Unlock()
	if err == nil {
		delete(s.pruner.failures, name)
		return true
	}
	if errors.Is(err, context.Canceled) {
		return false // the server is stopping
	}
	failure = PruneFailure{Kind: kind, Key: key, App: failure.App, Attempts: failure.Attempts + 1, Last: s.now(), Err: err}
	wait := maxPruneWait
	if doublings := failure.Attempts - 1; doublings < 10 {
		wait = min(wait, s.Config.PruneInterval<<doublings)
	}
	failure.NextTry = failure.Last.Add(wait - s.Config.PruneInterval/2) // half an interval early, so that the run that is due finds it due
	if s.pruner.failures == nil {
		s.pruner.failures = map[string]PruneFailure{}
	}
	s.pruner.failures[name] = failure
	run.Failed++
	s.stats.PruneFailed.Add(1)
	s.Log.Error("could not prune", "kind", kind, "key", key, "attempts", failure.Attempts, "nextTry", failure.NextTry, "error", err)
	return false
}

// failureName identifies what could not be pruned.
func failureName(kind Kind, key string) string { return string(kind) + " " + key }

// failedOf returns the names of what could not be pruned, of one kind.
func (p *pruner) failedOf(kind Kind) map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := map[string]bool{}
	for name, f := range p.failures {
		if f.Kind == kind {
			names[name] = true
		}
	}
	return names
}

// forget forgets failures.
func (p *pruner) forget(names map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range names {
		delete(p.failures, name)
	}
}

// storageBack makes everything due that could not be pruned because the storage was not available.
func (p *pruner) storageBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, f := range p.failures {
		if failure, ok := errors.AsType[*Failure](f.Err); ok && failure.Code == StorageUnavailable {
			f.NextTry = f.Last
			p.failures[name] = f
		}
	}
}

// PruneFailures returns what could not be pruned, sorted.
func (s *Service) PruneFailures() []PruneFailure {
	s.pruner.mu.Lock()
	defer s.pruner.mu.Unlock()
	failures := make([]PruneFailure, 0, len(s.pruner.failures))
	for _, f := range s.pruner.failures {
		failures = append(failures, f)
	}
	slices.SortFunc(failures, func(a, b PruneFailure) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	return failures
}

func (s *Service) pruneMailboxes(ctx context.Context, run *Pruned) {
	sweep(ctx, s, run, KindMailbox,
		func(tx Tx, after MailboxCursor) ([]MailboxCursor, error) {
			return tx.StaleMailboxes(run.Started, after, pruneBatch)
		},
		func(c MailboxCursor) string { return fmt.Sprint(int64(c.Key)) },
		(*txn).pruneMailbox)
}

// pruneMailbox retires a mailbox whose life is over. It postpones it while a client that is in it is
// alive.
func (t *txn) pruneMailbox(c MailboxCursor) (retired bool, err error) {
	if t.Now().Before(t.s.timing().BootGraceUntil) {
		return false, nil // it began since this run did
	}
	m, err := t.IdleMailbox(c.Key)
	if errors.Is(err, ErrNotFound) {
		return false, nil // or it is in use, or another replica prunes it
	}
	if err != nil {
		return false, err
	}
	holders, err := t.Holders(m.Key)
	if err != nil {
		return false, err
	}
	var seen time.Time
	switch {
	case t.s.openMailboxes.has(m.Key):
		seen = t.Now()
	case !m.SocketSeen.IsZero():
		seen = m.SocketSeen.Add(presence.MaxLag)
	}
	for _, h := range holders { // also of a session that expired and is not pruned yet
		seen = latest(seen, t.s.lastSeen(h, t.Now()))
	}
	if stale := m.Stale(seen); stale.After(t.Now()) {
		m.StaleAt = stale
		return false, t.UpdateMailbox(m)
	}
	return true, t.retire(m, RetiredPruned)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (s *Service) pruneNameplates(ctx context.Context, run *Pruned) {
	sweep(ctx, s, run, KindNameplate,
		func(tx Tx, after NameplateCursor) ([]NameplateCursor, error) {
			return tx.StaleNameplates(run.Started, after, pruneBatch)
		},
		func(c NameplateCursor) string { return digest(string(c.App), string(c.ID)) },
		(*txn).pruneNameplate)
}

// pruneNameplate postpones a nameplate for as long as its mailbox lives, because the two are retired
// together. It retires only a nameplate whose mailbox is missing.
func (t *txn) pruneNameplate(c NameplateCursor) (retired bool, err error) {
	n, err := t.Nameplate(c.App, c.ID)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m, err := t.MailboxByKey(n.Mailbox)
	if errors.Is(err, ErrNotFound) {
		return true, t.retireNameplate(n, true)
	}
	if err != nil {
		return false, err
	}
	n.StaleAt = latest(m.StaleAt, t.Now().Add(t.s.Config.PruneInterval))
	return false, t.UpdateNameplate(n)
}

func (s *Service) pruneSessions(ctx context.Context, run *Pruned) {
	sweep(ctx, s, run, KindSession,
		func(tx Tx, after SweepCursor) ([]SweepCursor, error) {
			return tx.SessionsToSweep(run.Started, after, pruneBatch)
		},
		func(c SweepCursor) string { return c.Key.String() },
		(*txn).pruneSession)
}

// pruneSession replaces an expired session by a tombstone, and removes a tombstone that is old enough.
func (t *txn) pruneSession(c SweepCursor) (retired bool, err error) {
	stored, err := t.IdleSession(c.Key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if stored.Ended != nil {
		if until := t.tombstoneUntil(*stored.Ended); until.After(t.Now()) { // it ended after it was listed, or is kept for longer now
			return false, t.UpdateSession(stored, until)
		}
		return true, t.removeTombstone(c.Key)
	}
	if closed, ok := t.s.state(stored, t.Now()).(session.Closed); ok {
		if err := t.keepMailboxes(stored.App, stored.Side, t.s.lastSeen(stored, t.Now())); err != nil {
			return false, err
		}
		t.wakeSession(c.Key)
		return true, t.writeTombstone(stored, closed)
	}
	until := t.s.lastSeen(stored, t.Now())
	return false, t.UpdateSession(stored, latest(t.s.sweepAt(until, stored.Grace), t.Now().Add(t.s.Config.PruneInterval)))
}

// pruneTombstones removes the oldest tombstones if there are more than allowed. To count a million takes tenths of a
// second, so they are counted once, and nothing is written meanwhile. Servers that prune at the same time may each remove
// what one of them would have had to.
func (s *Service) pruneTombstones(ctx context.Context, run *Pruned) {
	most, count := int(s.Config.Limits.Sessions), 0
	if !s.attempt(run, KindTombstone, "count", func() error {
		return s.read(ctx, func(t *txn) (err error) {
			count, err = t.CountTombstones(most + pruneBatch)
			return err
		})
	}) {
		return
	}
	for range count - most {
		if !s.attempt(run, KindTombstone, "oldest", func() error {
			return s.transact(ctx, func(t *txn) error { return t.removeOldestTombstone("") })
		}) {
			return
		}
		run.Retired[KindTombstone]++
	}
}

// pruneLogs deletes the logs of retired mailboxes that no outbox refers to any more, a page in each
// transaction.
func (s *Service) pruneLogs(ctx context.Context, run *Pruned) {
	more := true
	for ctx.Err() == nil && more { // in this order: once ctx has ended, a transaction may still write more
		more = false
		sweep(ctx, s, run, KindLog,
			func(tx Tx, after MailboxKey) ([]MailboxKey, error) { return tx.RetiredLogs(after, pruneBatch) },
			func(k MailboxKey) string { return fmt.Sprint(int64(k)) },
			func(t *txn, k MailboxKey) (gone bool, err error) {
				gone, err = t.DeleteRetiredLog(k)
				more = more || err == nil && !gone
				if err == nil && gone {
					err = t.releaseBytes(k)
				}
				return gone, err
			})
	}
}
