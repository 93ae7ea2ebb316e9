package rendezvous

import "context"

// pruneRested forgets which numbers rested, and replies that were recorded long ago.
func (s *Service) pruneRested(ctx context.Context, run *Pruned) {
	s.pruneRecords(ctx, run, KindReply, func(t *txn) (int, error) {
		counted, err := t.DeleteReplies(t.Now(), pruneBatch)
		if err == nil {
			t.freed(counted)
		}
		return len(counted), err
	})
	s.pruneRecords(ctx, run, KindDispatch, func(t *txn) (int, error) { return t.DeleteDispatches(t.Now().Add(-keepDispatches), pruneBatch) })
	s.pruneRecords(ctx, run, KindRested, func(t *txn) (int, error) { return t.DeleteRested(t.Now(), pruneBatch) })
}

// pruneStatistics deletes usage records and client versions that have been kept for long enough, and the oldest if there
// are more than are kept: they are charged to no address.
func (s *Service) pruneStatistics(ctx context.Context, run *Pruned) {
	s.pruneRecords(ctx, run, KindStatistic, func(t *txn) (int, error) {
		return t.DeleteStatistics(t.Now().Add(-t.s.Config.UsageRetention), pruneBatch)
	})
	deleted := 0
	for _, kind := range StatisticKinds {
		deleted += s.pruneSurplus(ctx, run, kind)
	}
	if deleted > 0 {
		run.Retired[KindStatistic] += deleted
		s.Log.Warn("deleted the oldest usage records: there were more than are kept", "deleted", deleted, "kept", s.Config.Limits.UsageRecords,
			"do", "raise --max-usage-records if so many clients come; if an address makes them, refuse it by a rule: --log-level debug shows the requests of each address")
	}
}

// pruneSurplus deletes the oldest statistics of a kind beyond the number that is kept. Counting takes longer than deleting
// a batch, so it reads a snapshot and is done once for many batches. It looks little further than that number, because
// other servers on the database may delete at the same time: each of them deletes no more than that in vain.
func (s *Service) pruneSurplus(ctx context.Context, run *Pruned, kind Kind) (deleted int) {
	most := s.Config.Limits.UsageRecords
	further := most/64 + 16
	for ctx.Err() == nil {
		surplus := 0
		if !s.attempt(run, KindStatistic, "number of "+string(kind), func() error {
			return s.read(ctx, func(t *txn) error {
				count, err := t.CountStatistics(kind, most+further)
				surplus = count - most
				return err
			})
		}) {
			return deleted
		}
		n := s.deleteOldest(ctx, run, kind, surplus)
		deleted += n
		if surplus < further || n < surplus {
			return deleted
		}
	}
	return deleted
}

// deleteOldest deletes so many of the oldest statistics of a kind, a batch in a transaction. It returns how many it
// deleted: fewer if the others are not counted yet, or another server deletes them.
func (s *Service) deleteOldest(ctx context.Context, run *Pruned, kind Kind, surplus int) (deleted int) {
	for deleted < surplus && ctx.Err() == nil {
		batch, n := min(surplus-deleted, pruneBatch), 0 // of this step alone: its transaction may still run when ctx has ended
		if !s.attempt(run, KindStatistic, "oldest "+string(kind), func() error {
			return s.transact(ctx, func(t *txn) (err error) {
				n, err = t.DeleteOldestStatistics(kind, batch)
				return err
			})
		}) {
			return deleted
		}
		if deleted += n; n < batch {
			return deleted
		}
	}
	return deleted
}

// countUsage adds usage records to the totals, a batch in a transaction. What is not counted is not deleted.
func (s *Service) countUsage(ctx context.Context, run *Pruned) {
	for counted := pruneBatch; counted >= pruneBatch && ctx.Err() == nil; {
		if !s.attempt(run, KindStatistic, "uncounted", func() error {
			return s.transact(ctx, func(t *txn) (err error) {
				counted, err = t.CountUsage(pruneBatch)
				return err
			})
		}) {
			return
		}
	}
}

// spaceSteps is how often in a row space is given back: 64 MiB every ten seconds.
const spaceSteps = 64

// freeSpace gives back space of what was pruned, step by step, so that no update waits for long.
func (s *Service) freeSpace(ctx context.Context, run *Pruned) {
	for i := 0; i < spaceSteps && ctx.Err() == nil; i++ {
		more := false // of this step alone: its transaction may still run when ctx has ended
		if !s.attempt(run, KindSpace, "free", func() error {
			return s.transact(ctx, func(t *txn) (err error) {
				more, err = t.FreeSpace()
				return err
			})
		}) || !more {
			return
		}
	}
}

// pruneRecords deletes records that are old enough, a batch in a transaction.
func (s *Service) pruneRecords(ctx context.Context, run *Pruned, kind Kind, deleteBatch func(*txn) (int, error)) {
	for ctx.Err() == nil {
		deleted := 0
		if !s.attempt(run, kind, "old", func() error {
			return s.transact(ctx, func(t *txn) (err error) {
				deleted, err = deleteBatch(t)
				return err
			})
		}) {
			return
		}
		if deleted > 0 {
			run.Retired[kind] += deleted
		}
		if deleted < pruneBatch {
			return
		}
	}
}
