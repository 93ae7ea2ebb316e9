package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// ReceiveRequest asks for a session's frames.
type ReceiveRequest struct {
	Session session.Key
	// Ack says that every frame below it is processed; nil acknowledges nothing new.
	Ack *session.Seq
	// From is the first frame to send, if that is later than Ack; it acknowledges nothing.
	From *session.Seq
	// Epoch is that of the handshake the receiver came from; nil means the current one.
	Epoch *session.Epoch
	// Wait is the longest time to hold the request, if that is less than was announced.
	Wait *time.Duration
	// Bytes is how many bytes of frames the answer may have, if that is less than [Limits] allow; 0 stands for what
	// they allow. One frame always fits.
	Bytes int64
}

// Delivery answers a [ReceiveRequest]. Without frames it is a heartbeat.
type Delivery struct {
	Wanted   session.Seq // the next command wanted
	First    session.Seq // the number of the first of Frames
	Frames   [][]byte    // as they are sent; see [Encode]
	NextWait time.Duration
	Now      time.Time
}

// Receive returns the session's frames from Ack on. If there are none, it waits until there are, or
// until the announced time is over.
//
// There is one receiver at a time. A handshake ends the receivers of older epochs (SUPERSEDED: stop).
// Within an epoch the later receiver ends the earlier one (SUPERSEDED: slow down). Receive also
// refuses with SESSION_STATE_MISMATCH if Ack was never sent, with WINDOW_FULL, once, when too much is
// unacknowledged, and with DRAINING.
func (s *Service) Receive(ctx context.Context, r ReceiveRequest) (Delivery, error) {
	poll, err := s.StartPoll(ctx, r)
	if err != nil {
		return Delivery{}, err
	}
	defer poll.Close()
	got, _, err := poll.Wait(ctx, poll.hold)
	return got, err
}

// startReceive reads the outbox for a new receiver, and records that receiver's sign of life and
// acknowledgement.
func (s *Service) startReceive(ctx context.Context, r ReceiveRequest, h hint) (reading, error) {
	got, err := s.readOutbox(ctx, r, h)
	if got.found {
		s.presence.Touch(r.Session, s.now(), got.grace)
	} else {
		s.touchIfUnavailable(r.Session, err)
	}
	if err != nil {
		return reading{}, err
	}
	acknowledged, err := s.acknowledge(ctx, session.Ack{Session: r.Session, Epoch: got.epoch, UpTo: got.acked})
	if err != nil {
		return reading{}, err
	}
	if !acknowledged {
		return reading{}, s.counted(superseded(true))
	}
	return got, nil
}

// counted counts err if it supersedes a receiver, and returns it.
func (s *Service) counted(err error) error {
	if f, ok := errors.AsType[*Failure](err); ok && f.Code == Superseded {
		s.stats.Superseded.Add(1)
	}
	return err
}

func superseded(slowDown bool) *Failure {
	f := refuse(Superseded, "a newer handshake of this session took over; this receiver is to stop")
	if slowDown {
		f = refuse(Superseded, "another receive of this session came later, or had acknowledged more; ask again in a moment if this is the one that goes on")
	}
	f.SlowDown = slowDown
	return f
}

func serverStopping() *Failure {
	return refuse(Draining, "this server is stopping; try again")
}

func (s *Service) windowFull() *Failure {
	return s.observeLimit(refuseFor(LimitWindow, WindowFull, "more than %d frames, or their size, wait to be acknowledged; receiving goes on, and the session ends at twice that", s.Config.Limits.WindowFrames))
}
