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
