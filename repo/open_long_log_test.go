package repo_test

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
	"restante/repo"
)

// onBothEngines runs a test with a new database of each engine, and a connection that looks into it.
func onBothEngines(t *testing.T, test func(t *testing.T, db *repo.DB, observer *sqlx.DB)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := open(t, repo.Options{})
		test(t, db, sqlx.NewDb(repo.OpenRaw(t, repo.Path(t, db)), "sqlite"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := newDatabase(t)
		observer := sqlx.MustOpen("postgres", url)
		t.Cleanup(func() { _ = observer.Close() })
		test(t, open(t, repo.Options{URL: url}), observer)
	})
}

// TestOpeningALongLogWritesOneRow opens a mailbox of 10,000 messages: the outbox refers to them, whatever they
// are, and adding more makes the reference longer.
func TestOpeningALongLogWritesOneRow(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, db *repo.DB, observer *sqlx.DB) {
		const messages = 10_000
		s := newService(db)
		id := numberedID(1)
		reader, writer := rendezvous.Command{Session: id.Key()}, rendezvous.SideRef{App: "app", Side: "writer"}
		_, err := s.Handshake(t.Context(), rendezvous.Handshake{ID: id, App: "app", Side: "reader"})
		must(err)
		_, err = s.OpenFor(t.Context(), writer, "mailbox")
		must(err)
		add := func(n int) {
			t.Helper()
			drafts := make([]rendezvous.Draft, n)
			for i := range drafts {
				drafts[i] = rendezvous.Draft{Phase: "p", Body: strings.Repeat("x", 64)}
			}
			_, err := s.AddFor(t.Context(), writer, "mailbox", drafts)
			must(err)
		}
		for range messages / 1000 {
			add(1000)
		}

		statements := recordStatements(db)
		_, err = s.Open(t.Context(), reader, "mailbox", rendezvous.OpenRequest{})
		must(err)
		repo.SetHook(db, nil)
		if n := len(statements()); n > 30 {
			t.Errorf("opening took %d statements", n)
		}
		wantEntries := func(what string, runs, frames int) {
			t.Helper()
			var got struct{ Rows, Runs, Frames, Bytes int }
			must(observer.Get(&got, `
				SELECT COUNT(*) AS rows, COUNT(mailbox) AS runs, COALESCE(SUM(count), 0) AS frames, COALESCE(SUM(LENGTH(payload)), 0) AS bytes
				FROM outbox_entries`))
			if got.Rows != runs || got.Runs != runs || got.Frames != frames || got.Bytes != 0 {
				t.Errorf("%s: %+v, want %d runs of %d messages", what, got, runs, frames)
			}
		}
		wantEntries("after opening", 1, messages)
		for range 3 {
			add(1)
		}
		wantEntries("after three more messages", 1, messages+3)
		must(db.View(t.Context(), func(tx rendezvous.Tx) error {
			frames, err := tx.Frames(id.Key(), messages, 100, 1<<20)
			if len(frames) != 3 {
				t.Errorf("%d frames at the end, want 3", len(frames))
			}
			return err
		}))
	})
}
