package rendezvous

import (
	"errors"
	"time"

	"restante/session"
)

// writeTombstone replaces a session by its tombstone, or by nothing if it never did anything.
func (t *txn) writeTombstone(of Session, c session.Closed) error {
	t.AfterCommit(func() { t.s.presence.End(of.Key) })
	if of.Ended == nil {
		t.makesWay = true
		period := t.s.countCache.now()
		t.AfterCommit(func() { t.s.countCache.end(period) })
	}
	if !c.Used {
		return t.DeleteSession(of.Key)
	}
	count, err := t.CountSessions(of.Address, true, t.s.Config.Limits.AddressSessions)
	if err != nil {
		return err
	}
	if count >= t.s.Config.Limits.AddressSessions {
		if err := t.removeOldestTombstone(of.Address); err != nil {
			return err
		}
	}
	of.Record = c.Record()
	if err := t.UpdateSession(of, t.tombstoneUntil(c.Ending)); err != nil {
		return err
	}
	return t.EmptySession(of.Key)
}

// tombstoneUntil returns when a tombstone is old enough to be removed.
func (t *txn) tombstoneUntil(e session.Ending) time.Time { return e.At.Add(t.s.Config.TombstoneTTL) }

// removeOldestTombstone removes the oldest tombstone of an address, or of all if address is empty.
func (t *txn) removeOldestTombstone(address string) error {
	oldest, err := t.OldestTombstone(address)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.removeTombstone(oldest)
}

// removeTombstone removes a tombstone. If it is that of its side's owner, the side's older tombstones
// are removed with it: otherwise one of those would pass for the owner.
func (t *txn) removeTombstone(k session.Key) error {
	stored, err := t.Session(k)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, err := t.SideOwner(stored.App, stored.Side)
	for err == nil && owner.Key == k {
		if err = t.DeleteSession(k); err == nil {
			owner, err = t.SideOwner(stored.App, stored.Side)
			k = owner.Key
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return t.DeleteSession(k)
}
