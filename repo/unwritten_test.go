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

// addMessage adds a message to the mailbox of makePair as the next command of one of its sessions, and sends it to the other.
func addMessage(tx rendezvous.Tx, as, to session.Key) error {
	s, err := tx.Session(as)
	if err != nil {
		return err
	}
	if _, err := tx.Session(to); err != nil {
		return err
	}
	m, err := tx.Mailbox("app", "m")
	if err != nil {
		return err
	}
	m.Last, m.Bytes, m.Updated = m.Last+1, m.Bytes+1, tx.Now()
	message := rendezvous.Message{Position: m.Last, Side: s.Side, Received: tx.Now(), Draft: rendezvous.Draft{Phase: "p", Body: "b"}}
	if err := tx.Append(m, message); err != nil {
		return err
	}
	if err := tx.Complete(as, s.Wanted, rendezvous.Reply{Outcome: []byte("{}")}); err != nil {
		return err
	}
	_, err = tx.SendMessages(to, m.Key, m.Last, 1)
	return err
}

// Whatever shares a commit, and whatever of it fails, the file is in the end what it is if each row is read and each change is
// written at once.
func TestUnwrittenRowsAreWrittenInTheEnd(t *testing.T) {
	t.Parallel()
	var now time.Time
	clock := func() time.Time { return now }
	remembers, forgets := open(t, repo.Options{Now: clock}), open(t, repo.Options{Now: clock})
	names := slices.Sorted(maps.Keys(changes))
	names = append(names, slices.Repeat([]string{"add", "append", "send messages"}, 8)...) // these leave rows unwritten
	type part struct {
		names []string
		fails bool
	}
	parts := rapid.Custom(func(t *rapid.T) part {
		return part{
			names: rapid.SliceOfN(rapid.SampledFrom(names), 1, 6).Draw(t, "changes"),
			fails: rapid.Float64().Draw(t, "fails") > 0.8,
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		now = time.UnixMilli(1_700_000_000_000).UTC()
		for _, db := range []*repo.DB{remembers, forgets} {
			repo.DeleteAll(db)
			must(db.Update(context.Background(), makePair))
		}
		repo.RememberNothing(forgets)
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			now = now.Add(time.Second)
			batch := rapid.SliceOfN(parts, 1, 5).Draw(t, "batch")
			run := func(p part) func(rendezvous.Tx) error {
				return func(tx rendezvous.Tx) error {
					for _, name := range p.names {
						if name == "add" {
							if err := addMessage(tx, session.Key{1}, session.Key{2}); err != nil {
								return err
							}
							continue
						}
						s, m, _, err := look(tx)
						if err != nil {
							return err
						}
						if err := changes[name](tx, s, m, now); err != nil {
							return err
						}
					}
					if p.fails {
						return errTest
					}
					return nil
				}
			}
			var together []<-chan error
			release := blockWriter(remembers)
			for _, p := range batch {
				together = append(together, enqueue(context.Background(), remembers, run(p)))
			}
			release()
			for i, p := range batch {
				alone, shared := forgets.Update(context.Background(), run(p)), <-together[i]
				if (alone == nil) != (shared == nil) {
					t.Fatalf("%+v: alone it returned %v, and in a batch %v", p, alone, shared)
				}
			}
			if got, want := repo.Dump(t, remembers), repo.Dump(t, forgets); got != want {
				t.Fatalf("the file is\n%s\nand without remembering\n%s", got, want)
			}
		}
	})
}

// A row that is changed several times in a batch is written once, also if bytes are counted with a message, and if old
// replies are deleted, as they are now and then.
func TestARowIsWrittenOnceInABatch(t *testing.T) {
	t.Parallel()
	const adds = 40
	db := open(t, repo.Options{})
	repo.StampOnceInAWhile(db)
	must(db.Update(t.Context(), makePair))
	add := func(tx rendezvous.Tx) error { return addMessage(countsBytes{tx}, session.Key{1}, session.Key{2}) }
	must(db.Update(t.Context(), add)) // the writer knows the rows now
	release := blockWriter(db)
	statements := recordStatements(db)
	var outcomes []<-chan error
	for range adds {
		outcomes = append(outcomes, enqueue(t.Context(), db, add))
	}
	release()
	for _, o := range outcomes {
		must(<-o)
	}
	count := map[string]int{}
	for _, s := range statements() {
		words := strings.Fields(s)
		count[strings.Join(words[:min(2, len(words))], " ")]++
	}
	want := map[string]int{
		"INSERT INTO": 2 * adds, "DELETE FROM": adds / 16, "UPDATE mailboxes": 1, "UPDATE sessions": 1, "UPDATE outboxes": 1, "UPDATE outbox_entries": 1,
	}
	if !containsAll(count, want) {
		t.Errorf("%d adds ran %v, want %v", adds, count, want)
	}
}

// countsBytes counts bytes for an address whenever messages are added.
type countsBytes struct{ rendezvous.Tx }

func (t countsBytes) Append(m rendezvous.Mailbox, messages ...rendezvous.Message) error {
	if err := t.Tx.Append(m, messages...); err != nil {
		return err
	}
	return t.CountBytes(m.Key, rendezvous.AddressBytes{Address: "addr-a", Bytes: 1})
}

func containsAll(all, some map[string]int) bool {
	for k, n := range some {
		if all[k] != n {
			return false
		}
	}
	return true
}

// A member whose rows cannot be written fails alone: those that share its batch run again without it.
func TestUnwrittenRowsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), makePair))
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error { return addMessage(tx, session.Key{1}, session.Key{2}) }))
	repo.SetHook(db, func(query string) error {
		if strings.HasPrefix(oneLine(query), "UPDATE outboxes") {
			return errTest
		}
		return nil
	})
	release := blockWriter(db)
	fails := enqueue(context.Background(), db, func(tx rendezvous.Tx) error { return addMessage(tx, session.Key{1}, session.Key{2}) })
	works := enqueue(context.Background(), db, func(tx rendezvous.Tx) error {
		m, err := tx.Mailbox("app", "m")
		m.TTL = time.Hour
		return errors.Join(err, tx.UpdateMailbox(m)) // which writes what the other one has left
	})
	release()
	if a, b := <-fails, <-works; !errors.Is(a, errTest) || b != nil {
		t.Errorf("what cannot write returned %v, and the other one %v", a, b)
	}
	repo.SetHook(db, nil)
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
		if m, err := tx.Mailbox("app", "m"); m.TTL != time.Hour || m.Last != 1 {
			t.Errorf("the mailbox lives for %v, and has %d messages: %v", m.TTL, m.Last, err)
		}
		return addMessage(tx, session.Key{1}, session.Key{2})
	}))
}

// What is remembered wrongly overwrites nothing: the transaction fails, and the next one reads what is stored.
func TestWhatIsRememberedWronglyIsNotWritten(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), makePair))
	add := func(tx rendezvous.Tx) error { return addMessage(tx, session.Key{1}, session.Key{2}) }
	must(db.Update(t.Context(), add))
	repo.RememberWrongly(db, 1, 7)
	before := repo.Dump(t, db)
	if err := db.Update(t.Context(), add); err == nil || !strings.Contains(err.Error(), "not as it is remembered") {
		t.Errorf("it returned %v", err)
	}
	if after := repo.Dump(t, db); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
	must(db.Update(t.Context(), add))
}
