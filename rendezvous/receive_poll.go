package rendezvous

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"restante/internal/hub"
	"restante/session"
)

// Poll is a held long-poll: it is its session's receiver and a standing sign of life. It needs a
// goroutine while it reads and none while it waits. It belongs to one goroutine at a time.
type Poll struct {
	s        *Service
	request  ReceiveRequest
	epoch    *session.Epoch // as it was asked for; the request has it filled in
	got      reading        // at the last read
	over     bool           // the hold was over at the last read
	hold     time.Duration
	since    time.Time // when the poll began
	ending   PollEnding
	stopHold func() bool // nil before the hold began
	watch    *hub.Watch[Topic]
	releases []func()

	ready      hub.Event   // set when another read may find more
	expired    atomic.Bool // the hold is over
	superseded atomic.Bool
}

// StartPoll starts a poll, under the rules of [Service.Receive]. The caller must close it.
//
// Watch, read, wait: a commit after the watch began wakes the poll, so it misses nothing.
func (s *Service) StartPoll(ctx context.Context, r ReceiveRequest) (_ *Poll, err error) {
	if s.draining.Load() {
		return nil, serverStopping()
	}
	p := &Poll{s: s, request: r, epoch: r.Epoch, since: s.now()}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	p.releases = append(p.releases, s.outboxes.Retain(r.Session))
	p.watch = s.hub.Watch(Topic{Session: r.Session})
	if p.got, err = s.startReceive(ctx, r, anything); err != nil {
		return nil, err
	}
	p.request.Epoch = new(p.got.epoch) // a later handshake ends the poll, also if it named no epoch
	p.releases = append(p.releases, s.presence.StartPoll(r.Session, s.now, p.got.grace))
	p.releases = append(p.releases, s.receivers.AcquireFunc(r.Session, p.supersede))
	if s.presence.WindowFull(r.Session, p.got.full) {
		return nil, s.windowFull()
	}
	if p.hold = p.got.NextWait; r.Wait != nil {
		p.hold = min(p.hold, *r.Wait)
	}
	p.hold = p.got.holdable(p.hold)
	p.stopHold = s.afterFunc(p.hold, p.expire)
	p.ending = PollAbandoned // unless it ends otherwise
	s.stats.Parked.Add(1)
	p.releases = append(p.releases, func() { s.stats.Parked.Add(-1) })
	return p, nil
}

// Repeat starts the poll anew after it has ended, as [Service.StartPoll] does. Bytes is as in [ReceiveRequest].
func (p *Poll) Repeat(ctx context.Context, bytes int64) (*Poll, error) {
	again := p.request
	again.Epoch, again.Bytes = p.epoch, bytes
	return p.s.StartPoll(ctx, again)
}

// Session returns the key of the session whose frames the poll asks for.
func (p *Poll) Session() session.Key { return p.request.Session }

// Close ends the poll, whether it was answered or not. Closing again does nothing.
func (p *Poll) Close() {
	p.watch.Stop()
	if p.stopHold != nil {
		p.stopHold()
	}
	for _, release := range slices.Backward(p.releases) {
		release()
	}
	p.releases = nil
	if p.ending != "" {
		p.s.observing().Poll(p.ending)
		p.ending = ""
	}
}

// Wait waits for the answer, at most for the given time. If answered is false and err is nil, the
// poll is still held, and goes on with another Wait or with OnReady.
func (p *Poll) Wait(ctx context.Context, atMost time.Duration) (got Delivery, answered bool, err error) {
	var late <-chan time.Time
	if atMost < p.hold {
		timer := time.NewTimer(atMost)
		defer timer.Stop()
		late = timer.C
	}
	for isLate := false; len(p.got.Frames) == 0 && !p.over; {
		if isLate { // and the wake that came just in time brought nothing
			return Delivery{}, false, nil
		}
		p.watch.OnWake(p.ready.Set)
		ready := p.ready.Chan()
		select {
		case <-ready:
		case <-ctx.Done():
		case <-late:
			isLate = true
			select {
			case <-ready: // just in time
			default:
				return Delivery{}, false, nil
			}
		}
		if err := p.read(ctx); err != nil {
			p.ending = endingOf(err)
			return Delivery{}, false, err
		}
	}
	return p.answer(), true, nil
}

