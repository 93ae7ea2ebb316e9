package rendezvous

import (
	"context"

	"restante/internal/presence"
	"restante/session"
)

// Acknowledge records that every frame below q.Ack is processed. It returns the oldest frame that is
// still kept.
func (s *Service) Acknowledge(ctx context.Context, q Query) (Answer[session.Seq], error) {
	var actor *Session
	answer, err := query(ctx, s, q, func(t *txn) (session.Seq, error) {
		actor = t.actor
		return 0, nil
	})
	if err == nil { // q.Ack is recorded, unless it came after a handshake
		answer.Result = s.presence.Acked(actor.Key, actor.Epoch, actor.Kept)
	}
	return answer, err
}

// acknowledge records an acknowledgement, which may be stored later. It returns false if a later epoch or a higher
// acknowledgement is known already.
//
// A handshake relies on what was acknowledged before it. While one is under way, the storage decides which came first.
func (s *Service) acknowledge(ctx context.Context, a session.Ack) (bool, error) {
	if s.presence.Acknowledge(a.Session, a.Epoch, a.UpTo) {
		return true, nil
	}
	if !s.presence.Contested(a.Session, a.Epoch) {
		return false, nil
	}
	var (
		current bool
		latest  presence.Decision
	)
	err := s.transact(ctx, func(t *txn) error {
		locked, err := t.HandshakeSessions([]session.Key{a.Session})
		if current = err == nil && len(locked) == 1 && locked[0].Epoch == a.Epoch; !current {
			return err
		}
		latest = s.presence.LatestDecision(a.Session)
		return t.Acknowledge(a)
	})
	return err == nil && current && s.presence.Settle(a, latest), err
}
