package repo_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// makePair stores two sessions that subscribe to a mailbox.
func makePair(tx rendezvous.Tx) error {
	m, err := tx.CreateMailbox(rendezvous.NewMailbox("app", "m", time.Minute, tx.Now()))
	for _, k := range []session.Key{{1}, {2}} {
		side := rendezvous.Side(rune('a' + k[0]))
		if err == nil {
			err = tx.CreateSession(rendezvous.Session{Key: k, App: "app", Side: side, Began: tx.Now(), Record: session.Open(tx.Now(), time.Minute).Record()}, tx.Now())
		}
		m, _ = m.Open(side, tx.Now())
		if err == nil {
			_, _, err = tx.Subscribe(k, m.Key, rendezvous.Watch{})
		}
	}
	if err != nil {
		return err
	}
	return tx.UpdateMailbox(m)
}

// look loads what a message touches.
func look(tx rendezvous.Tx) (s rendezvous.Session, m rendezvous.Mailbox, list []rendezvous.Subscriber, err error) {
	if s, err = tx.Session(session.Key{1}); err != nil {
		return s, m, nil, err
	}
	if m, err = tx.Mailbox("app", "m"); err != nil {
		return s, m, nil, err
	}
	list, err = tx.Subscribers(m.Key)
	return s, m, list, err
}

// What a message touches is read once. That what is remembered is what is stored is compared in every test of the store, and in
// those of the use cases, before each commit.
func TestWhatIsRememberedIsNotReadAgain(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), makePair))
	see := func() (read []string) {
		statements := recordStatements(db)
		must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
			_, m, list, err := look(tx)
			if len(m.Sides) != 2 || len(list) != 2 {
				t.Errorf("there are %d sides and %d subscribers, want 2 of each", len(m.Sides), len(list))
			}
			return err
		}))
		for _, s := range statements() {
			if strings.HasPrefix(s, "SELECT") {
				read = append(read, s)
			}
		}
		return read
	}
	if read := see(); len(read) == 0 {
		t.Error("nothing was read, though nothing can have been known")
	}
	if read := see(); len(read) > 0 {
		t.Errorf("this was read again: %q", read)
	}
	repo.Forget(db)
	if read := see(); len(read) < 3 {
		t.Errorf("only this was read, though all was forgotten: %q", read)
	}
}

// What is remembered is forgotten where it may be wrong.
func TestWhatIsRememberedIsForgotten(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		happens func(*repo.DB, string)
		want    rendezvous.Position
	}{
		"another program writes the file": {func(_ *repo.DB, file string) { execOnFile(file, "UPDATE mailboxes SET last_position = 7") }, 7},
		"a transaction fails": {func(db *repo.DB, _ string) {
			err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
				_, m, _, err := look(tx)
				must(err)
				m.Last = 7
				must(tx.UpdateMailbox(m))
				return errTest
			})
			if err == nil {
				t.Error("the transaction did not fail")
			}
		}, 0},
		"a transaction fails that shares its commit with others": {func(db *repo.DB, _ string) {
			release := blockWriter(db)
			var outcomes []<-chan error
			for i, fails := range []bool{false, true, false} {
				outcomes = append(outcomes, enqueue(context.Background(), db, func(tx rendezvous.Tx) error {
					_, m, _, err := look(tx)
					must(err)
					if m.Last != 0 {
						t.Errorf("the mailbox has %d messages within the batch, want none", m.Last)
					}
					m.TTL += time.Duration(i) * time.Second
					if fails {
						m.Last = 7
					}
					must(tx.UpdateMailbox(m))
					if fails {
						return errTest
					}
					return nil
				}))
			}
			release()
			for i, o := range outcomes {
				if err := <-o; (err != nil) != (i == 1) {
					t.Errorf("transaction %d returned %v", i, err)
				}
			}
		}, 0},
		"a commit fails": {func(db *repo.DB, _ string) {
			repo.SetHook(db, func(query string) error {
				if query == "COMMIT" {
					return errTest
				}
				return nil
			})
			defer repo.SetHook(db, nil)
			err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
				_, m, _, err := look(tx)
				must(err)
				m.Last = 7
				return tx.UpdateMailbox(m)
			})
			if err == nil {
				t.Error("the transaction did not fail")
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := newFile(t)
			db := open(t, repo.Options{URL: file})
			must(db.Update(t.Context(), makePair))
			see := func() (last rendezvous.Position) {
				must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
					_, m, _, err := look(tx)
					last = m.Last
					return err
				}))
				return last
			}
			_ = see()
			x.happens(db, file)
			if got := see(); got != x.want {
				t.Errorf("the mailbox has %d messages, want %d", got, x.want)
			}
		})
	}
}