// Heartbeat answers the poll as Wait does, but only if its hold is over and there are no frames. If it returns false, Wait
// answers, or goes on waiting.
func (p *Poll) Heartbeat(ctx context.Context) (Delivery, bool) {
	if !p.expired.Load() || p.superseded.Load() || p.s.draining.Load() {
		return Delivery{}, false
	}
	got, err := p.s.readOutbox(ctx, p.request, nothing)
	if err != nil || len(got.Frames) > 0 {
		return Delivery{}, false
	}
	p.got, p.over = got, true
	return p.answer(), true
}

// answer counts the answer, and returns it.
func (p *Poll) answer() Delivery {
	p.ending = p.s.endingOfAnswer(len(p.got.Frames))
	if len(p.got.Frames) == 0 {
		p.s.stats.Heartbeats.Add(1)
	} else {
		p.s.observeFrames(ByPoll, p.since, p.got.Frames)
		p.s.presence.Delivered(p.request.Session, time.Now())
	}
	p.s.stats.Frames.Add(int64(len(p.got.Frames)))
	return p.got.Delivery
}

// Answered reports whether Wait has an answer without waiting.
func (p *Poll) Answered() bool { return len(p.got.Frames) > 0 || p.over }

// IdleFor reports whether the session has had no frames for at least the given time: then more are
// not expected at once.
func (p *Poll) IdleFor(atLeast time.Duration) bool {
	return time.Since(p.s.presence.LastDelivery(p.request.Session)) >= atLeast
}

// Allow sets how many bytes the answer may have, as [ReceiveRequest.Bytes] does. It has no effect on what was read
// before.
func (p *Poll) Allow(bytes int64) { p.request.Bytes = bytes }

// OnReady calls f once, as soon as there may be an answer; if that is now, before OnReady returns. f
// runs on the goroutine that brings the news, so it must not block.
func (p *Poll) OnReady(f func()) {
	p.watch.OnWake(p.ready.Set)
	p.ready.OnSet(f)
}

// expire ends the hold.
func (p *Poll) expire() {
	p.expired.Store(true)
	p.ready.Set()
}

// supersede tells the poll that a newer receiver has taken its session.
func (p *Poll) supersede() {
	p.superseded.Store(true)
	p.ready.Set()
}

// read reads again.
func (p *Poll) read(ctx context.Context) (err error) {
	p.ready.Clear()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.superseded.Load():
		return p.s.counted(superseded(true))
	}
	p.over = p.expired.Load()
	p.watch.Stop()
	if p.s.draining.Load() { // the hub has released it with all others
		p.s.linger(ctx, &p.ready)
		p.over = true
	}
	p.watch = p.s.hub.Watch(Topic{Session: p.request.Session})
	h := anything
	if p.over {
		h = nothing // a wake that was lost costs a delay, never a frame
	}
	p.got, err = p.s.readOutbox(ctx, p.request, h)
	return err
}

// linger spreads the answers of a server that stops, because every client that gets one comes back. It returns earlier
// if ready is set.
func (s *Service) linger(ctx context.Context, ready *hub.Event) {
	timer := time.NewTimer(rand.N(max(s.Config.DrainSpan, 1))) // #nosec G404 -- spreads a load, hides nothing
	defer timer.Stop()
	select {
	case <-ready.Chan():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// endingOf returns the ending of a poll that failed.
func endingOf(err error) PollEnding {
	failure, refused := errors.AsType[*Failure](err)
	switch {
	case !refused:
		return PollAbandoned
	case failure.Code == Superseded:
		return PollSuperseded
	case failure.Code == Draining:
		return PollStopping
	}
	return PollRefused
}

// endingOfAnswer returns the ending of a poll that is answered with so many frames or messages.
func (s *Service) endingOfAnswer(count int) PollEnding {
	switch {
	case count > 0:
		return PollAnswered
	case s.draining.Load():
		return PollStopping
	}
	return PollHeartbeat
}
