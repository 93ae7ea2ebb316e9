package rendezvous

import (
	"context"
	"time"

	"restante/session"
)

// hint is what a receiver expects of its outbox. It decides how the outbox is read, never what the
// reader is told.
type hint int

const (
	// anything: what this process remembers is good enough.
	anything hint = iota
	// nothing: there is probably nothing new. What this process remembers may be out of date, because
	// the news of another process can be lost. If there is no other process, the storage is asked now
	// and then only.
	nothing
	// changes: something has changed. The storage is asked at once.
	changes
)

// reading is what one look at an outbox found.
type reading struct {
	Delivery
	found bool // the session exists, whatever else is wrong with the request
	epoch session.Epoch
	grace time.Duration
	acked session.Seq // every frame below it is acknowledged
	next  session.Seq // the next frame to be sent
	full  bool        // too much is unacknowledged
	lapse time.Time   // when the token of the session expires; zero if it has none
}

// holdable returns how long a receiver may be held, at most d: when the session's token expires, it looks
// again.
func (r reading) holdable(d time.Duration) time.Duration {
	if r.lapse.IsZero() {
		return d
	}
	return max(0, min(d, r.lapse.Sub(r.Now)))
}

// maxTrust is how long a process that is alone trusts what it remembers of an outbox in which nothing happens. What
// it remembers is what it wrote itself, so asking the storage again would only repair a mistake.
const maxTrust = 5 * time.Minute

// readOutbox reads a session's outbox for any receiver: in memory if the frames are known there, and
// otherwise in the storage, together with other receivers if nothing is expected. It does not wait
// for frames.
//
// Every read finds out that the session ended or that a handshake began a newer epoch, on any replica.
func (s *Service) readOutbox(ctx context.Context, r ReceiveRequest, h hint) (got reading, err error) {
	if h == anything || h == nothing && s.trustsMemory(r.Session) {
		if got, known := s.readMemory(r); known {
			return got, nil
		}
		if h == anything && r.Ack != nil && *r.Ack > s.presence.LastAcked(r.Session) {
			h = changes // a client that has just processed frames often gets more
		} else {
			h = nothing
		}
	}
	if h == nothing && s.Config.LookupBatchWindow > 0 {
		got, empty, err := s.readShared(ctx, r)
		if err != nil || empty {
			return got, s.counted(err)
		}
	}
	got, err = s.readStorage(ctx, r)
	return got, s.counted(err)
}

// trustsMemory reports whether what is remembered of a session's outbox is true also if no news came: only this process
// writes the storage, which can be used, and it has read the outbox there lately.
func (s *Service) trustsMemory(k session.Key) bool {
	return s.Announce == nil && !s.health.failing.Load() && s.now().Sub(s.presence.LastRead(k)) < maxTrust
}

// readMemory reads an outbox without asking the storage. known is false if the storage has to be
// asked; that includes every refusal and a full window. It is never known if other processes execute
// the session's commands, because the answer tells which command is wanted next.
func (s *Service) readMemory(r ReceiveRequest) (got reading, known bool) {
	if s.Announce != nil {
		return reading{}, false
	}
	last, stored, known := s.outboxes.Last(r.Session)
	if !known {
		return reading{}, false
	}
	stored.Next = last + 1
	now := s.now()
	attached, _, err := s.attached(stored, now)
	if err != nil || s.checkToken(attached.Token, now) != nil {
		return reading{}, false
	}
	limits := s.Config.Limits
	if got, err = s.checkReceive(r, attached, now); err != nil || int64(attached.Next-got.acked) > limits.WindowFrames {
		return reading{}, false
	}
	got.Frames, known = s.rememberedFrames(r.Session, got.First, s.answerBytes(r.Bytes))
	return got, known
}

// rememberedFrames returns the frames from number first on, as many as fit in an answer of so many bytes, if they
// are known.
func (s *Service) rememberedFrames(k session.Key, first session.Seq, size int64) (frames [][]byte, known bool) {
	remembered, known := s.outboxes.After(k, first-1)
	for _, f := range remembered[:min(len(remembered), s.Config.Limits.AnswerFrames)] {
		if size -= int64(len(f.payload)); size < 0 && len(frames) > 0 {
			break
		}
		frames = append(frames, f.payload)
	}
	return frames, known
}

