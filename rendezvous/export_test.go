package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// State returns the state of a session. It is no sign of life.
func (s *Service) State(ctx context.Context, k session.Key) (state session.State, err error) {
	err = s.read(ctx, func(t *txn) error {
		stored, err := t.Session(k)
		if errors.Is(err, ErrNotFound) {
			return unknownSession()
		}
		state = s.state(stored, t.Now())
		return err
	})
	return state, err
}

// HoldOfReads returns how long reads of a mailbox are held for a side, at most.
func (s *Service) HoldOfReads(side SideRef, id MailboxID) time.Duration {
	return s.holdOfReads(side, id)
}
