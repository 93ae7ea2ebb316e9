package rendezvous

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"restante/internal/hub"
)

// Poll is a receive that is held: it has the session's seat and is a standing sign of life. It
// needs a goroutine while it looks, and none while it waits. It belongs to one at a time.
type Poll struct {
	s     *Service
	ask   ReceiveRequest
	got   batch // at the last look
	over  bool  // the hold was, at the last look
	hold  time.Duration
	until time.Time
	timer *time.Timer
	watch *hub.Watch[Topic]
	leave []func()

	bell     hub.Event // rung when another look may find more
	unseated atomic.Bool
}

// StartPoll begins a receive, under the rules of [Service.Receive]. Leave must be called.
//
// Watch, read, wait: whatever commits after the watch began wakes it, so nothing slips in between.
func (s *Service) StartPoll(ctx context.Context, r ReceiveRequest) (_ *Poll, err error) {
	if s.draining.Load() {
		return nil, serverStopping()
	}
	h := &Poll{s: s, ask: r}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	h.leave = append(h.leave, s.outboxes.Retain(r.Session))
	h.watch = s.hub.Watch(Topic{Session: r.Session})
	if h.got, err = s.look(ctx, r); err != nil {
		if h.got.authentic {
			s.presence.Touch(r.Session, s.now(), h.got.grace)
		}
		return nil, err
	}
	h.leave = append(h.leave, s.presence.StartPoll(r.Session, s.now, h.got.grace))
	if !s.presence.Acknowledge(r.Session, h.got.epoch, h.got.from) {
		return nil, s.counted(superseded(true))
	}
	h.leave = append(h.leave, s.receivers.AcquireFunc(r.Session, h.unseat))
	if s.presence.WindowFull(r.Session, h.got.full) {
		return nil, s.windowFull()
	}
	if h.hold = h.got.NextWait; r.Wait != nil {
		h.hold = min(h.hold, *r.Wait)
	}
	h.until = time.Now().Add(h.hold)
	h.timer = time.AfterFunc(h.hold, h.bell.Set)
	s.stats.Parked.Add(1)
	h.leave = append(h.leave, func() { s.stats.Parked.Add(-1) })
	return h, nil
}

// Leave ends the receive, answered or not.
func (h *Poll) Close() {
	h.watch.Stop()
	if h.timer != nil {
		h.timer.Stop()
	}
	for _, leave := range slices.Backward(h.leave) {
		leave()
	}
	h.leave = nil
}

// Wait answers when there is an answer, if that is in time. If not, the receive is still held, and
// goes on with another Wait, or with Ring.
func (h *Poll) Wait(ctx context.Context, atMost time.Duration) (got Delivery, answered bool, err error) {
	var late <-chan time.Time
	if atMost < h.hold {
		timer := time.NewTimer(atMost)
		defer timer.Stop()
		late = timer.C
	}
	for len(h.got.Frames) == 0 && !h.over {
		h.watch.OnWake(h.bell.Set)
		rung := h.bell.Chan()
		select {
		case <-rung:
		case <-ctx.Done():
		case <-late:
			select {
			case <-rung: // just in time
			default:
				return Delivery{}, false, nil
			}
		}
		if err := h.look(ctx); err != nil {
			return Delivery{}, false, err
		}
	}
	if len(h.got.Frames) == 0 {
		h.s.stats.Heartbeats.Add(1)
	} else {
		h.s.presence.Delivered(h.ask.Session, time.Now())
	}
	h.s.stats.Frames.Add(int64(len(h.got.Frames)))
	return h.got.Delivery, true, nil
}

// IdleFor tells that the session has had no frames for so long: more are not expected at once.
func (h *Poll) IdleFor(long time.Duration) bool {
	return time.Since(h.s.presence.LastDelivery(h.ask.Session)) >= long
}

// Ring has f called once, as soon as there may be an answer; if that is now, before Ring returns.
// f must return at once: whoever brings the news waits for it.
func (h *Poll) OnReady(f func()) {
	h.watch.OnWake(h.bell.Set)
	h.bell.OnSet(f)
}

// unseat tells that another has the seat.
func (h *Poll) unseat() {
	h.unseated.Store(true)
	h.bell.Set()
}

// look looks again.
func (h *Poll) look(ctx context.Context) error {
	h.bell.Clear()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case h.unseated.Load():
		return h.s.counted(superseded(true))
	}
	// Woken, or at the end of the hold: a wake that was lost costs a delay, never a frame.
	h.over = !time.Now().Before(h.until)
	if h.s.draining.Load() {
		h.linger(ctx)
		h.over = true
	}
	h.watch.Stop()
	h.watch = h.s.hub.Watch(Topic{Session: h.ask.Session})
	look := h.s.look
	if h.over {
		look = h.s.idle
	}
	var err error
	h.got, err = look(ctx, h.ask)
	return err
}

// linger spreads the answers of a server that stops: all who get one come back.
func (h *Poll) linger(ctx context.Context) {
	h.watch.Stop()                                               // it was released with all others
	timer := time.NewTimer(rand.N(max(h.s.Config.DrainSpan, 1))) // #nosec G404 -- spreads a load, hides nothing
	defer timer.Stop()
	select {
	case <-h.bell.Chan():
	case <-timer.C:
	case <-ctx.Done():
	}
}
