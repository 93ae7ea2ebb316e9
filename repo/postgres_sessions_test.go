package repo_test

import (
	"context"
	"fmt"
	"testing"

	"restante/rendezvous"
	"restante/session"
)

// TestARepeatedCommandFindsItsFirstCopy sends a numbered command again, to another server, before any statement of its first
// copy: it is done once, and both get the same answer.
func TestARepeatedCommandFindsItsFirstCopy(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	for at, most := 0, 1; at < most; at++ {
		i.apps++
		app, id := rendezvous.AppID(fmt.Sprint("app ", i.apps)), numberedID(i.apps)
		_, err := i.elsewhere.Handshake(ctx, rendezvous.Handshake{ID: id, App: app, Side: "side"})
		must(err)
		var answers [2]rendezvous.Answer[rendezvous.Claimed]
		allocate := func(n int, s *rendezvous.Service) func() error {
			return func() (err error) {
				answers[n], err = s.Allocate(ctx, rendezvous.Command{Session: id.Key(), Seq: new(session.Seq(0))}, 0)
				return err
			}
		}
		errs, statements := i.run(allocate(0, i.here), []int{at}, allocate(1, i.elsewhere))
		most = max(most, statements)
		what := fmt.Sprintf("before statement %d", at)
		i.check(what, errs)
		a, b := answers[0], answers[1]
		if errs[0] != nil || errs[1] != nil || a.Replayed == b.Replayed || a.Result != b.Result || a.Wanted != 1 || b.Wanted != 1 {
			t.Errorf("%s: %+v and %+v, %v", what, a, b, errs)
		}
	}
}

// TestNoTransactionLosesAgainstTheEndOfASession deletes a session before any statement of a transaction that sends frames to
// it, and the other way round: neither has to run again because of a deadlock.
func TestNoTransactionLosesAgainstTheEndOfASession(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	frame := func(session.Seq) []byte { return []byte(`{"seq":0}`) }
	for _, sendHere := range []bool{true, false} {
		for at, most := 0, 1; at < most; at++ {
			i.apps++
			app, id := rendezvous.AppID(fmt.Sprint("app ", i.apps)), numberedID(i.apps)
			prepareFrames(i.elsewhere, app, id, 3)
			send := func(s rendezvous.Store) func() error {
				return func() error {
					return s.Update(ctx, func(tx rendezvous.Tx) error {
						for range 2 {
							if _, err := tx.SendFrame(id.Key(), frame); err != nil {
								return rendezvousFailure(err)
							}
						}
						return nil
					})
				}
			}
			end := func(s rendezvous.Store) func() error {
				return func() error {
					return s.Update(ctx, func(tx rendezvous.Tx) error { return tx.DeleteSession(id.Key()) })
				}
			}
			operation, other := send(i.hereDB), end(i.elsewhereDB)
			if !sendHere {
				operation, other = end(i.hereDB), send(i.elsewhereDB)
			}
			errs, statements := i.run(operation, []int{at}, other)
			most = max(most, statements)
			what := fmt.Sprintf("sent here: %v, before statement %d", sendHere, at)
			i.check(what, errs)
			if n := i.retried.Swap(0); n > 0 {
				t.Errorf("%s: %d transactions ran again", what, n)
			}
		}
	}
}

// rendezvousFailure turns the error of a session that is gone into an answer.
func rendezvousFailure(err error) error {
	return &rendezvous.Failure{Code: rendezvous.SessionUnknown, Err: err}
}
