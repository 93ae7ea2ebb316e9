package repo_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// What is remembered of mailboxes without subscribers is what the database says, whatever commits, fails or runs again.
func TestWhoSubscribesIsAskedWhereItMayHaveChanged(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	rapid.Check(t, func(t *rapid.T) {
		repo.DeleteAll(db)
		key := session.Key{1}
		must(db.Update(context.Background(), func(tx rendezvous.Tx) error {
			return tx.CreateSession(rendezvous.Session{
				Key: key, App: "app", Side: "side", Began: time.UnixMilli(0), Record: session.Open(time.UnixMilli(0), time.Minute).Record(),
			}, time.UnixMilli(0))
		}))
		var members []func(rendezvous.Tx) error
		for range rapid.IntRange(1, 8).Draw(t, "transactions") {
			steps := rapid.SliceOfN(rapid.SampledFrom([]string{"make", "subscribe", "subscribe", "unsubscribe", "retire"}), 1, 4).Draw(t, "steps")
			ids := rapid.SliceOfN(rapid.IntRange(0, 2), len(steps), len(steps)).Draw(t, "mailboxes")
			fails := rapid.IntRange(0, 3).Draw(t, "fails") == 0
			members = append(members, func(tx rendezvous.Tx) error {
				for i, step := range steps {
					if err := subscriptionStep(tx, step, key, rendezvous.MailboxID(fmt.Sprint(ids[i]))); err != nil {
						return err
					}
				}
				if fails {
					return errTest
				}
				return nil
			})
		}
		release := blockWriter(db) // only now: what is drawn may end the run
		var outcomes []<-chan error
		for _, f := range members {
			outcomes = append(outcomes, enqueue(context.Background(), db, f))
		}
		release()
		for _, o := range outcomes {
			if err := <-o; err != nil && !errors.Is(err, errTest) {
				t.Fatal(err)
			}
		}
		subscribers := func(read func(context.Context, func(rendezvous.Tx) error) error) (all [3][]rendezvous.Subscriber) {
			must(read(context.Background(), func(tx rendezvous.Tx) error {
				for i := range all {
					m, err := tx.Mailbox("app", rendezvous.MailboxID(fmt.Sprint(i)))
					if errors.Is(err, rendezvous.ErrNotFound) {
						continue
					}
					if err == nil {
						all[i], err = tx.Subscribers(m.Key)
					}
					if err != nil {
						return err
					}
				}
				return nil
			}))
			return all
		}
		if diff := cmp.Diff(subscribers(db.View), subscribers(db.Update), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("stored, and known where it is written:\n%s", diff)
		}
	})
}

// subscriptionStep changes which mailboxes there are, or what subscribes to one, if it can.
func subscriptionStep(tx rendezvous.Tx, step string, key session.Key, id rendezvous.MailboxID) error {
	m, err := tx.Mailbox("app", id)
	missing := errors.Is(err, rendezvous.ErrNotFound)
	switch {
	case err != nil && !missing:
		return err
	case missing != (step == "make"):
		return nil
	}
	switch step {
	case "make":
		return createMailbox(tx, id)
	case "subscribe":
		_, _, err = tx.Subscribe(key, m.Key, rendezvous.Watch{})
		return err
	case "unsubscribe":
		return tx.Unsubscribe(key, m.Key)
	}
	return tx.RetireMailbox(m, rendezvous.SummarizeMailbox(m, tx.Now(), false))
}

// Nothing asks the database for the subscribers of a mailbox that never had one.
func TestAMailboxThatNeverHadASubscriberIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, "m") }))
	statements := recordStatements(db)
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
		m, err := tx.Mailbox("app", "m")
		if err != nil {
			return err
		}
		before := len(statements())
		if list, err := tx.Subscribers(m.Key); err != nil || len(list) != 0 || len(statements()) != before {
			t.Errorf("there are %d subscribers (%v), after %d statements", len(list), err, len(statements())-before)
		}
		return nil
	}))
}
