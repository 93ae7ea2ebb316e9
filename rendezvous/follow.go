package rendezvous

import (
	"errors"
	"sync/atomic"
	"time"

	"restante/internal/hub"
)

// ErrRetired tells that a mailbox is gone.
var ErrRetired = errors.New("the mailbox is retired")

// ErrStopping tells that the server is going away.
var ErrStopping = errors.New("the server is stopping")

// followLinger is for how long a goroutine waits before it is let go: messages often come one after the other.
const followLinger = 100 * time.Millisecond

// following is a mailbox that is followed. While nothing is new, it needs no goroutine.
type following struct {
	s     *Service
	key   MailboxKey
	look  func() error
	ended func(error)

	watch *hub.Watch[Topic]
	beat  *time.Timer
	due   time.Time // when it looks if nothing is new

	event   hub.Event // rung when another look may find more
	stopped atomic.Bool
}

// Follow calls look whenever there may be news of a mailbox, first at once and
// then at the latest at each heartbeat; never twice at the same time. It ends with the error of look, with
// [ErrStopping], or after stop with nil, and tells ended. stop does not wait for that.
func (s *Service) Follow(k MailboxKey, look func() error, ended func(error)) (stop func()) {
	f := &following{s: s, key: k, look: look, ended: ended}
	go f.run()
	return func() {
		f.stopped.Store(true)
		f.event.Set()
	}
}

// run looks until nothing has been new for a while.
func (f *following) run() {
	for {
		linger := followLinger
		if !f.due.IsZero() && !time.Now().Before(f.due) {
			linger = 0 // nobody told of anything
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

// turn looks once. Watch, read, wait: whatever commits after the watch began wakes it.
func (f *following) check() (ended bool, err error) {
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
