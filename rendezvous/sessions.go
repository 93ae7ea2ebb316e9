package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// Authenticate returns the command that a session wants next. It refuses with SESSION_UNKNOWN or
// SESSION_ENDED.
func (s *Service) Authenticate(ctx context.Context, k session.Key) (session.Seq, error) {
	a, err := query(ctx, s, Query{Session: k}, func(*txn) (struct{}, error) { return struct{}{}, nil })
	return a.Wanted, err
}

// SideOf returns the side of a session.
func (s *Service) SideOf(ctx context.Context, q Query) (Answer[SideRef], error) {
	return query(ctx, s, q, func(t *txn) (SideRef, error) { return SideRef{App: t.actor.App, Side: t.actor.Side}, nil })
}

// Overview is a session as its client sees it.
type Overview struct {
	Session     Session
	WasDetached bool        // the session was detached before this request
	Kept        session.Seq // the oldest frame that is not acknowledged, including acknowledgements that are not stored yet
	Nameplates  []NameplateID
	Mailboxes   []MailboxID
	Now         time.Time
}

// Session returns the session as it is, and what its side holds.
func (s *Service) Session(ctx context.Context, q Query) (Answer[Overview], error) {
	return query(ctx, s, q, func(t *txn) (Overview, error) {
		o := Overview{Session: *t.actor, WasDetached: t.wasDetached, Kept: s.presence.Acked(t.actor.Key, t.actor.Epoch, t.actor.Kept), Nameplates: []NameplateID{}, Mailboxes: []MailboxID{}, Now: t.Now()}
		nameplates, err := t.NameplatesOf(t.actor.App, t.actor.Side)
		if err != nil {
			return o, err
		}
		for _, n := range nameplates {
			o.Nameplates = append(o.Nameplates, n.ID)
		}
		mailboxes, err := t.MailboxesOf(t.actor.App, t.actor.Side)
		for _, m := range mailboxes {
			o.Mailboxes = append(o.Mailboxes, m.ID)
		}
		return o, err
	})
}

// End ends the session. With a mood it also releases and closes all that its side holds, in the same
// transaction. Without, those live until their ttl. Ending a session again that its client has ended
// succeeds. With a mood it then also releases and closes what the first time left, unless another session has
// taken the side over.
func (s *Service) End(ctx context.Context, c Command, mood *Mood) (Answer[struct{}], error) {
	answer, err := execute(ctx, s, c, func(t *txn) (struct{}, error) {
		leave := func() error { return t.keepMailboxes(t.actor.App, t.actor.Side, t.Now()) }
		if mood != nil {
			leave = func() error { return t.leaveAll(*mood) }
		}
		if err := leave(); err != nil {
			return struct{}{}, err
		}
		t.end(t.actor.Key, session.Deleted)
		return struct{}{}, nil
	})
	var failure *Failure
	if !errors.As(err, &failure) || failure.Ended == nil || failure.Ended.Reason != session.Deleted {
		return answer, err
	}
	answer = Answer[struct{}]{Wanted: failure.Ended.Ledger.Wanted}
	if mood == nil {
		return answer, nil
	}
	return answer, s.leaveAfterEnd(ctx, c.Session, *mood)
}

// leaveAfterEnd releases and closes all that the side of a session holds which its client has ended. If another session
// has taken the side over, all that is that session's, and stays.
func (s *Service) leaveAfterEnd(ctx context.Context, k session.Key, mood Mood) error {
	err := s.transact(ctx, func(t *txn) error {
		ended, err := t.Session(k) // a handshake that takes the side over waits until this ends
		if errors.Is(err, ErrNotFound) {
			return unknownSession()
		}
		if err != nil {
			return err
		}
		owner, err := t.SideOwner(ended.App, ended.Side)
		if err != nil || owner.Key != k {
			return err
		}
		t.actor = &ended
		return t.leaveAll(mood)
	})
	var failure *Failure
	if errors.As(err, &failure) && failure.Code == OutcomeUnknown {
		return storageUnavailable() // to leave again changes nothing
	}
	return err
}

// leaveAll releases every nameplate and closes every mailbox of the side.
func (t *txn) leaveAll(mood Mood) error {
	nameplates, err := t.NameplatesOf(t.actor.App, t.actor.Side)
	if err != nil {
		return err
	}
	for _, n := range nameplates {
		if err := t.release(n.App, t.actor.Side, n.ID); err != nil {
			return err
		}
	}
	mailboxes, err := t.MailboxesOf(t.actor.App, t.actor.Side)
	if err != nil {
		return err
	}
	for _, m := range mailboxes {
		if err := t.close(m.App, t.actor.Side, m.ID, mood); err != nil {
			return err
		}
	}
	return nil
}
