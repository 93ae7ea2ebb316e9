package rendezvous

import (
	"context"
	"slices"
	"time"

	"restante/internal/presence"
	"restante/session"
)

const (
	ackDelay      = 50 * time.Millisecond // how long acknowledgements are gathered
	recordTimeout = 10 * time.Second      // for one batch at the very end
	recordBatch   = 500                   // sessions written in one transaction
)

// recordLoop stores signs of life and acknowledgements, and all that are left at the end. With each tick it notes
// that recording goes well, unless something failed, so that monitoring can tell since when it does not.
func (s *Service) recordLoop(ctx context.Context) {
	notify := make(chan struct{}, 1)
	notify <- struct{}{} // for what came before the loop started; clients fill the channel as soon as they have it
	s.presence.Notify(notify)
	s.clientVersions.mu.Lock()
	s.clientVersions.notify = notify
	s.clientVersions.mu.Unlock()
	s.openMailboxes.mu.Lock()
	s.openMailboxes.notify = notify
	s.openMailboxes.mu.Unlock()
	tick := time.NewTicker(presence.WriteInterval)
	defer tick.Stop()
	holdTick := time.NewTicker(presence.MaxUnsaved)
	defer holdTick.Stop()
	writing := context.WithoutCancel(ctx) // a write that has begun is finished, because it may be the last chance
	newsGood, holdsGood := true, true     // since the last tick, and at the last holdTick
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(writing, recordTimeout)
			defer cancel()
			s.recordLast(last)
			return
		case <-notify:
			sleep(ctx, ackDelay)
			if s.health.unwritable() != nil { // what came is kept until the storage is back
				newsGood = false
				sleep(ctx, watchTick)
				wake(notify)
				continue
			}
			newsGood = s.recordNews(writing) && newsGood
		case <-holdTick.C:
			holdsGood = s.logErrors("record which mailboxes are open", func() error { return s.recordOpenMailboxes(writing) })
		case <-tick.C:
			if s.health.unwritable() == nil {
				s.retakeUnrecorded()
				newsGood = s.recordNews(writing) && newsGood
			}
			if s.recordLife(writing) && newsGood && holdsGood {
				s.recorded.Store(new(s.now()))
			}
			newsGood = true
		}
	}
}

// recordNews stores what clients acknowledged a moment ago, which clients came back, and what is gone. It reports whether
// nothing failed.
func (s *Service) recordNews(ctx context.Context) bool {
	acks := s.logErrors("record acknowledgements", func() error { return s.recordAcks(ctx) })
	returned := s.logErrors("record returned clients", func() error { return s.recordSightings(ctx, s.presence.TakeReturned()) })
	versions := s.logErrors("record client versions", func() error { return s.recordClientVersions(ctx) })
	left := s.logErrors("record which mailboxes were open", func() error { return s.recordLeft(ctx) })
	return acks && returned && versions && left
}

// recordLife stores the signs of life whose stored ones are old, and forgets logs that are not read any more. It reports
// whether nothing failed.
func (s *Service) recordLife(ctx context.Context) bool {
	s.logs.Evict()
	s.outboxes.Evict()
	return s.logErrors("record signs of life", func() error {
		return s.recordSightings(ctx, s.takeSightings(presence.MaxUnsaved))
	})
}

// recordLast stores all that is not stored yet.
func (s *Service) recordLast(ctx context.Context) {
	s.retakeUnrecorded()
	s.logErrors("record acknowledgements", func() error { return s.recordAcks(ctx) })
	s.logErrors("record signs of life", func() error { return s.recordSightings(ctx, s.takeSightings(0)) })
	s.logErrors("record which mailboxes are open", func() error { return s.recordOpenMailboxes(ctx) })
	s.logErrors("record which mailboxes were open", func() error { return s.recordLeft(ctx) })
	s.logErrors("record client versions", func() error { return s.recordClientVersions(ctx) })
}

// wake sends on a channel that has room for one, unless something waits there already.
func wake(notify chan<- struct{}) {
	select {
	case notify <- struct{}{}:
	default:
	}
}

// sleep waits for d or for ctx's end.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// unrecorded is what could not be stored. It is tried again with the next tick, and not whenever something else comes,
// because it may fail for ever.
type unrecorded struct {
	acks     []session.Ack
	departed []departure
	released []MailboxKey
}

// retakeUnrecorded has what could not be stored taken again.
func (s *Service) retakeUnrecorded() {
	s.presence.RetakeAcks(s.unrecorded.acks)
	s.openMailboxes.retake(s.unrecorded.departed, s.unrecorded.released)
	s.unrecorded = unrecorded{}
}

// storeAll stores items, many in one transaction. It returns those that could not be stored.
func storeAll[T any](ctx context.Context, s *Service, items []T, put func(Tx, []T) error) (failed []T, err error) {
	for batch := range slices.Chunk(items, recordBatch) {
		lost, lostErr := isolate(batch, func(some []T) error {
			if storageFailed(err) {
				return err
			}
			return s.clientError(s.Store.Update(ctx, func(tx Tx) error { return put(tx, some) }))
		})
		failed = append(failed, lost...)
		if err == nil || storageFailed(lostErr) {
			err = lostErr
		}
	}
	return failed, err
}

// recordAcks stores acknowledgements. What could not be stored is kept: a client that has processed all that there is
// says no more.
func (s *Service) recordAcks(ctx context.Context) error {
	failed, err := storeAll(ctx, s, s.presence.TakeAcks(), func(tx Tx, acks []session.Ack) error { return tx.Acknowledge(acks...) })
	s.unrecorded.acks = append(s.unrecorded.acks, failed...)
	return err
}

// recordSightings stores signs of life. What could not be stored is newer than what is, and so is taken again.
func (s *Service) recordSightings(ctx context.Context, pending []presence.Sighting) error {
	_, err := storeAll(ctx, s, pending, func(tx Tx, batch []presence.Sighting) error {
		sightings := make([]session.Sighting, len(batch))
		for i, p := range batch {
			sightings[i] = p.Sighting
			sightings[i].SweepAt = s.sweepAt(p.Seen, p.Grace)
		}
		tx.AfterCommit(func() {
			for _, p := range batch {
				s.presence.Stored(p.Key, p.Seen)
			}
		})
		return tx.UpdateLastSeen(sightings)
	})
	return err
}

// takeSightings returns the signs of life that are newer than the stored ones, where the stored one is
// at least minAge old.
func (s *Service) takeSightings(minAge time.Duration) []presence.Sighting {
	return s.presence.TakeSightings(s.now(), minAge, s.timing().Silence())
}
