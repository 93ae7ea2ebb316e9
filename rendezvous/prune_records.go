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

// pruneStatistics deletes usage records and client versions that have been kept for long enough.
func (s *Service) pruneStatistics(ctx context.Context, run *Pruned) {
	s.pruneRecords(ctx, run, KindStatistic, func(t *txn) (int, error) {
		return t.DeleteStatistics(t.Now().Add(-t.s.Config.UsageRetention), pruneBatch)
	})
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
