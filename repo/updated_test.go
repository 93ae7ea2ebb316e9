package repo_test

import (
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// The time of the last modification moves with each use case that changes something, and with no other. It is what tells
// an operator that a server still writes.
func TestUpdatedMovesWithEveryModification(t *testing.T) {
	t.Parallel()
	changed := 0
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			x := newFaultRun(t, c, newSQLiteFaults(t), func(db *repo.DB) rendezvous.Store { return db })
			x.fixture.now = x.fixture.now.Add(time.Second)
			updated := func() (at time.Time) {
				must(x.fixture.db.View(t.Context(), func(tx rendezvous.Tx) (err error) {
					at, err = tx.Updated()
					return err
				}))
				return at
			}
			others := func() string {
				var rows []string
				for row := range strings.Lines(x.database.stored()) {
					if !strings.HasPrefix(row, "modified ") {
						rows = append(rows, row)
					}
				}
				return strings.Join(rows, "")
			}
			before, rows := updated(), others()
			must(x.runUseCase())
			after := updated()
			if others() == rows {
				if !after.Equal(before) {
					t.Errorf("nothing changed, and the time moved from %v to %v", before, after)
				}
				return
			}
			changed++
			if !after.Equal(x.fixture.now) {
				t.Errorf("something changed at %v, and the time is %v", x.fixture.now, after)
			}
		})
	}
	if changed < len(useCases)*3/4 {
		t.Errorf("only %d of %d use cases change something", changed, len(useCases))
	}
}

// A modification soon after another one does not store its time again, unless the one before did not commit.
func TestUpdatedIsStoredOnceInAWhile(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000).UTC()
	for engine, url := range map[string]string{"SQLite": newFile(t), "PostgreSQL": newDatabase(t)} {
		t.Run(engine, func(t *testing.T) {
			clock := now
			db := open(t, repo.Options{URL: url, Now: func() time.Time { return clock }})
			repo.StampOnceInAWhile(db)
			change := func(after time.Duration, id rendezvous.MailboxID, want time.Time) {
				t.Helper()
				clock = now.Add(after)
				must(db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, id) }))
				must(db.View(t.Context(), func(tx rendezvous.Tx) error {
					if got, err := tx.Updated(); err != nil || !got.Equal(want) {
						t.Errorf("%v after the first, the time is %v after it (%v)", after, got.Sub(now), err)
					}
					return nil
				}))
			}
			change(0, "a", now)
			change(999*time.Millisecond, "b", now)
			change(time.Second, "c", now.Add(time.Second))
			change(1500*time.Millisecond, "d", now.Add(time.Second))

			fails := true
			repo.SetHook(db, func(statement string) error {
				if fails && statement == "COMMIT" {
					return errTest
				}
				return nil
			})
			clock = now.Add(2 * time.Second)
			if err := db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, "e") }); err == nil {
				t.Fatal("a commit that failed did not")
			}
			fails = false
			change(2100*time.Millisecond, "e", now.Add(2100*time.Millisecond))
		})
	}
}
