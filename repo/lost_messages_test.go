package repo_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// TestALostMessageChangesNothing cuts the connection to PostgreSQL at each message of some use cases, before it arrives and
// before its reply does. What is stored is as it was before the use case or as it is after it: after it if it succeeded,
// and unless it says that this is not known, before it if it failed. Then it succeeds.
func TestALostMessageChangesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"add", "close, of the last side", "replace"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(useCases, func(c useCase) bool { return c.name == name })
			d := newPostgresFaults(t).(*postgresFaults)
			p := newCutter(t, pgtest.Shared(t).Address())
			u, err := url.Parse(d.url)
			must(err)
			d.url = "postgres://postgres@" + p.address + u.Path + "?sslmode=disable"
			x := newFaultRun(t, useCases[i], d, func(db *repo.DB) rendezvous.Store { return db })
			x.storedBefore = d.stored()
			must(x.runUseCase())
			x.storedAfter = d.stored()
			d.restore()
			cuts := 0
			for n := int64(1); ; n++ {
				again := false
				for _, after := range []bool{false, true} {
					must(x.fixture.db.Probe(t.Context())) // on a connection that was used before
					p.cutAt(n, after)
					err := x.runUseCase()
					if p.passAll() {
						break // it had fewer messages
					}
					again = true
					cuts++
					got := d.stored()
					failure, _ := errors.AsType[*rendezvous.Failure](err)
					switch {
					case err == nil && got == x.storedAfter:
					case failure != nil && got == x.storedBefore:
					case failure != nil && got == x.storedAfter && failure.Code == rendezvous.OutcomeUnknown:
					case failure != nil && got == x.storedAfter && failure.Code == rendezvous.StorageUnavailable: // it is numbered, so that it may be sent again
					default:
						t.Errorf("message %d, cut after it: %v: it returned %v\n%s", n, after, err, difference(x.storedBefore, got))
					}
					if err != nil {
						d.restore()
						if err, got := x.runUseCase(), d.stored(); err != nil || got != x.storedAfter {
							t.Errorf("after message %d: it returned %v\n%s", n, err, difference(x.storedAfter, got))
						}
					}
					d.restore()
				}
				if !again {
					break
				}
			}
			if cuts < 4 {
				t.Errorf("only %d messages were cut", cuts)
			}
		})
	}
}

// TestACommitThatIsAnsweredWithRollback has PostgreSQL roll a transaction back although it is told to commit it, as it does
// after a statement that failed. That is an error.
func TestACommitThatIsAnsweredWithRollback(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, repo.Options{})
	err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
		tx.AfterCommit(func() { t.Error("an AfterCommit function ran") })
		tx.Now() // the transaction begins
		repo.AbortTransaction(tx)
		return nil
	})
	if err == nil || errors.Is(err, rendezvous.ErrOutcomeUnknown) {
		t.Errorf("it returned %v", err)
	}
	wantWorking(t, db)
}
