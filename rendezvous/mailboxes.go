package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// MailboxView is a mailbox as one of its sides sees it.
type MailboxView struct {
	Mailbox MailboxID  `json:"mailbox"`
	Sides   []SideView `json:"sides"`
	Last    Position   `json:"lastPosition"`
}

// SideView is one of the mailbox's sides. Mood is empty until the side has closed. Attendance and Received are known
// only if the mailbox is watched.
type SideView struct {
	Side       Side       `json:"side"`
	Mood       Mood       `json:"mood,omitempty"`
	Attendance Attendance `json:"attendance,omitempty"`
	Received   Position   `json:"received,omitempty"`
}

// OpenRequest is how a mailbox is opened.
type OpenRequest struct {
	After Position      // only messages after it are sent
	TTL   time.Duration // the longer life asked for, or 0
	Watch Watch         // what else is sent; what was asked for before is sent on
}

func viewOf(m Mailbox) MailboxView {
	seen := MailboxView{Mailbox: m.ID, Sides: []SideView{}, Last: m.Last}
	for _, o := range m.Sides {
		one := SideView{Side: o.Side, Attendance: o.Attendance, Received: o.Received}
		if o.Closed != nil {
			one.Mood, one.Attendance = o.Closed.Mood, Unknown
		}
		seen.Sides = append(seen.Sides, one)
	}
	return seen
}

// Open enters the mailbox, making it if there is none, and subscribes the session to it: the session gets the messages
// after the given position as frames, and then everything that happens. It refuses with CROWDED, with QUOTA_EXCEEDED, and
// with INVALID_REQUEST if it is to begin past the last message.
func (s *Service) Open(ctx context.Context, c Command, id MailboxID, r OpenRequest) (Answer[MailboxView], error) {
	return execute(ctx, s, c, func(t *txn) (MailboxView, error) {
		m, err := t.open(t.actor.App, t.actor.Side, id, r.After, r.TTL)
		if err == nil && r.Watch.any() {
			m, err = t.watch(m)
		}
		if err != nil {
			return MailboxView{}, err
		}
		return viewOf(m), t.subscribe(m, r.After, r.Watch)
	})
}

// OpenFor enters and opens a mailbox for a side without a session. It returns the mailbox's key, to be
// followed with [Service.Follow].
func (s *Service) OpenFor(ctx context.Context, ref SideRef, id MailboxID) (MailboxKey, error) {
	m, err := executeAs(ctx, s, ref, func(t *txn) (Mailbox, error) {
		m, err := t.open(ref.App, ref.Side, id, 0, 0)
		if err != nil {
			return m, err
		}
		// The mailbox's follower need not ask for what is known here.
		version := s.logs.Track(m.Key)
		t.AfterCommit(func() { s.logs.Fill(m.Key, version, m.Last, logMeta{m.Crowded}) })
		return m, t.SocketsSeen([]MailboxKey{m.Key}, t.Now()) // opening again changes nothing else
	})
	return m.Key, err
}