// changes are what can be done with a session and a mailbox.
var changes = map[string]func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, at time.Time) error{
	"append": func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, at time.Time) error {
		m.Last++
		m.Updated, m.StaleAt, m.Bytes = at, at.Add(m.TTL), m.Bytes+1
		if err := tx.Append(m, rendezvous.Message{Position: m.Last, Side: s.Side, Received: at, Draft: rendezvous.Draft{Phase: "p", Body: "b"}}); err != nil {
			return err
		}
		return tx.Complete(s.Key, s.Wanted, rendezvous.Reply{Outcome: []byte("{}")})
	},
	"complete": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		return tx.Complete(s.Key, s.Wanted, rendezvous.Reply{Outcome: []byte("{}")})
	},
	"send messages": func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, _ time.Time) error {
		_, err := tx.SendMessages(s.Key, m.Key, 1, 2)
		return err
	},
	"send a frame": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		_, err := tx.SendFrame(s.Key, func(session.Seq) []byte { return []byte("{}") })
		return err
	},
	"acknowledge": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		return tx.Acknowledge(session.Ack{Session: s.Key, Epoch: s.Epoch, UpTo: s.Next})
	},
	"begin an epoch": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		return tx.BeginEpoch(s.Key, s.Epoch+1)
	},
	"use": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		return tx.MarkUsed(s.Key)
	},
	"see": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, at time.Time) error {
		return tx.UpdateLastSeen([]session.Sighting{{Key: s.Key, Seen: at, SweepAt: at}})
	},
	"update the session": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, at time.Time) error {
		s.Seen, s.Grace = at, s.Grace+time.Second
		return tx.UpdateSession(s, at)
	},
	"empty the session": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, at time.Time) error {
		s.Ended = &session.Ending{At: at, Reason: session.Deleted}
		if err := tx.UpdateSession(s, at); err != nil {
			return err
		}
		return tx.EmptySession(s.Key)
	},
	"delete the session": func(tx rendezvous.Tx, s rendezvous.Session, _ rendezvous.Mailbox, _ time.Time) error {
		return tx.DeleteSession(s.Key)
	},
	"touch the mailbox": func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, at time.Time) error {
		m, _ = m.Open(s.Side, at)
		return tx.UpdateMailbox(m)
	},
	"close the mailbox": func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, at time.Time) error {
		m, _ = m.Close(s.Side, rendezvous.Happy, at)
		if err := tx.UpdateMailbox(m); err != nil {
			return err
		}
		return tx.Unsubscribe(s.Key, m.Key)
	},
	"watch the mailbox": func(tx rendezvous.Tx, s rendezvous.Session, m rendezvous.Mailbox, _ time.Time) error {
		_, _, err := tx.Subscribe(s.Key, m.Key, rendezvous.Watch{Presence: true})
		return err
	},
	"hold the mailbox": func(tx rendezvous.Tx, _ rendezvous.Session, m rendezvous.Mailbox, at time.Time) error {
		return tx.SocketsSeen([]rendezvous.MailboxKey{m.Key}, at)
	},
	"retire the mailbox": func(tx rendezvous.Tx, _ rendezvous.Session, m rendezvous.Mailbox, at time.Time) error {
		return tx.RetireMailbox(m, rendezvous.SummarizeMailbox(m, at, false))
	},
}

// What is remembered is compared with what is stored before each commit, whatever has changed a session, a mailbox or a subscription
// since it was read.
func TestWhatIsRememberedIsStored(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	names := slices.Sorted(maps.Keys(changes))
	rapid.Check(t, func(t *rapid.T) {
		repo.DeleteAll(db)
		must(db.Update(context.Background(), makePair))
		at, ended := time.UnixMilli(1_700_000_000_000).UTC(), false
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 20).Draw(t, "steps") {
			at = at.Add(time.Millisecond)
			err := db.Update(context.Background(), func(tx rendezvous.Tx) error {
				s, m, _, err := look(tx)
				if err != nil {
					return err
				}
				return changes[name](tx, s, m, at)
			})
			if errors.Is(err, rendezvous.ErrNotFound) {
				return // the session is, or the mailbox
			}
			if err != nil && (!ended || !strings.Contains(err.Error(), "it is not the next command")) {
				t.Fatalf("%s: %v", name, err)
			}
			ended = ended || name == "empty the session"
		}
	})
}

// There is no more remembered than there is room for, and the next transaction finds everything nevertheless.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.RememberAtMost(db, 3)
	for i := range 10 {
		id := rendezvous.MailboxID(rune('a' + i))
		must(db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, id) }))
		if n := repo.CountRemembered(db); n > 3 {
			t.Errorf("%d mailboxes are remembered, want 3 at most", n)
		}
		must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
			m, err := tx.Mailbox("app", id)
			if m.ID != id {
				t.Errorf("mailbox %q was found, want %q", m.ID, id)
			}
			return err
		}))
	}
}
