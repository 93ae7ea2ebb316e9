package rendezvous

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"restante/session"
)

// Stream is a receive that goes on: it hands out each frame once, as it comes. It
// holds the session's one seat, like any receive, and belongs to one goroutine.
//
// To read it is no sign of life: only what the client sends is.
type Stream struct {
	s     *Service
	ctx   context.Context // the caller's
	seat  context.Context // ends with ctx, or when another receive takes the seat
	stand func()
	letGo func() // of what is remembered
	ask   ReceiveRequest
	every time.Duration // between two heartbeats
	beat  time.Time     // when the next one is due
	grace time.Duration
}

// minBeat is the shortest time between two heartbeats that a client may ask for.
const minBeat = time.Second

// Stream begins to receive, under the rules of [Service.Receive], and refuses as
// that does. r.Wait is the time between two heartbeats, if that is less than was announced. ctx
// ends the stream; Close must be called.
func (s *Service) Stream(ctx context.Context, r ReceiveRequest) (*Stream, Delivery, error) {
	if s.draining.Load() {
		return nil, Delivery{}, serverStopping()
	}
	letGo := s.outboxes.Retain(r.Session)
	st, got, err := s.begin(ctx, r)
	if err != nil {
		letGo()
		return nil, Delivery{}, err
	}
	st.letGo = letGo
	return st, got, nil
}

func (s *Service) begin(ctx context.Context, r ReceiveRequest) (*Stream, Delivery, error) {
	got, err := s.batch(ctx, r)
	if err != nil {
		if got.authentic {
			s.presence.Touch(r.Session, s.now(), got.grace)
		}
		return nil, Delivery{}, err
	}
	s.presence.Touch(r.Session, s.now(), got.grace)
	if !s.presence.Acknowledge(r.Session, got.epoch, got.from) {
		return nil, Delivery{}, s.counted(superseded(true))
	}
	if s.presence.WindowFull(r.Session, got.full) {
		return nil, Delivery{}, s.windowFull()
	}
	every := got.NextWait
	if r.Wait != nil {
		every = min(every, max(*r.Wait, minBeat))
	}
	got.NextWait, got.Frames = every, nil
	r.Ack, r.Epoch, r.From = nil, &got.epoch, &got.start // a handshake ends it, also if it named no epoch
	st := &Stream{s: s, ctx: ctx, ask: r, every: every, beat: time.Now().Add(every), grace: got.grace}
	st.seat, st.stand = s.receivers.Acquire(ctx, r.Session)
	s.stats.Streams.Add(1)
	s.stats.Heartbeats.Add(1)
	return st, got.Delivery, nil
}

// Close gives the seat back.
func (st *Stream) Close() {
	st.stand()
	st.letGo()
	st.s.stats.Streams.Add(-1)
}

// Alive notes a sign of life that is none of the use cases: a pong, say.
func (st *Stream) Alive() { st.s.presence.Touch(st.ask.Session, st.s.now(), st.grace) }

// Next waits for frames, or for a heartbeat, which is due at its time whether
// frames came or not: beat tells that it is. Whatever it refuses with ends the stream: what ends a
// receive (SUPERSEDED, SESSION_ENDED, WINDOW_FULL …), or DRAINING, spread over the drain span.
func (st *Stream) Next() (got Delivery, beat bool, err error) {
	patience, cancel := context.WithDeadline(st.seat, st.beat)
	defer cancel()
	for {
		if st.s.draining.Load() {
			sleep(st.seat, rand.N(max(st.s.Config.DrainSpan, 1))) // #nosec G404 -- spreads a load, hides nothing
			return Delivery{}, false, st.why(serverStopping())
		}
		// Watch, read, wait: whatever commits after the watch began wakes it.
		watch := st.s.hub.Watch(Topic{Session: st.ask.Session})
		got, beat, err = st.look()
		if err != nil || beat || len(got.Frames) > 0 {
			watch.Stop()
			return got, beat, err
		}
		_ = watch.Wait(patience) // however it ends, the next look finds out why
		if err := st.seat.Err(); err != nil {
			return Delivery{}, false, st.why(err)
		}
	}
}

// look reads once, and moves on behind what it hands out.
func (st *Stream) look() (Delivery, bool, error) {
	beat := !time.Now().Before(st.beat)
	look := st.s.look
	if beat {
		look = st.s.batch
	}
	got, err := look(st.seat, st.ask)
	if err != nil {
		return Delivery{}, false, st.why(err)
	}
	if st.s.presence.WindowFull(st.ask.Session, got.full) {
		return Delivery{}, false, st.s.windowFull()
	}
	got.NextWait = st.every
	if beat {
		st.beat = time.Now().Add(st.every)
		st.s.stats.Heartbeats.Add(1)
	}
	st.s.stats.Frames.Add(int64(len(got.Frames)))
	st.ask.From = new(got.start + session.Seq(len(got.Frames)))
	return got.Delivery, beat, nil
}

// why tells what ended a stream that met err. One that lost its seat asks once
// more who took it: to a later handshake's, it must not come back.
func (st *Stream) why(err error) error {
	switch {
	case st.ctx.Err() != nil:
		return st.ctx.Err()
	case st.seat.Err() == nil:
		return err
	}
	_, err = st.s.batch(st.ctx, st.ask)
	if _, refused := errors.AsType[*Failure](err); refused {
		return err
	}
	return st.s.counted(superseded(true))
}