// HasOpenFor reports whether a side has a mailbox open.
func (s *Service) HasOpenFor(ctx context.Context, ref SideRef, k MailboxKey) (open bool, err error) {
	err = s.read(ctx, func(t *txn) error {
		m, err := t.MailboxByKey(k)
		open = err == nil && m.HasOpen(ref.Side)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return open, err
}

// Close leaves the mailbox. When every side that entered has closed, the mailbox is retired. Close
// succeeds if there is none.
func (s *Service) Close(ctx context.Context, c Command, id MailboxID, mood Mood) (Answer[struct{}], error) {
	return execute(ctx, s, c, func(t *txn) (struct{}, error) { return struct{}{}, t.close(t.actor.App, t.actor.Side, id, mood) })
}

// CloseFor is [Service.Close] for a side without a session.
func (s *Service) CloseFor(ctx context.Context, ref SideRef, id MailboxID, mood Mood) error {
	_, err := executeAs(ctx, s, ref, func(t *txn) (struct{}, error) { return struct{}{}, t.close(ref.App, ref.Side, id, mood) })
	return err
}

// Mailbox returns the mailbox as it is. It refuses with NOT_FOUND unless the side is in it.
func (s *Service) Mailbox(ctx context.Context, q Query, id MailboxID) (Answer[MailboxView], error) {
	return query(ctx, s, q, func(t *txn) (MailboxView, error) {
		m, err := t.enteredMailbox(id)
		return viewOf(m), err
	})
}

// enteredMailbox loads a mailbox that the acting side is in.
func (t *txn) enteredMailbox(id MailboxID) (Mailbox, error) {
	m, err := t.Mailbox(t.actor.App, id)
	if errors.Is(err, ErrNotFound) || err == nil && !m.Has(t.actor.Side) {
		return m, refuse(NotFound, "this side is in no such mailbox; claim its nameplate or open it first")
	}
	return m, err
}

func (t *txn) open(app AppID, side Side, id MailboxID, after Position, ttl time.Duration) (Mailbox, error) {
	if err := t.checkTTL(ttl); err != nil {
		return Mailbox{}, err
	}
	m, err := t.Mailbox(app, id)
	switch {
	case errors.Is(err, ErrNotFound):
		m = NewMailbox(app, id, t.s.Config.MailboxTTL, t.Now())
	case err != nil:
		return m, err
	}
	if after > m.Last {
		return m, afterTheLast(after, m.Last)
	}
	had, inside, isNew := m.HasOpen(side), m.Has(side), m.Key == 0
	m, admitted := m.Open(side, t.Now())
	if !admitted {
		m, tell := m.TellCrowded(t.Now())
		if err := t.UpdateMailbox(m); err != nil {
			return m, err
		}
		if tell {
			if err := t.publishCrowded(m); err != nil {
				return m, err
			}
		}
		return m, refuse(Crowded, "two other sides share this mailbox already")
	}
	if !inside {
		if err := t.checkMailboxQuota(app, side); err != nil {
			return m, err
		}
	}
	m = m.Extend(ttl)
	if isNew {
		if m, err = t.createMailbox(m); err != nil {
			return m, err
		}
	} else if err := t.UpdateMailbox(m); err != nil {
		return m, err
	}
	if had {
		return m, nil
	}
	return m, t.publish(m, OpenedFrame{side})
}

// createMailbox stores a new mailbox, which counts for the address that asks.
func (t *txn) createMailbox(m Mailbox) (Mailbox, error) {
	m, err := t.CreateMailbox(m)
	if err == nil {
		err = t.chargeMailbox(Mailbox{}, m)
	}
	return m, err
}

// subscribe subscribes the acting session to a mailbox and sends it the log after a position, and what it wants to be
// told of the other side. A session that is subscribed already is sent nothing again.
func (t *txn) subscribe(m Mailbox, after Position, wants Watch) error {
	if t.actor.Key == (session.Key{}) {
		return nil // a side without a session reads the log
	}
	fresh, asked, err := t.Subscribe(t.actor.Key, m.Key, wants)
	if err != nil {
		return err
	}
	if fresh && after < m.Last {
		t.outgoing = append(t.outgoing, outgoing{to: t.actor.Key, of: m.ID, run: run{key: m.Key, first: after + 1, count: int64(m.Last - after)}})
	}
	t.tellNow(m, asked)
	return nil
}

func (t *txn) close(app AppID, side Side, id MailboxID, mood Mood) error {
	m, err := t.Mailbox(app, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if m, err = t.tellLast(m); err != nil {
		return err
	}
	m, left := m.Close(side, mood, t.Now())
	if !left {
		return nil
	}
	if err := t.publish(m, ClosedFrame{side, mood}); err != nil {
		return err
	}
	if m.Empty() {
		return t.retire(m, RetiredClosed)
	}
	subscribers, err := t.Subscribers(m.Key)
	if err != nil {
		return err
	}
	for _, sub := range subscribers {
		if sub.Side == side {
			if err := t.Unsubscribe(sub.Key, m.Key); err != nil {
				return err
			}
		}
	}
	return t.UpdateMailbox(m)
}

// retire removes a mailbox with the nameplates that point to it, and records their usage. The retired
// frame is the last that its subscribers get of it.
func (t *txn) retire(m Mailbox, why RetiredReason) error {
	t.AfterCommit(func() { t.s.logs.Invalidate(m.Key) }) // so that its followers find that it is gone
	if err := t.publish(m, RetiredFrame{why, m.Last}); err != nil {
		return err
	}
	if err := t.queueDispatch(m, m.Last+1, why); err != nil {
		return err
	}
	nameplates, err := t.NameplatesTo(m.Key)
	if err != nil {
		return err
	}
	for _, n := range nameplates {
		if err := t.retireNameplate(n, why == RetiredPruned); err != nil {
			return err
		}
	}
	usage := SummarizeMailbox(m, t.Now(), why == RetiredPruned).Blurred(t.s.Config.Blur)
	t.observeRetired(m.App, KindMailbox, usage.Result)
	if err := t.RetireMailbox(m, usage); err != nil {
		return err
	}
	return t.releaseBytes(m.Key)
}

func (t *txn) checkMailboxQuota(app AppID, side Side) error {
	in, err := t.CountMailboxesOf(app, side)
	if err == nil && in >= t.s.Config.Limits.Mailboxes {
		return refuseFor(LimitMailboxes, QuotaExceeded, "a side may be in %d mailboxes; close one first", t.s.Config.Limits.Mailboxes)
	}
	return err
}

// afterTheLast refuses a position that the log has not reached. A client that remembers one from a mailbox
// that was retired learns so that it begins anew.
func afterTheLast(after, last Position) *Failure {
	return refuseArgument(ArgumentAfter, InvalidRequest, "after is %d, and the last message is at %d; if the mailbox was retired and made anew, read from after=0 on", after, last)
}

// checkTTL refuses a life that is longer than the server allows.
func (t *txn) checkTTL(ttl time.Duration) error {
	if ttl > t.s.Config.MaxTTL {
		return refuseArgument(ArgumentTTL, InvalidRequest, "ttlMs is at most %d here", t.s.Config.MaxTTL.Milliseconds())
	}
	return nil
}
