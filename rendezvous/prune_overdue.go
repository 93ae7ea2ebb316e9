package rendezvous

import (
	"context"
	"slices"
	"time"
)

// oldestStale returns since when the oldest thing that is stale and not pruned is stale; zero if nothing is stale. It
// returns false if that cannot be read: then pruning fails, too, and says so.
func (s *Service) oldestStale(ctx context.Context) (oldest time.Time, known bool) {
	began := s.local()
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		oldest, err = s.newTxn(tx, began).oldestStale()
		return err
	})
	return oldest, err == nil
}

func (t *txn) oldestStale() (oldest time.Time, err error) {
	mailboxes, err := t.StaleMailboxes(t.Now(), MailboxCursor{}, 1)
	if err != nil {
		return oldest, err
	}
	nameplates, err := t.StaleNameplates(t.Now(), NameplateCursor{}, 1)
	if err != nil {
		return oldest, err
	}
	sessions, err := t.SessionsToSweep(t.Now(), SweepCursor{}, 1)
	if err != nil {
		return oldest, err
	}
	var since []time.Time
	for _, m := range mailboxes {
		since = append(since, m.StaleAt)
	}
	for _, n := range nameplates {
		since = append(since, n.StaleAt)
	}
	for _, s := range sessions {
		since = append(since, s.SweepAt)
	}
	if len(since) == 0 {
		return oldest, nil
	}
	return slices.MinFunc(since, time.Time.Compare), nil
}