// readShared looks a session up together with others. empty reports that it has no unacknowledged
// frames, so there is nothing more to read.
func (s *Service) readShared(ctx context.Context, r ReceiveRequest) (got reading, empty bool, err error) {
	version := s.outboxes.Version(r.Session)
	found, err := s.lookup(ctx, r.Session)
	if err != nil {
		return reading{}, false, err
	}
	attached, _, err := s.attached(found.session, found.at)
	if err == nil {
		err = s.checkToken(attached.Token, found.at)
	}
	if err != nil {
		return reading{}, false, err
	}
	if got, err = s.checkReceive(r, attached, found.at); err != nil || got.acked < attached.Next {
		return got, false, err
	}
	s.outboxes.Fill(r.Session, version, attached.Next-1, found.session)
	return got, true, nil
}

// readStorage reads an outbox in a transaction of its own.
func (s *Service) readStorage(ctx context.Context, r ReceiveRequest) (got reading, err error) {
	var stored Session
	version := s.outboxes.Version(r.Session)
	err = s.read(ctx, func(t *txn) error {
		attached, err := t.attach(r.Session)
		if err != nil {
			return err
		}
		stored = t.stored
		if got, err = s.checkReceive(r, attached, t.Now()); err != nil || got.acked == attached.Next {
			return err
		}
		limits := s.Config.Limits
		backlog, err := t.Backlog(r.Session)
		if err != nil {
			return err
		}
		// The storage may not know the last acknowledgement yet.
		got.full = min(backlog.Frames, int64(attached.Next-got.acked)) > limits.WindowFrames || backlog.Bytes > limits.WindowBytes
		if got.First == attached.Next {
			return nil
		}
		if frames, known := s.rememberedFrames(r.Session, got.First, s.answerBytes(r.Bytes)); known && len(frames) > 0 {
			got.Frames = frames
			return nil
		}
		got.Frames, err = t.Frames(r.Session, got.First, limits.AnswerFrames, s.answerBytes(r.Bytes))
		return err
	})
	if err == nil && !got.full {
		s.outboxes.Fill(r.Session, version, stored.Next-1, stored)
		s.presence.Read(r.Session, s.now())
	}
	return got, err
}

// checkReceive returns what a receiver is told if there are no frames, and from which number on there
// may be some.
func (s *Service) checkReceive(r ReceiveRequest, attached session.Attached, now time.Time) (reading, error) {
	got := reading{found: true, epoch: attached.Epoch, grace: attached.Grace, lapse: attached.Token.Expires}
	got.Wanted, got.Now, got.next = attached.Wanted, now, attached.Next
	got.NextWait = s.timing().Hold(r.Session, attached.Epoch)
	switch {
	case r.Epoch != nil && *r.Epoch < attached.Epoch:
		return got, superseded(false)
	case r.Epoch != nil && *r.Epoch > attached.Epoch:
		return got, futureEpoch(*r.Epoch, attached.Epoch)
	}
	got.acked = s.presence.Acked(r.Session, attached.Epoch, attached.Kept)
	if r.Ack != nil {
		if _, err := attached.Acknowledge(*r.Ack); err != nil {
			return got, refuse(SessionStateMismatch, "%v", err)
		}
		// Who has seen what was acknowledged meanwhile may have acknowledged it.
		if *r.Ack < got.acked && (r.From == nil || *r.From < got.acked) {
			return got, superseded(true)
		}
		got.acked = max(got.acked, *r.Ack)
	}
	got.First = got.acked
	if r.From != nil {
		if *r.From > attached.Next {
			return got, refuse(SessionStateMismatch, "frame %d is asked for, but the next to be sent is %d", *r.From, attached.Next)
		}
		got.First = max(got.acked, *r.From)
	}
	return got, nil
}

// answerBytes returns how many bytes an answer may have if its request allows so many; 0 allows any number.
func (s *Service) answerBytes(most int64) int64 {
	if most == 0 {
		return s.Config.Limits.AnswerBytes
	}
	return min(most, s.Config.Limits.AnswerBytes)
}
