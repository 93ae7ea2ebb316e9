package rendezvous

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"restante/session"
)

// Stream is a receive that goes on: it hands out each frame once, as it comes. Like a poll it is its
// session's one receiver. It belongs to one goroutine.
//
// Reading a stream is no sign of life. Only what the client sends is.
type Stream struct {
	s        *Service
	ctx      context.Context // the caller's
	held     context.Context // ends with ctx, or when another receiver takes the session
	releases [2]func()
	request  ReceiveRequest
	interval time.Duration // between two heartbeats
	beat     time.Time     // when the next heartbeat is due
	grace    time.Duration
	since    time.Time // when the stream began
}

// minBeat is the shortest time between two heartbeats that a client may ask for.
const minBeat = time.Second

// Stream starts to receive, under the rules of [Service.Receive], and refuses as that does. r.Wait is
// the time between two heartbeats, if that is less than was announced. ctx ends the stream. The
// caller must close it.
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
	r.Ack, r.Epoch, r.From = nil, &got.epoch, &got.first // a later handshake ends the stream, also if it named no epoch
	st := &Stream{s: s, ctx: ctx, request: r, interval: interval, beat: time.Now().Add(got.holdable(interval)), grace: got.grace, since: s.now()}
	st.held, st.releases[0] = s.receivers.Acquire(ctx, r.Session)
	st.releases[1] = release
	s.stats.Streams.Add(1)
	s.stats.Heartbeats.Add(1)
	return st, got.Delivery, nil
}

// Close ends the stream.
func (st *Stream) Close() {
	for _, release := range st.releases {
		release()
	}
	st.s.stats.Streams.Add(-1)
}

// Epoch returns the epoch that the stream goes with.
func (st *Stream) Epoch() session.Epoch { return *st.request.Epoch }

// Alive records a sign of life that is no use case: a pong, for example.
func (st *Stream) Alive() { st.s.presence.Touch(st.request.Session, st.s.now(), st.grace) }

// Next waits for frames, or for a heartbeat. A heartbeat is due at its time whether frames came or
// not; beat reports that it is. An error ends the stream: what ends a receive (SUPERSEDED,
// SESSION_ENDED, WINDOW_FULL …), or DRAINING, spread over the drain span.
func (st *Stream) Next() (got Delivery, beat bool, err error) {
	patience, cancel := context.WithDeadline(st.held, st.beat)
	defer cancel()
	for {
		if st.s.draining.Load() {
			sleep(st.held, rand.N(max(st.s.Config.DrainSpan, 1))) // #nosec G404 -- spreads a load, hides nothing
			return Delivery{}, false, st.why(serverStopping())
		}
		// Watch, read, wait: a commit after the watch began wakes it.
		watch := st.s.hub.Watch(Topic{Session: st.request.Session})
		got, beat, err = st.read()
		if err != nil || beat || len(got.Frames) > 0 {
			watch.Stop()
			return got, beat, err
		}
		_ = watch.Wait(patience) // however it ends, the next read finds out why
		if err := st.held.Err(); err != nil {
			return Delivery{}, false, st.why(err)
		}
	}
}

// read reads once, and moves on behind the frames it returns.
func (st *Stream) read() (Delivery, bool, error) {
	beat := !time.Now().Before(st.beat)
	h := anything
	if beat {
		h = nothing // a wake that was lost costs a delay, never a frame
	}
	got, err := st.s.readOutbox(st.held, st.request, h)
	if err != nil {
		return Delivery{}, false, st.why(err)
	}
	if st.s.presence.WindowFull(st.request.Session, got.full) {
		return Delivery{}, false, st.s.windowFull()
	}
	got.NextWait = st.interval
	if beat {
		st.beat = time.Now().Add(got.holdable(st.interval))
		st.s.stats.Heartbeats.Add(1)
	}
	st.s.stats.Frames.Add(int64(len(got.Frames)))
	st.s.observeFrames(ByStream, st.since, got.Frames)
	st.request.From = new(got.first + session.Seq(len(got.Frames)))
	return got.Delivery, beat, nil
}

// why returns what ended a stream that met err. A stream that was superseded asks once more by which
// receiver: if a later handshake took over, the client must not come back.
func (st *Stream) why(err error) error {
	switch {
	case st.ctx.Err() != nil:
		return st.ctx.Err()
	case st.held.Err() == nil:
		return err
	}
	_, err = st.s.readOutbox(st.ctx, st.request, changes)
	if _, refused := errors.AsType[*Failure](err); refused {
		return err
	}
	return st.s.counted(superseded(true))
}
