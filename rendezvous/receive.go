package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// ReceiveRequest is how a session asks for its frames.
type ReceiveRequest struct {
	Session session.Key
	// Ack says that every frame below it is processed; nil says nothing new.
	Ack *session.Seq
	// From is the first frame to hand out, if that is later; it acknowledges nothing.
	From *session.Seq
	// Epoch is that of the handshake the receiver came from; nil means the current one.
	Epoch *session.Epoch
	// Wait is the longest to hold, if that is less than was announced.
	Wait *time.Duration
}

// Delivery is the answer: frames, or a heartbeat if there are none.
type Delivery struct {
	Wanted   session.Seq // the next command wanted
	Frames   [][]byte    // as they are sent; see [Encode]
	NextWait time.Duration
	Now      time.Time
}

// batch is one look at the outbox.
type batch struct {
	Delivery
	authentic bool // there is such a session, whatever else is wrong
	epoch     session.Epoch
	grace     time.Duration
	from      session.Seq // all below is acknowledged
	start     session.Seq // the first that is handed out
	full      bool
}

// Receive answers the session's frames from Ack on, and where there are none,
// holds until there are or until the hold it announced is over.
//
// There is one receiver at a time: a handshake ends those of older epochs
// (SUPERSEDED: stop), and within an epoch the later arrival ends the earlier (SUPERSEDED: slow down).
// It also refuses with SESSION_STATE_MISMATCH if Ack was never sent, with WINDOW_FULL once when
// too much is unacknowledged, and with DRAINING.
func (s *Service) Receive(ctx context.Context, r ReceiveRequest) (Delivery, error) {
	held, err := s.StartPoll(ctx, r)
	if err != nil {
		return Delivery{}, err
	}
	defer held.Close()
	got, _, err := held.Wait(ctx, held.hold)
	return got, err
}

// look looks at the outbox once, or knows what is there.
func (s *Service) look(ctx context.Context, r ReceiveRequest) (batch, error) {
	if got, known := s.remember(r); known {
		return got, nil
	}
	if s.news(r) {
		return s.batch(ctx, r)
	}
	return s.idle(ctx, r)
}

// remember is batch without asking the storage. Whatever is out of the ordinary is not
// known for certain.
func (s *Service) remember(r ReceiveRequest) (got batch, known bool) {
	last, stored, known := s.outboxes.Last(r.Session)
	if !known {
		return batch{}, false
	}
	stored.Next = last + 1
	now := s.now()
	attached, _, err := s.attached(stored, now)
	if err != nil {
		return batch{}, false
	}
	limits := s.Config.Limits
	if got, err = s.receiving(r, attached, now); err != nil || int64(attached.Next-got.from) > limits.WindowFrames {
		return batch{}, false
	}
	frames, known := s.outboxes.After(r.Session, got.start-1)
	size := limits.AnswerBytes
	for _, f := range frames[:min(len(frames), limits.AnswerFrames)] {
		if size -= int64(len(f.payload)); size < 0 && len(got.Frames) > 0 {
			break
		}
		got.Frames = append(got.Frames, f.payload)
	}
	return got, known
}

// batch looks at the outbox once. Looking is what finds out that the session
// ended, or that a handshake began a newer epoch, whoever did that and wherever.
func (s *Service) batch(ctx context.Context, r ReceiveRequest) (batch, error) {
	var got batch
	var stored Session
	version := s.outboxes.Version(r.Session)
	err := s.read(ctx, func(t *txn) error {
		attached, err := t.attach(r.Session)
		if err != nil {
			return err
		}
		stored = t.stored
		if got, err = s.receiving(r, attached, t.now); err != nil || got.from == attached.Next {
			return err
		}
		limits := s.Config.Limits
		if got.full = int64(attached.Next-got.from) > limits.WindowFrames; !got.full {
			backlog, err := t.Backlog(r.Session)
			if err != nil {
				return err
			}
			got.full = backlog.Bytes > limits.WindowBytes
		}
		if got.start == attached.Next {
			return nil
		}
		got.Frames, err = t.Frames(r.Session, got.start, limits.AnswerFrames, limits.AnswerBytes)
		return err
	})
	if err == nil && !got.full {
		s.outboxes.Fill(r.Session, version, stored.Next-1, stored)
	}
	return got, s.counted(err)
}

// idle is batch for a receiver that is not expected to find anything, which is most of
// them: if there is nothing, it takes its turn with others.
func (s *Service) idle(ctx context.Context, r ReceiveRequest) (batch, error) {
	if s.Config.LookupBatchWindow == 0 {
		return s.batch(ctx, r)
	}
	version := s.outboxes.Version(r.Session)
	seen, err := s.glance(ctx, r.Session)
	if err != nil {
		return batch{}, err
	}
	attached, _, err := s.attached(seen.session, seen.at)
	if err != nil {
		return batch{}, err
	}
	got, err := s.receiving(r, attached, seen.at)
	if err != nil || got.from == attached.Next {
		if err == nil {
			s.outboxes.Fill(r.Session, version, attached.Next-1, seen.session)
		}
		return got, s.counted(err)
	}
	return s.batch(ctx, r)
}

// news tells whether a receiver acknowledges what it had not before: then more may come.
func (s *Service) news(r ReceiveRequest) bool {
	return r.Ack != nil && *r.Ack > s.presence.LastAcked(r.Session)
}

// receiving is what a receive is answered if there are no frames, and from where on there may be.
func (s *Service) receiving(r ReceiveRequest, attached session.Attached, now time.Time) (batch, error) {
	got := batch{authentic: true, epoch: attached.Epoch, grace: attached.Grace}
	got.Wanted, got.Now = attached.Wanted, now
	got.NextWait = s.timing().Hold(r.Session, attached.Epoch)
	switch {
	case r.Epoch != nil && *r.Epoch < attached.Epoch:
		return got, superseded(false)
	case r.Epoch != nil && *r.Epoch > attached.Epoch:
		return got, refuse(SessionStateMismatch, "epoch %d has not begun; the current one is %d", *r.Epoch, attached.Epoch)
	}
	got.from = s.presence.Acked(r.Session, attached.Epoch, attached.Kept)
	if r.Ack != nil {
		if _, err := attached.Acknowledge(*r.Ack); err != nil {
			return got, refuse(SessionStateMismatch, "%v", err)
		}
		if *r.Ack < got.from {
			return got, superseded(true)
		}
		got.from = *r.Ack
	}
	got.start = got.from
	if r.From != nil {
		if *r.From > attached.Next {
			return got, refuse(SessionStateMismatch, "frame %d is asked for, but the next to be sent is %d", *r.From, attached.Next)
		}
		got.start = max(got.from, *r.From)
	}
	return got, nil
}

// counted counts a receive that makes way for another.
func (s *Service) counted(err error) error {
	if f, is := errors.AsType[*Failure](err); is && f.Code == Superseded {
		s.stats.Superseded.Add(1)
	}
	return err
}

func superseded(again bool) *Failure {
	f := refuse(Superseded, "a newer handshake of this session took over; this receiver is to stop")
	if again {
		f = refuse(Superseded, "another receive of this session came later, or had acknowledged more; ask again in a moment if this is the one that goes on")
	}
	f.SlowDown = again
	return f
}

func serverStopping() *Failure {
	return refuse(Draining, "this server is stopping; try again")
}

func (s *Service) windowFull() *Failure {
	return refuse(WindowFull, "more than %d frames, or their size, wait to be acknowledged; receiving goes on, and the session ends at twice that", s.Config.Limits.WindowFrames)
}
