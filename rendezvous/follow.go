package rendezvous

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"restante/internal/hub"
)

// ErrRetired reports that a mailbox is gone.
var ErrRetired = errors.New("the mailbox is retired")

// ErrStopping reports that the server is stopping.
var ErrStopping = errors.New("the server is stopping")

// followLinger is how long a follower keeps its goroutine after a read: messages often come one soon
// after the other.
const followLinger = 100 * time.Millisecond

// follower is a follower of a mailbox. While nothing is new, it needs no goroutine.
type follower struct {
	s     *Service
	key   MailboxKey
	look  func() error
	ended func(error)

	watch *hub.Watch[Topic]
	beat  *time.Timer
	due   time.Time // when it looks although nothing is new

	event   hub.Event // set when another look may find more
	stopped atomic.Bool
}

// Follow calls look whenever there may be news of a mailbox: first at once, later at the latest at
// each heartbeat, and never twice at the same time. It ends with the error of look, with
// [ErrStopping], or with nil after stop, and passes that to ended. stop does not wait for the end.
func (s *Service) Follow(k MailboxKey, look func() error, ended func(error)) (stop func()) {
	f := &follower{s: s, key: k, look: look, ended: ended}
	go f.run()
	return func() {
		f.stopped.Store(true)
		f.event.Set()
	}
}

// run looks until nothing has been new for a while.
func (f *follower) run() {
	for {
		linger := followLinger
		if !f.due.IsZero() && !time.Now().Before(f.due) {
			linger = 0 // woken by the timer: more is not expected
		}
		if ended, err := f.check(); ended {
			if f.beat != nil {
				f.beat.Stop()
			}
			f.ended(err)
			return
		}
		select {
		case <-f.event.Chan():
		case <-time.After(linger):
			f.event.OnSet(func() { go f.run() })
			return
		}
	}
}

// check looks once. Watch, read, wait: a commit after the watch began wakes the follower.
func (f *follower) check() (ended bool, err error) {
	f.event.Clear()
	if f.watch != nil {
		f.watch.Stop()
	}
	if f.stopped.Load() {
		return true, nil
	}
	now := time.Now()
	if !f.due.IsZero() && !now.Before(f.due) {
		// A wake that was lost costs a delay, never a message: another process may have added something.
		f.s.logs.Invalidate(f.key)
	}
	every := f.s.Config.HeartbeatInterval
	if f.due = now.Add(every); f.beat == nil {
		f.beat = time.AfterFunc(every, f.event.Set)
	} else {
		f.beat.Reset(every)
	}
	f.watch = f.s.hub.Watch(Topic{Mailbox: f.key})
	f.watch.OnWake(f.event.Set)
	err = f.look()
	if err == nil && f.s.draining.Load() {
		err = ErrStopping
	}
	if err != nil {
		f.watch.Stop()
	}
	return err != nil, err
}

// CrowdedBy returns the sides that claimed a nameplate of a mailbox at which a third side was refused; none if
// none was. After [Service.Tail], this process mostly knows that without asking the storage.
func (s *Service) CrowdedBy(ctx context.Context, k MailboxKey) (sides []Side, err error) {
	if _, log, known := s.logs.Last(k); known && !log.crowded {
		return nil, nil
	}
	err = s.read(ctx, func(t *txn) error {
		nameplates, err := t.NameplatesTo(k)
		sides = nil
		for _, n := range nameplates {
			for _, c := range n.Claims {
				if n.Crowded {
					sides = append(sides, c.Side)
				}
			}
		}
		return err
	})
	return sides, err
}
