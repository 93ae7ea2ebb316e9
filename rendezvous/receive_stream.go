package rendezvous

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"restante/internal/hub"
	"restante/session"
)

// Stream is a receive that goes on: it hands out each frame once, as it comes. Like a poll it is its
// session's one receiver. It needs a goroutine while it reads and none while it waits. It belongs to one
// goroutine at a time.
//
// Reading a stream is no sign of life. Only what the client sends is.
type Stream struct {
	s        *Service
	request  ReceiveRequest
	interval time.Duration // between two heartbeats
	beat     time.Time     // when the next heartbeat is due
	stopBeat func() bool   // the timer that sets ready when it is
	grace    time.Duration
	since    time.Time // when the stream began
	watch    *hub.Watch[Topic]
	caughtUp bool // the last look returned all that there was: ready is set if there is more
	releases [2]func()

	ready      hub.Event // set when another read may find more
	superseded atomic.Bool
}

// minBeat is the shortest time between two heartbeats that a client may ask for.
const minBeat = time.Second

// Stream starts to receive, under the rules of [Service.Receive], and refuses as that does. r.Wait is
// the time between two heartbeats, if that is less than was announced. The caller must close it.
func (s *Service) Stream(ctx context.Context, r ReceiveRequest) (_ *Stream, _ Delivery, err error) {
	if s.draining.Load() {
		return nil, Delivery{}, serverStopping()
	}
	release := s.outboxes.Retain(r.Session)
	defer func() {
		if err != nil {
			release()
		}
	}()
	r.Bytes = s.Config.Limits.StreamBytes
	got, err := s.startReceive(ctx, r, changes)
	if err != nil {
		return nil, Delivery{}, err
	}
	if s.presence.WindowFull(r.Session, got.full) {
		return nil, Delivery{}, s.windowFull()
	}
	interval := got.NextWait
	if r.Wait != nil {
		interval = min(interval, max(*r.Wait, minBeat))
	}
	got.NextWait, got.Frames = interval, nil
	r.Ack, r.Epoch, r.From = nil, new(got.epoch), new(got.First) // a later handshake ends the stream, also if it named no epoch
	first := got.holdable(interval)
	st := &Stream{s: s, request: r, interval: interval, beat: time.Now().Add(first), grace: got.grace, since: s.now()}
	st.stopBeat = s.afterFunc(first, st.ready.Set)
	st.watch = s.hub.Watch(Topic{Session: r.Session}) // for Close; a look begins a watch of its own
	st.releases = [2]func(){s.receivers.AcquireFunc(r.Session, st.supersede), release}
	s.stats.Streams.Add(1)
	s.stats.Heartbeats.Add(1)
	return st, got.Delivery, nil
}

// Close ends the stream.
func (st *Stream) Close() {
	st.watch.Stop()
	st.stopBeat()
	for _, release := range st.releases {
		release()
	}
	st.s.stats.Streams.Add(-1)
}

// Epoch returns the epoch that the stream goes with.
func (st *Stream) Epoch() session.Epoch { return *st.request.Epoch }

// Interval returns the time between two heartbeats.
func (st *Stream) Interval() time.Duration { return st.interval }

// Alive records a sign of life that is no use case: a pong, for example.
func (st *Stream) Alive() { st.s.presence.Touch(st.request.Session, st.s.now(), st.grace) }

// Next waits for frames, or for a heartbeat. A heartbeat is due at its time whether frames came or
// not; beat reports that it is. An error ends the stream: that of ctx, what ends a receive (SUPERSEDED,
// SESSION_ENDED, WINDOW_FULL …), or DRAINING, spread over the drain span.
func (st *Stream) Next(ctx context.Context) (got Delivery, beat bool, err error) {
	got, beat, _, err = st.wait(ctx, nil)
	return got, beat, err
}

// Wait is Next for at most the given time. If answered is false and err is nil, nothing has come yet, and
// the stream goes on with another Wait, or without a goroutine with OnReady.
func (st *Stream) Wait(ctx context.Context, atMost time.Duration) (got Delivery, beat, answered bool, err error) {
	return st.wait(ctx, &atMost)
}

func (st *Stream) wait(ctx context.Context, atMost *time.Duration) (got Delivery, beat, answered bool, err error) {
	var late <-chan time.Time // nil until it has to wait
	for isLate := false; ; {
		if !st.caughtUp {
			got, beat, err = st.look(ctx)
			if err != nil || beat || len(got.Frames) > 0 {
				return got, beat, err == nil, err
			}
		}
		st.caughtUp = false
		if isLate || atMost != nil && *atMost <= 0 {
			return Delivery{}, false, false, nil
		}
		if atMost != nil && late == nil {
			timer := time.NewTimer(*atMost)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-st.ready.Chan():
		case <-ctx.Done():
		case <-late:
			isLate = true
		}
	}
}

// OnReady calls f once, as soon as Wait may have an answer; if that is now, before OnReady returns. f runs
// on the goroutine that brings the news, so it must not block.
func (st *Stream) OnReady(f func()) { st.ready.OnSet(f) }

// Wake has the stream look again, for example because the context of its caller has ended.
func (st *Stream) Wake() { st.ready.Set() }

// supersede tells the stream that a newer receiver has taken its session.
func (st *Stream) supersede() {
	st.superseded.Store(true)
	st.ready.Set()
}

// look reads once, without waiting.
func (st *Stream) look(ctx context.Context) (Delivery, bool, error) {
	st.ready.Clear()
	st.watch.Stop()
	if st.s.draining.Load() {
		st.stopBeat()
		st.s.linger(ctx, &st.ready) // ready is set if the stream is superseded
		return Delivery{}, false, st.why(ctx, serverStopping())
	}
	if ctx.Err() != nil || st.superseded.Load() {
		return Delivery{}, false, st.why(ctx, nil)
	}
	// Watch, read, wait: a commit after the watch began sets the event.
	st.watch = st.s.hub.Watch(Topic{Session: st.request.Session})
	st.watch.OnWake(st.ready.Set)
	got, beat, err := st.read(ctx)
	if err != nil {
		return Delivery{}, false, st.why(ctx, err)
	}
	return got, beat, nil
}

// read reads once, and moves on behind the frames it returns.
func (st *Stream) read(ctx context.Context) (Delivery, bool, error) {
	beat := !time.Now().Before(st.beat)
	h := anything
	if beat {
		h = nothing // a wake that was lost costs a delay, never a frame
	}
	got, err := st.s.readOutbox(ctx, st.request, h)
	if err != nil {
		return Delivery{}, false, err
	}
	if st.s.presence.WindowFull(st.request.Session, got.full) {
		return Delivery{}, false, st.s.windowFull()
	}
	got.NextWait = st.interval
	if beat {
		next := got.holdable(st.interval)
		st.beat = time.Now().Add(next)
		st.stopBeat = st.s.afterFunc(next, st.ready.Set)
		st.s.stats.Heartbeats.Add(1)
	}
	st.s.stats.Frames.Add(int64(len(got.Frames)))
	st.s.observeFrames(ByStream, st.since, got.Frames)
	st.request.From = new(got.First + session.Seq(len(got.Frames)))
	st.caughtUp = *st.request.From >= got.next
	return got.Delivery, beat, nil
}

// why returns what ended a stream that met err. A stream that was superseded asks once more by which
// receiver: if a later handshake took over, the client must not come back.
func (st *Stream) why(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !st.superseded.Load():
		return err
	}
	_, err = st.s.readOutbox(ctx, st.request, changes)
	if _, refused := errors.AsType[*Failure](err); refused {
		return err
	}
	return st.s.counted(superseded(true))
}
