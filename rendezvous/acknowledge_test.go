package rendezvous_test

import (
	"context"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// heldCommits is a store on which the test's next update is held before it commits.
type heldCommits struct {
	rendezvous.Store
	hold    bool
	fails   bool          // once it is let go
	held    chan struct{} // it is held
	letGo   chan struct{}
	another chan struct{} // another update of the test has come
}

func (s *heldCommits) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	switch {
	case ofLoop(ctx):
		return s.Store.Update(ctx, f)
	case !s.hold:
		select {
		case s.another <- struct{}{}:
		default:
		}
		return s.Store.Update(ctx, f)
	}
	s.hold = false
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		err := f(tx)
		s.held <- struct{}{}
		<-s.letGo
		if s.fails {
			return rendezvous.ErrUnavailable
		}
		return err
	})
}

// TestAnAcknowledgementAndAHandshakeComeOneAfterTheOther covers an acknowledgement that is answered while a handshake of
// its session is under way, which wants an older frame. Accepting both would break the promise that an acknowledgement
// counts at once for the process that answered it, in the handshake too.
func TestAnAcknowledgementAndAHandshakeComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	zero, one := time.Duration(0), session.Seq(1)
	ways := map[string]func(c *client) bool{
		"by a poll": func(c *client) bool {
			_, err := c.w.Receive(c.w.t.Context(), rendezvous.ReceiveRequest{Session: c.key, Ack: &one, Epoch: &c.epoch, Wait: &zero})
			return err == nil
		},
		"by a request that does only that": func(c *client) bool {
			kept, err := c.w.Acknowledge(c.w.t.Context(), rendezvous.Query{Session: c.key, Ack: &one, Epoch: &c.epoch})
			c.must(err)
			return kept.Result == one
		},
	}
	for way, acknowledge := range ways {
		for _, fails := range []bool{false, true} {
			name := way + ", and the handshake is accepted"
			if fails {
				name = way + ", and the handshake fails"
			}
			t.Run(name, func(t *testing.T) {
				var store *heldCommits
				bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store {
					store = &heldCommits{Store: s, fails: fails, held: make(chan struct{}), letGo: make(chan struct{}), another: make(chan struct{}, 1)}
					return store
				}, func(t *testing.T, w *world) {
					a, b, mailbox := pair(w)
					a.add(mailbox, "one")
					expect(t, len(b.receive(0)), 1)
					older, newer := *b, *b
					<-store.another
					store.hold = true
					shaken, answered := make(chan error, 1), make(chan bool, 1)
					go func() { shaken <- newer.shake(0, 0) }()
					<-store.held
					go func() { answered <- acknowledge(&older) }()
					acknowledged, waits := false, false
					select {
					case acknowledged = <-answered:
					case <-store.another: // it waits for the handshake
						waits = true
					}
					store.letGo <- struct{}{}
					accepted := <-shaken == nil
					if waits {
						acknowledged = <-answered
					}
					expect(t, accepted, !fails)
					expect(t, acknowledged, fails)
					if accepted {
						expect(t, newer.receive(0)[0].Body, "one")
					} else {
						expect(t, code(t, newer.shake(0, 0)), rendezvous.SessionStateMismatch)
					}
				})
			})
		}
	}
}
